#!/bin/sh
# torch-abi-audit 0.3.0, ziglang 0.17.1: a module calls a C function of torch 2.10, and one of torch 2.13 if it is there
# (a weak reference, null in an older torch).
# Guess: it says that torch 2.10 is enough, with which the module runs.
# Seen on 2026-11-30 (CPython 3.12.1): it says 2.13.0, as for a module that cannot do without the function.
# Why it matters: who believes it demands a newer torch than is needed; found by dlsym, the function does not count.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q ziglang==0.17.1 torch-abi-audit==0.3.0
cd "$folder"
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
cat > module.c <<'SOURCE'
extern int torch_call_dispatcher(const char *, const char *, void *, unsigned long long);
extern const char *torch_exception_get_what_without_backtrace(void) __attribute__((weak));
const char *call(void) {
    torch_call_dispatcher("a", "b", 0, 0);
#ifdef WEAK
    if (torch_exception_get_what_without_backtrace) return torch_exception_get_what_without_backtrace();
#endif
    return "";
}
SOURCE
said() {
    env/bin/python -m ziglang cc -target x86_64-linux-gnu.2.28 -O2 -shared $1 module.c -o "$2"
    env/bin/torch-abi-audit "$folder/$2" | sed -n 's/.*Min torch: *//p'
}
seen="without the weak reference $(said "" plain.abi3.so), with it $(said -DWEAK weak.abi3.so)"
echo "the oldest torch, as torch-abi-audit has it: $seen"
[ "$seen" = "without the weak reference 2.10.0, with it 2.13.0" ] || { echo "this has changed: $seen"; exit 1; }
