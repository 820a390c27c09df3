// What kernels use of torch: rounding up, loops over a grid, exchange within a warp.
#pragma once

#include <cstdint>

#include <wheelferry/at.h>

namespace wheelferry WHEELFERRY_HIDDEN {

template <typename T>
constexpr C10_HOST_DEVICE T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}
template <typename T>
constexpr C10_HOST_DEVICE T round_up(T a, T b) {
  return ceil_div(a, b) * b;
}

namespace cuda {

template <typename T>
constexpr C10_HOST_DEVICE T ATenCeilDiv(T a, T b) {
  return (a + b - 1) / b;
}

} // namespace cuda
} // namespace wheelferry

namespace at {
namespace cuda {
using wheelferry::cuda::ATenCeilDiv;

namespace detail {
constexpr int CUDA_NUM_THREADS = 1024;

// So many blocks of so many threads that each of N gets one.
inline int GET_BLOCKS(const int64_t N, const int64_t max_threads_per_block = CUDA_NUM_THREADS) {
  TORCH_INTERNAL_ASSERT(N > 0, "CUDA kernel launch blocks must be positive, but got N=", N);
  const int64_t blocks = (N - 1) / max_threads_per_block + 1;
  TORCH_INTERNAL_ASSERT(
      blocks <= std::numeric_limits<int>::max(), "Can't schedule too many blocks on CUDA device");
  return static_cast<int>(blocks);
}
} // namespace detail
} // namespace cuda
} // namespace at

// Counted in 64 bits: i + a whole grid is beyond 32 bits before the loop ends.
#define CUDA_KERNEL_LOOP_TYPE(i, n, index_type)                                                       \
  int64_t wheelferry_##i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;                \
  for (index_type i = static_cast<index_type>(wheelferry_##i); wheelferry_##i < (n);                   \
       wheelferry_##i += static_cast<int64_t>(blockDim.x) * gridDim.x, i = static_cast<index_type>(wheelferry_##i))
#define CUDA_KERNEL_LOOP(i, n) CUDA_KERNEL_LOOP_TYPE(i, n, int)

#ifdef __CUDACC__

#include <cassert>

// NDEBUG, with which modules are built, makes assert() nothing; this stays, as with torch.
#define WHEELFERRY_KERNEL_ASSERT(condition)                                                      \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      printf("%s:%d: %s: assertion `%s` failed\n", __FILE__, __LINE__, __func__, #condition);    \
      __trap();                                                                                  \
    }                                                                                            \
  } while (false)
#ifndef CUDA_KERNEL_ASSERT
#define CUDA_KERNEL_ASSERT(condition) WHEELFERRY_KERNEL_ASSERT(condition)
#endif

constexpr unsigned int WHEELFERRY_WHOLE_WARP = 0xffffffffU;

__device__ __forceinline__ unsigned int ACTIVE_MASK() {
  return __activemask();
}
__device__ __forceinline__ unsigned int WARP_BALLOT(int predicate, unsigned int mask = WHEELFERRY_WHOLE_WARP) {
  return __ballot_sync(mask, predicate);
}
template <typename T>
__device__ __forceinline__ T WARP_SHFL(
    T value, int source, int width = warpSize, unsigned int mask = WHEELFERRY_WHOLE_WARP) {
  return __shfl_sync(mask, value, source, width);
}
template <typename T>
__device__ __forceinline__ T WARP_SHFL_XOR(
    T value, int lanes, int width = warpSize, unsigned int mask = WHEELFERRY_WHOLE_WARP) {
  return __shfl_xor_sync(mask, value, lanes, width);
}
template <typename T>
__device__ __forceinline__ T WARP_SHFL_UP(
    T value, unsigned int delta, int width = warpSize, unsigned int mask = WHEELFERRY_WHOLE_WARP) {
  return __shfl_up_sync(mask, value, delta, width);
}
template <typename T>
__device__ __forceinline__ T WARP_SHFL_DOWN(
    T value, unsigned int delta, int width = warpSize, unsigned int mask = WHEELFERRY_WHOLE_WARP) {
  return __shfl_down_sync(mask, value, delta, width);
}

#endif // __CUDACC__
