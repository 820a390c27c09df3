#include <ATen/Dispatch.h>

#include "checks.h"
#include "geometry.h"
#include "ops.h"

namespace skiff {
namespace {

template <typename scalar_t>
void fill_iou(const at::Tensor& a, const at::Tensor& b, at::Tensor& result) {
  const auto rows = a.accessor<scalar_t, 2>();
  const auto columns = b.accessor<scalar_t, 2>();
  auto iou = result.accessor<scalar_t, 2>();
  for (int64_t i = 0; i < rows.size(0); ++i) {
    for (int64_t j = 0; j < columns.size(0); ++j) {
      iou[i][j] = overlap<scalar_t>(rows[i], columns[j]);
    }
  }
}

} // namespace

at::Tensor box_iou(const at::Tensor& a, const at::Tensor& b) {
#ifdef WITH_CUDA
  if (a.device().is_cuda()) {
    return box_iou_cuda(a, b);
  }
#endif
  check_table(a, "a", 4);
  check_table(b, "b", 4);
  check_same_type(a, "a", b, "b");
  at::Tensor result = a.new_empty({a.size(0), b.size(0)});
  AT_DISPATCH_FLOATING_TYPES(
      a.scalar_type(), "skiff_box_iou", [&] { fill_iou<scalar_t>(a, b, result); });
  return result;
}

} // namespace skiff
