// The argument checks of ATen/TensorUtils.h.
#pragma once

#include <initializer_list>

#include <wheelferry/functions.h>

namespace wheelferry WHEELFERRY_HIDDEN {

struct TensorArg {
  const Tensor& tensor;
  const char* name;
  int pos;
  TensorArg(const Tensor& tensor, const char* name, int pos) : tensor(tensor), name(name), pos(pos) {}
  TensorArg(Tensor&&, const char*, int) = delete;  // it would outlive its tensor
  const Tensor* operator->() const {
    return &tensor;
  }
  const Tensor& operator*() const {
    return tensor;
  }
};

using CheckedFrom = const char*;

inline std::ostream& operator<<(std::ostream& stream, const TensorArg& arg) {
  if (arg.pos == 0) {
    return stream << '\'' << arg.name << '\'';
  }
  return stream << "argument #" << arg.pos << " '" << arg.name << "'";
}

inline void checkDim(CheckedFrom from, const TensorArg& arg, int64_t dim) {
  TORCH_CHECK(
      arg->dim() == dim, "Expected ", dim, "-dimensional tensor, but got ", arg->dim(), "-dimensional tensor for ",
      arg, " (while checking arguments for ", from, ")");
}
inline void checkDimRange(CheckedFrom from, const TensorArg& arg, int64_t first, int64_t end) {
  TORCH_CHECK(
      arg->dim() >= first && arg->dim() < end, "Expected ", first, " to ", end - 1,
      " dimensions, but got ", arg->dim(), "-dimensional tensor for ", arg, " (while checking arguments for ",
      from, ")");
}
inline void checkSize(CheckedFrom from, const TensorArg& arg, IntArrayRef sizes) {
  checkDim(from, arg, static_cast<int64_t>(sizes.size()));
  TORCH_CHECK(
      arg->sizes().equals(sizes), "Expected tensor of size ", sizes, ", but got tensor of size ", arg->sizes(),
      " for ", arg, " (while checking arguments for ", from, ")");
}
inline void checkSize(CheckedFrom from, const TensorArg& arg, int64_t dim, int64_t size) {
  TORCH_CHECK(
      arg->size(dim) == size, "Expected tensor to have size ", size, " at dimension ", dim, ", but got size ",
      arg->size(dim), " for ", arg, " (while checking arguments for ", from, ")");
}
inline void checkNumel(CheckedFrom from, const TensorArg& arg, int64_t numel) {
  TORCH_CHECK(
      arg->numel() == numel, "Expected tensor for ", arg, " to have ", numel, " elements; but it actually has ",
      arg->numel(), " elements (while checking arguments for ", from, ")");
}
inline void checkContiguous(CheckedFrom from, const TensorArg& arg) {
  TORCH_CHECK(
      arg->is_contiguous(), "Expected contiguous tensor, but got non-contiguous tensor for ", arg,
      " (while checking arguments for ", from, ")");
}
inline void checkScalarType(CheckedFrom from, const TensorArg& arg, ScalarType type) {
  TORCH_CHECK(
      arg->scalar_type() == type, "Expected tensor for ", arg, " to have scalar type ", c10::toString(type),
      "; but got ", c10::toString(arg->scalar_type()), " instead (while checking arguments for ", from, ")");
}
inline void checkDefined(CheckedFrom from, const TensorArg& arg) {
  TORCH_CHECK(
      arg->defined(), "Expected tensor for ", arg, " to be non-null, but it was undefined (while checking arguments for ",
      from, ")");
}
inline void checkSameSize(CheckedFrom from, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(
      a->sizes().equals(b->sizes()), "Expected tensor for ", a, " to have same size as tensor for ", b, "; but ",
      a->sizes(), " does not equal ", b->sizes(), " (while checking arguments for ", from, ")");
}
inline void checkSameDim(CheckedFrom from, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(
      a->dim() == b->dim(), "Expected tensor for ", a, " to have same dimension as tensor for ", b, "; but ",
      a->dim(), " does not equal ", b->dim(), " (while checking arguments for ", from, ")");
}
inline void checkSameType(CheckedFrom from, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(
      a->scalar_type() == b->scalar_type(), "Expected tensor for ", a, " to have the same type as tensor for ", b,
      "; but type ", c10::toString(a->scalar_type()), " does not equal ", c10::toString(b->scalar_type()),
      " (while checking arguments for ", from, ")");
}
inline void checkSameGPU(CheckedFrom from, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(
      a->is_cuda() && b->is_cuda() && a->device() == b->device(), "Expected tensors for ", a, " and ", b,
      " to be on one GPU; but they are on ", a->device(), " and ", b->device(),
      " (while checking arguments for ", from, ")");
}

#define WHEELFERRY_ALL(all, pair)                                              \
  inline void all(CheckedFrom from, ArrayRef<TensorArg> args) {                \
    const TensorArg* first = nullptr;                                          \
    for (const TensorArg& arg : args) {                                        \
      if (arg->defined()) {                                                    \
        if (first) {                                                           \
          pair(from, *first, arg);                                             \
        } else {                                                               \
          first = &arg;                                                        \
        }                                                                      \
      }                                                                        \
    }                                                                          \
  }
WHEELFERRY_ALL(checkAllSameSize, checkSameSize)
WHEELFERRY_ALL(checkAllSameType, checkSameType)
WHEELFERRY_ALL(checkAllSameGPU, checkSameGPU)
#undef WHEELFERRY_ALL

#define WHEELFERRY_EACH(all, one)                                  \
  inline void all(CheckedFrom from, ArrayRef<TensorArg> args) {    \
    for (const TensorArg& arg : args) {                            \
      one(from, arg);                                              \
    }                                                              \
  }
WHEELFERRY_EACH(checkAllDefined, checkDefined)
WHEELFERRY_EACH(checkAllContiguous, checkContiguous)
#undef WHEELFERRY_EACH

} // namespace wheelferry
