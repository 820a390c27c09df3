// Checks of arguments shared by the operators.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>

namespace skiff {

inline void check_floating(
    const at::Tensor& tensor, const char* name, at::DeviceType device = at::kCPU) {
  TORCH_CHECK(tensor.device().type() == device, name, " must be on the ", device);
  TORCH_CHECK(
      tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble,
      name, " must be float32 or float64");
}

inline void check_same_type(
    const at::Tensor& a, const char* name_a, const at::Tensor& b, const char* name_b) {
  TORCH_CHECK(
      a.scalar_type() == b.scalar_type(), name_a, " and ", name_b, " must have the same dtype");
}

// A table with a fixed number of columns, such as boxes [N, 4].
inline void check_table(
    const at::Tensor& tensor, const char* name, int64_t columns, at::DeviceType device = at::kCPU) {
  check_floating(tensor, name, device);
  TORCH_CHECK(
      tensor.dim() == 2 && tensor.size(1) == columns,
      name, " must have the shape [N, ", columns, "]");
}

} // namespace skiff
