// What clang knows of CUDA where it compiles the part of a .cu file that runs on the CPU, for Windows. It is
// included before the file itself. Nothing of what is declared here for GPUs becomes code.
//
// NVIDIA's own headers, told by __CUDACC__ that they are in a CUDA compilation, take every Windows for Microsoft's
// compiler. So they are told for those alone that name keywords and functions of the GPU.
#pragma once

#define _ALLOW_UNSUPPORTED_LIBCPP  // host_defines.h refuses libc++ without it
#define __CUDA_INCLUDE_COMPILER_INTERNAL_HEADERS__
#define __CUDACC__
#include <crt/host_defines.h>  // __global__ and its like
#undef __CUDACC__

// The C library's functions can be called in kernels: here they must be known, nvcc has the GPU's own.
#pragma clang force_cuda_host_device begin
#include <locale.h>
#include <stdlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <cmath>
#pragma clang force_cuda_host_device end
#include <new>

#include <cuda_runtime.h>

// As crt/math_functions.h has them for GPUs.
#define WHEELFERRY_OF_TWO(a, b, result) \
  __device__ result min(a, b);          \
  __device__ result max(a, b);
WHEELFERRY_OF_TWO(int, int, int)
WHEELFERRY_OF_TWO(unsigned, unsigned, unsigned)
WHEELFERRY_OF_TWO(int, unsigned, unsigned)
WHEELFERRY_OF_TWO(unsigned, int, unsigned)
WHEELFERRY_OF_TWO(long, long, long)
WHEELFERRY_OF_TWO(unsigned long, unsigned long, unsigned long)
WHEELFERRY_OF_TWO(long, unsigned long, unsigned long)
WHEELFERRY_OF_TWO(unsigned long, long, unsigned long)
WHEELFERRY_OF_TWO(long long, long long, long long)
WHEELFERRY_OF_TWO(unsigned long long, unsigned long long, unsigned long long)
WHEELFERRY_OF_TWO(long long, unsigned long long, unsigned long long)
WHEELFERRY_OF_TWO(unsigned long long, long long, unsigned long long)
WHEELFERRY_OF_TWO(float, float, float)
WHEELFERRY_OF_TWO(double, double, double)
WHEELFERRY_OF_TWO(float, double, double)
WHEELFERRY_OF_TWO(double, float, double)
#undef WHEELFERRY_OF_TWO
extern "C" {
__device__ float rsqrtf(float);
__device__ double rsqrt(double);
}
__device__ float rsqrt(float);

#define __THROW
#define __CUDACC__
#define __CUDA_INTERNAL_COMPILATION__
#ifndef __CUDA_INCLUDE_COMPILER_INTERNAL_HEADERS__
#define __CUDA_INCLUDE_COMPILER_INTERNAL_HEADERS__
#endif
#include <crt/device_functions.h>
#include <device_atomic_functions.h>
#include <device_launch_parameters.h>
#include <sm_20_atomic_functions.h>
#include <sm_20_intrinsics.h>
#include <sm_30_intrinsics.h>
#include <sm_32_atomic_functions.h>
#include <sm_32_intrinsics.h>
#include <sm_35_atomic_functions.h>
#include <sm_35_intrinsics.h>
#include <sm_60_atomic_functions.h>
#include <sm_61_intrinsics.h>
#undef __CUDA_INTERNAL_COMPILATION__
