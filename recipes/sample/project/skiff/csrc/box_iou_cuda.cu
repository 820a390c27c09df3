#include <ATen/Dispatch.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include "checks.h"
#include "geometry.h"
#include "ops.h"

namespace skiff {
namespace {

constexpr int kThreads = 256;

// One thread a pair; tables are contiguous [rows, 4] and [columns, 4].
template <typename scalar_t>
__global__ void skiff_box_iou_kernel(
    const scalar_t* a, const scalar_t* b, scalar_t* iou, int64_t pairs, int64_t columns) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pair < pairs) {
    iou[pair] = overlap<scalar_t>(a + 4 * (pair / columns), b + 4 * (pair % columns));
  }
}

} // namespace

at::Tensor box_iou_cuda(const at::Tensor& a, const at::Tensor& b) {
  check_table(a, "a", 4, at::kCUDA);
  check_table(b, "b", 4, at::kCUDA);
  check_same_type(a, "a", b, "b");
  TORCH_CHECK(a.device() == b.device(), "a and b must be on the same GPU");
  const c10::cuda::CUDAGuard guard(a.device());
  const at::Tensor rows = a.contiguous();
  const at::Tensor columns = b.contiguous();
  at::Tensor result = a.new_empty({a.size(0), b.size(0)});
  const int64_t pairs = result.numel();
  if (pairs == 0) {
    return result;
  }
  const auto blocks = static_cast<unsigned int>((pairs + kThreads - 1) / kThreads);
  AT_DISPATCH_FLOATING_TYPES(a.scalar_type(), "skiff_box_iou_cuda", [&] {
    skiff_box_iou_kernel<scalar_t><<<blocks, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
        rows.data_ptr<scalar_t>(), columns.data_ptr<scalar_t>(), result.data_ptr<scalar_t>(), pairs,
        b.size(0));
  });
  C10_CUDA_CHECK(cudaGetLastError());
  return result;
}

int64_t cuda_version() {
  return CUDART_VERSION;
}

} // namespace skiff
