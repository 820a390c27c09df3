// The namespaces at, torch and c10 as sources use them.
#pragma once

#include <wheelferry/checks.h>
#include <wheelferry/dispatch.h>
#include <wheelferry/functions.h>
#include <wheelferry/parallel.h>

// What torch's own headers bring along and sources rely on without including it.
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace wheelferry WHEELFERRY_HIDDEN {

// No gradients are recorded while it lives.
class NoGradGuard {
 public:
  NoGradGuard() {
    aoti_torch_grad_mode_set_enabled(false);
  }
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;
  ~NoGradGuard() {
    aoti_torch_grad_mode_set_enabled(before_);
  }

 private:
  bool before_ = aoti_torch_grad_mode_is_enabled();
};

using TensorList = ArrayRef<Tensor>;
using IntList = IntArrayRef;  // its name in 2018

} // namespace wheelferry

namespace at {
using namespace c10;
using namespace wheelferry;
// named one by one where both namespaces above, or the names below, have something like it
using wheelferry::device;
using wheelferry::dtype;
using wheelferry::str;
#include <wheelferry/missing_functions.h>
} // namespace at

namespace torch {
using namespace at;
constexpr auto kUInt8 = at::kByte;
constexpr auto kInt8 = at::kChar;
constexpr auto kInt16 = at::kShort;
constexpr auto kInt32 = at::kInt;
constexpr auto kInt64 = at::kLong;
constexpr auto kFloat16 = at::kHalf;
constexpr auto kFloat32 = at::kFloat;
constexpr auto kFloat64 = at::kDouble;
using Dtype = at::ScalarType;

namespace autograd {
template <typename T>
struct Function {
  static_assert(
      sizeof(T*) == 0,
      "wheelferry's facade does not cover torch::autograd::Function: write the gradient in Python with "
      "torch.autograd.Function around two operators");
};
} // namespace autograd
} // namespace torch
