#error "wheelferry's facade is for operators on the CPU and has no <c10/cuda/CUDAFunctions.h>"
