#!/bin/sh
# nvidia-cuda-nvcc 13.0.88 from PyPI, with g++: `nvcc -frandom-seed 1`, which its help says "can be used to generate
# deterministically identical ptx and object files".
# Guess: the same file, compiled twice in the same folder with the same seed, gives the same object.
# Seen on 2026-12-01 (CPython 3.12.1): two objects. The name of an intermediate file, with nvcc's process number in it,
# is a symbol of each. Stripped (strip --strip-all) the two are the same.
# Why it matters: a cache or a comparison of objects by their bytes never sees two equal ones, whatever the seed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
    nvidia-cuda-runtime==13.0.96
toolkit=$(echo "$folder"/env/lib/python3*/site-packages/nvidia/cu13)
cat > "$folder/one.cu" <<'EOF'
namespace { template <typename T> __global__ void add(T* p) { p[threadIdx.x] += 1; } }
void run(float* p) { add<float><<<1, 32>>>(p); }
EOF
# compile NAME [OPTIONS]: NAME.o, and what of it a linked and stripped module would keep
compile() {
    name=$1; shift
    (cd "$folder" && "$toolkit/bin/nvcc" -ccbin g++ "-I$toolkit/include" -arch=sm_75 "$@" -c one.cu -o "$name.o")
    strip --strip-all -o "$folder/$name.stripped" "$folder/$name.o"
}
same() { cmp -s "$folder/$1" "$folder/$2" && echo same || echo differ; }
compile seeded -frandom-seed 1
compile again -frandom-seed 1
seen="with one seed the objects $(same seeded.o again.o), stripped $(same seeded.stripped again.stripped)"
echo "$seen"
[ "$seen" = "with one seed the objects differ, stripped same" ] ||
    { echo "this has changed: they were different, and the same when stripped"; exit 1; }
