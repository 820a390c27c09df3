#error "wheelferry's facade does not cover <ATen/cuda/CUDAEvent.h>"
