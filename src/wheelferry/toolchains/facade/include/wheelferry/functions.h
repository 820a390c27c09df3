// The functions of namespace at, and the methods of a tensor that call torch's operators.
#pragma once

#include <array>
#include <cmath>

#include <wheelferry/tensor.h>

namespace wheelferry WHEELFERRY_HIDDEN {

using Tensors = ArrayRef<Tensor>;

template <>
struct Value<ArrayRef<Tensor>> {
  static StableIValue give(ArrayRef<Tensor> tensors) {
    return Value<std::vector<Tensor>>::give(tensors);
  }
};

namespace abi {

// A number as a tensor without dimensions, of the given type: the stable ABI has no Scalar.
inline Tensor number(const Scalar& value, ScalarType type, Device device);

} // namespace abi

// ----------------------------------------------------------------------------- creation

inline Tensor empty(
    IntArrayRef sizes, const TensorOptions& options = {}, std::optional<MemoryFormat> format = std::nullopt) {
  for (const int64_t size : sizes) {  // torch before 2.13 would say so on stderr only
    TORCH_CHECK(size >= 0, "Trying to create tensor with negative dimension ", size, ": ", sizes);
  }
  const auto layout = std::nullopt;
  Tensor result = call<Tensor>(
      "aten::empty", "memory_format", sizes, std::optional<ScalarType>(options.dtype()), layout,
      std::optional<Device>(options.device()), std::optional<bool>(options.pinned_memory()),
      format ? format : options.memory_format_opt());
  if (options.requires_grad()) {
    result.set_requires_grad(true);
  }
  return result;
}

inline Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, const TensorOptions& options = {}) {
  TORCH_CHECK(sizes.size() == strides.size(), "empty_strided needs as many strides as sizes");
  AtenTensorHandle raw = nullptr;
  WHEELFERRY_CALL(
      aoti_torch_empty_strided, static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
      abi::dtype_code(options.dtype()), abi::device_code(options.device().type()), options.device().index(),
      &raw);
  return Tensor(abi::steal(raw));
}

inline Tensor filled(IntArrayRef sizes, const TensorOptions& options, const Scalar& value) {
  Tensor result = empty(sizes, options.requires_grad(false));
  result.fill_(value);
  return options.requires_grad() ? result.set_requires_grad(true) : result;
}

inline Tensor zeros(IntArrayRef sizes, const TensorOptions& options = {}) {
  Tensor result = empty(sizes, options.requires_grad(false));
  result.zero_();
  return options.requires_grad() ? result.set_requires_grad(true) : result;
}
inline Tensor ones(IntArrayRef sizes, const TensorOptions& options = {}) {
  return filled(sizes, options, 1);
}
inline Tensor full(IntArrayRef sizes, const Scalar& value, const TensorOptions& options) {
  return filled(sizes, options, value);
}
// Without a type it is the number's: int64, bool or float32.
inline Tensor full(IntArrayRef sizes, const Scalar& value) {
  return filled(sizes, value.isFloatingPoint() ? ScalarType::Float : value.type(), value);
}
inline Tensor scalar_tensor(const Scalar& value, const TensorOptions& options = {}) {
  return filled({}, options, value);
}

namespace abi {

// The options of `like`, with what `asked` says instead.
inline TensorOptions merged(const Tensor& like, const TensorOptions& asked) {
  return like.options()
      .dtype(asked.has_dtype() ? asked.dtype() : like.scalar_type())
      .device(asked.has_device() ? asked.device() : like.device())
      .requires_grad(asked.requires_grad());
}

} // namespace abi

inline Tensor empty_like(
    const Tensor& like, const TensorOptions& options = {}, std::optional<MemoryFormat> format = std::nullopt) {
  const TensorOptions all = abi::merged(like, options);
  Tensor result = call<Tensor>(
      "aten::empty_like", "", like, std::optional<ScalarType>(all.dtype()), std::nullopt,
      std::optional<Device>(all.device()), std::nullopt, format ? format : options.memory_format_opt());
  return all.requires_grad() ? result.set_requires_grad(true) : result;
}
inline Tensor zeros_like(
    const Tensor& like, const TensorOptions& options = {}, std::optional<MemoryFormat> format = std::nullopt) {
  Tensor result = empty_like(like, options.requires_grad(false), format);
  result.zero_();
  return options.requires_grad() ? result.set_requires_grad(true) : result;
}
inline Tensor full_like(
    const Tensor& like, const Scalar& value, const TensorOptions& options = {},
    std::optional<MemoryFormat> format = std::nullopt) {
  Tensor result = empty_like(like, options.requires_grad(false), format);
  result.fill_(value);
  return options.requires_grad() ? result.set_requires_grad(true) : result;
}
inline Tensor ones_like(
    const Tensor& like, const TensorOptions& options = {}, std::optional<MemoryFormat> format = std::nullopt) {
  return full_like(like, 1, options, format);
}

// Copies of the values, on the CPU: from a braced list, a vector or an array.
template <typename T>
Tensor tensor(ArrayRef<T> values, const TensorOptions& options) {
  Tensor result = empty({static_cast<int64_t>(values.size())}, c10::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), result.template data_ptr<T>());
  result = result.to(options.dtype(options.has_dtype() ? options.dtype() : result.scalar_type()));
  return options.requires_grad() ? result.set_requires_grad(true) : result;
}
template <typename T>
Tensor tensor(const std::vector<T>& values, const TensorOptions& options = c10::CppTypeToScalarType<T>::value) {
  return tensor(ArrayRef<T>(values), options);
}
template <typename T>
Tensor tensor(std::initializer_list<T> values, const TensorOptions& options = c10::CppTypeToScalarType<T>::value) {
  return tensor(ArrayRef<T>(values), options);
}

// ------------------------------------------------------------------------------ numbers

namespace abi {

template <typename Self>
void store(const Self& tensor, ScalarType type, const Scalar& value) {
  with_cpp_type(type, [&](auto zero) {
    using T = decltype(zero);
    *static_cast<T*>(allocated(tensor, tensor.mutable_data(), sizeof(T))) = value.isFloatingPoint() ? static_cast<T>(value.to<double>())
                                                     : static_cast<T>(value.to<int64_t>());
  });
}

inline Tensor number(const Scalar& value, ScalarType type, Device device) {
  Tensor result = empty({}, type);
  store(result, type, value);
  return device.is_cpu() ? result : result.to(device);
}

} // namespace abi

template <typename Self>
Scalar TensorMethods<Self>::item() const {
  const int64_t count = numel();
  TORCH_CHECK(
      count == 1, "a Tensor with ", count, " elements cannot be converted to Scalar");
  const ScalarType type = self().scalar_type();
  if (!is_cpu()) {
    return cpu().item();
  }
  const void* data = abi::allocated(self(), self().const_data(), element_size());
  return abi::with_cpp_type(type, [&](auto zero) { return Scalar(*static_cast<const decltype(zero)*>(data)); });
}
template <typename Self>
template <typename T>
T TensorMethods<Self>::item() const {
  return item().template to<T>();
}

template <typename Self>
const Self& TensorMethods<Self>::zero_() const {
  WHEELFERRY_CALL(aoti_torch_zero_, Tensor(self().handle()).get());
  return self();
}
template <typename Self>
const Self& TensorMethods<Self>::fill_(const Scalar& value) const {
  const ScalarType type = self().scalar_type();
  if (self().dim() == 0 && is_cpu()) {
    abi::store(self(), type, value);
  } else {
    call<Tensor>("aten::fill_", "Tensor", Tensor(self().handle()), abi::number(value, type, self().device()));
  }
  return self();
}
template <typename Self>
const Self& TensorMethods<Self>::copy_(const Tensor& source, bool non_blocking) const {
  call<Tensor>("aten::copy_", "", Tensor(self().handle()), source, non_blocking);
  return self();
}

namespace abi {

inline Tensor minus(const Tensor& a, const Tensor& b, double factor) {
  AtenTensorHandle raw = nullptr;
  WHEELFERRY_CALL(aoti_torch_aten_subtract_Tensor, a.get(), b.get(), factor, &raw);
  return Tensor(steal(raw));
}

// beta * out + alpha * (a @ b), into out. Autograd does not see it.
inline void addmm_out(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha) {
  if (out.is_cuda()) {
    WHEELFERRY_CUDA_CALL(AddmmOut, aoti_torch_cuda_addmm_out, out.get(), out.get(), a.get(), b.get(), beta, alpha);
  } else {
    WHEELFERRY_CALL(aoti_torch_cpu_addmm_out, out.get(), out.get(), a.get(), b.get(), beta, alpha);
  }
}

} // namespace abi

// --------------------------------------------------------------- methods by torch's operators

#define WHEELFERRY_METHOD(result, signature, ...) \
  template <typename Self>                        \
  result TensorMethods<Self>::signature const {   \
    const Tensor tensor(self().handle());         \
    return call<result>(__VA_ARGS__);             \
  }
using TwoTensors = std::tuple<Tensor, Tensor>;

WHEELFERRY_METHOD(Tensor, select(int64_t dim, int64_t index), "aten::select", "int", tensor, dim, index)
WHEELFERRY_METHOD(
    Tensor, narrow(int64_t dim, int64_t start, int64_t length), "aten::narrow", "", tensor, dim, start, length)
WHEELFERRY_METHOD(
    Tensor, slice(int64_t dim, std::optional<int64_t> start, std::optional<int64_t> end, int64_t step),
    "aten::slice", "Tensor", tensor, dim, start, end, step)
WHEELFERRY_METHOD(Tensor, view(IntArrayRef sizes), "aten::view", "", tensor, sizes)
WHEELFERRY_METHOD(Tensor, view(ScalarType type), "aten::view", "dtype", tensor, type)
WHEELFERRY_METHOD(Tensor, view_as(const Tensor& other), "aten::view_as", "", tensor, other)
WHEELFERRY_METHOD(Tensor, reshape_as(const Tensor& other), "aten::reshape_as", "", tensor, other)
WHEELFERRY_METHOD(Tensor, reshape(IntArrayRef sizes), "aten::reshape", "", tensor, sizes)
WHEELFERRY_METHOD(
    Tensor, expand(IntArrayRef sizes, bool implicit), "aten::expand", "", tensor, sizes, implicit)
WHEELFERRY_METHOD(Tensor, permute(IntArrayRef dims), "aten::permute", "", tensor, dims)
WHEELFERRY_METHOD(Tensor, transpose(int64_t a, int64_t b), "aten::transpose", "int", tensor, a, b)
WHEELFERRY_METHOD(Tensor, t(), "aten::t", "", tensor)
WHEELFERRY_METHOD(Tensor, squeeze(), "aten::squeeze", "", tensor)
WHEELFERRY_METHOD(Tensor, squeeze(int64_t dim), "aten::squeeze", "dim", tensor, dim)
WHEELFERRY_METHOD(Tensor, unsqueeze(int64_t dim), "aten::unsqueeze", "", tensor, dim)
WHEELFERRY_METHOD(Tensor, flatten(int64_t first, int64_t last), "aten::flatten", "using_ints", tensor, first, last)
WHEELFERRY_METHOD(Tensor, detach(), "aten::detach", "", tensor)
WHEELFERRY_METHOD(Tensor, clone(std::optional<MemoryFormat> format), "aten::clone", "", tensor, format)
WHEELFERRY_METHOD(
    Tensor, to(ScalarType type, bool non_blocking, bool copy), "aten::to", "dtype", tensor, type, non_blocking,
    copy, std::nullopt)
WHEELFERRY_METHOD(
    Tensor, to(Device device, ScalarType type, bool non_blocking, bool copy), "aten::to", "device", tensor,
    device, type, non_blocking, copy, std::nullopt)
WHEELFERRY_METHOD(TwoTensors, sort(int64_t dim, bool descending), "aten::sort", "", tensor, dim, descending)
WHEELFERRY_METHOD(
    TwoTensors, sort(std::optional<bool> stable, int64_t dim, bool descending), "aten::sort", "stable", tensor,
    stable, dim, descending)
WHEELFERRY_METHOD(Tensor, argsort(int64_t dim, bool descending), "aten::argsort", "", tensor, dim, descending)
WHEELFERRY_METHOD(
    TwoTensors, topk(int64_t k, int64_t dim, bool largest, bool sorted), "aten::topk", "", tensor, k, dim,
    largest, sorted)
WHEELFERRY_METHOD(
    Tensor, index_select(int64_t dim, const Tensor& index), "aten::index_select", "", tensor, dim, index)
WHEELFERRY_METHOD(
    Tensor, index(const std::vector<Tensor>& indices), "aten::index", "Tensor", tensor,
    std::vector<std::optional<Tensor>>(indices.begin(), indices.end()))
WHEELFERRY_METHOD(Tensor, masked_select(const Tensor& mask), "aten::masked_select", "", tensor, mask)
WHEELFERRY_METHOD(
    Tensor, gather(int64_t dim, const Tensor& index), "aten::gather", "", tensor, dim, index, false)
WHEELFERRY_METHOD(Tensor, nonzero(), "aten::nonzero", "", tensor)
WHEELFERRY_METHOD(Tensor, sum(), "aten::sum", "", tensor, std::nullopt)
WHEELFERRY_METHOD(
    Tensor, sum(IntArrayRef dims, bool keepdim), "aten::sum", "dim_IntList", tensor,
    std::optional<std::vector<int64_t>>(dims.vec()), keepdim, std::nullopt)
WHEELFERRY_METHOD(Tensor, mean(), "aten::mean", "", tensor, std::nullopt)
WHEELFERRY_METHOD(Tensor, max(), "aten::max", "", tensor)
WHEELFERRY_METHOD(Tensor, min(), "aten::min", "", tensor)
WHEELFERRY_METHOD(TwoTensors, max(int64_t dim, bool keepdim), "aten::max", "dim", tensor, dim, keepdim)
WHEELFERRY_METHOD(TwoTensors, min(int64_t dim, bool keepdim), "aten::min", "dim", tensor, dim, keepdim)
WHEELFERRY_METHOD(Tensor, cumsum(int64_t dim), "aten::cumsum", "", tensor, dim, std::nullopt)
WHEELFERRY_METHOD(Tensor, abs(), "aten::abs", "", tensor)
WHEELFERRY_METHOD(Tensor, exp(), "aten::exp", "", tensor)
WHEELFERRY_METHOD(Tensor, log(), "aten::log", "", tensor)
WHEELFERRY_METHOD(Tensor, sqrt(), "aten::sqrt", "", tensor)
WHEELFERRY_METHOD(Tensor, sigmoid(), "aten::sigmoid", "", tensor)
WHEELFERRY_METHOD(Tensor, mul(const Tensor& other), "aten::mul", "Tensor", tensor, other)
WHEELFERRY_METHOD(Tensor, div(const Tensor& other), "aten::div", "Tensor", tensor, other)
WHEELFERRY_METHOD(Tensor, matmul(const Tensor& other), "aten::matmul", "", tensor, other)
WHEELFERRY_METHOD(Tensor, mm(const Tensor& other), "aten::mm", "", tensor, other)
#undef WHEELFERRY_METHOD

// those that change the shape of the tensor itself; a row has none of its own
#define WHEELFERRY_IN_PLACE(signature, ...)                                                             \
  template <typename Self>                                                                              \
  const Self& TensorMethods<Self>::signature const {                                                    \
    static_assert(std::is_same_v<Self, Tensor>, "wheelferry's facade: declare the row as at::Tensor");  \
    const Tensor tensor(self().handle());                                                               \
    call<Tensor>(__VA_ARGS__);                                                                          \
    return self();                                                                                      \
  }
WHEELFERRY_IN_PLACE(transpose_(int64_t a, int64_t b), "aten::transpose_", "", tensor, a, b)
WHEELFERRY_IN_PLACE(t_(), "aten::t_", "", tensor)
WHEELFERRY_IN_PLACE(unsqueeze_(int64_t dim), "aten::unsqueeze_", "", tensor, dim)
WHEELFERRY_IN_PLACE(squeeze_(), "aten::squeeze_", "", tensor)
WHEELFERRY_IN_PLACE(squeeze_(int64_t dim), "aten::squeeze_", "dim", tensor, dim)
#undef WHEELFERRY_IN_PLACE

// Where no gradient is recorded, as within torch.autograd.Function, it is torch's addmm_ itself: its function for
// other compilers sees no gradient. Else it is made of operators that do.
template <typename Self>
const Self& TensorMethods<Self>::addmm_(
    const Tensor& a, const Tensor& b, const Scalar& beta, const Scalar& alpha) const {
  TORCH_CHECK(is_floating_point(), "wheelferry's facade knows addmm_ of floating point numbers only");
  const Tensor tensor(self().handle());
  if (!aoti_torch_grad_mode_is_enabled()) {
    abi::addmm_out(tensor, a, b, beta.toDouble(), alpha.toDouble());
    return self();
  }
  const auto times = [&](const Tensor& one, const Scalar& factor) {
    return factor.toDouble() == 1 ? one : one.mul(abi::number(factor, one.scalar_type(), one.device()));
  };
  const Tensor product = a.mm(b);
  // what was there may be NaN: times 0 it does not count
  tensor.copy_(
      beta.toDouble() == 0 ? times(product, alpha) : abi::minus(times(tensor, beta), product, -alpha.toDouble()));
  return self();
}

template <typename Self>
Tensor TensorMethods<Self>::contiguous(MemoryFormat format) const {
  const Tensor tensor(self().handle());
  if (format == MemoryFormat::Contiguous && tensor.is_contiguous()) {
    return tensor;
  }
  return call<Tensor>("aten::contiguous", "", tensor, format);
}
template <typename Self>
Tensor TensorMethods<Self>::to(Device device, bool non_blocking, bool copy) const {
  return to(device, self().scalar_type(), non_blocking, copy);
}
template <typename Self>
Tensor TensorMethods<Self>::to(DeviceType type, bool non_blocking, bool copy) const {
  return to(Device(type), non_blocking, copy);
}
template <typename Self>
Tensor TensorMethods<Self>::to(TensorOptions options, bool non_blocking, bool copy) const {
  return to(
      options.device_opt().value_or(self().device()), options.dtype_opt().value_or(self().scalar_type()),
      non_blocking, copy);
}
template <typename Self>
Tensor TensorMethods<Self>::to(const Tensor& other, bool non_blocking, bool copy) const {
  return to(other.device(), other.scalar_type(), non_blocking, copy);
}
template <typename Self>
Tensor TensorMethods<Self>::type_as(const Tensor& other) const {
  return to(other);
}
template <typename Self>
Tensor TensorMethods<Self>::toType(ScalarType type) const {
  return to(type);
}
template <typename Self>
Tensor TensorMethods<Self>::cpu() const {
  return to(Device(DeviceType::CPU));
}
template <typename Self>
bool TensorMethods<Self>::is_same_size(const Tensor& other) const {
  return self().sizes().equals(other.sizes());
}
template <typename Self>
Tensor TensorMethods<Self>::new_empty(IntArrayRef sizes, TensorOptions options) const {
  return empty(sizes, abi::merged(Tensor(self().handle()), options));
}
template <typename Self>
Tensor TensorMethods<Self>::new_zeros(IntArrayRef sizes, TensorOptions options) const {
  return zeros(sizes, abi::merged(Tensor(self().handle()), options));
}
template <typename Self>
Tensor TensorMethods<Self>::new_ones(IntArrayRef sizes, TensorOptions options) const {
  return ones(sizes, abi::merged(Tensor(self().handle()), options));
}
template <typename Self>
Tensor TensorMethods<Self>::new_full(IntArrayRef sizes, const Scalar& value, TensorOptions options) const {
  return full(sizes, value, abi::merged(Tensor(self().handle()), options));
}

inline Tensor Tensor::operator[](const Tensor& index) const {
  TORCH_CHECK(
      isIntegralType(index.scalar_type(), false) && index.dim() == 0,
      "Can only index with tensors that are scalars (zero-dim) of integral type");
  return select(0, index.item<int64_t>());
}

// ---------------------------------------------------------------------- functions of tensors

inline Tensor cat(Tensors tensors, int64_t dim = 0) {
  return call<Tensor>("aten::cat", "", tensors, dim);
}
inline Tensor stack(Tensors tensors, int64_t dim = 0) {
  return call<Tensor>("aten::stack", "", tensors, dim);
}
inline Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  return call<Tensor>("aten::where", "self", condition, a, b);
}
inline std::vector<Tensor> where(const Tensor& condition) {
  return call<std::vector<Tensor>>("aten::where", "", condition);
}

#define WHEELFERRY_FUNCTION(name)                                                      \
  template <typename... Args>                                                          \
  auto name(const Tensor& tensor, Args&&... args)                                      \
      ->decltype(tensor.name(std::forward<Args>(args)...)) {                           \
    return tensor.name(std::forward<Args>(args)...);                                   \
  }
#define WHEELFERRY_FUNCTIONS(_) \
  _(select) _(narrow) _(slice) _(transpose) _(squeeze) _(unsqueeze) _(flatten) _(clone) \
  _(argsort) _(topk) _(index_select) _(masked_select) _(gather) _(nonzero) _(sum) _(mean) _(max) _(min) \
  _(cumsum) _(abs) _(exp) _(log) _(sqrt) _(sigmoid) _(mul) _(div) _(matmul) _(mm) _(sort)
WHEELFERRY_FUNCTIONS(WHEELFERRY_FUNCTION)
#undef WHEELFERRY_FUNCTION

template <typename T>
constexpr bool is_tensor = std::is_base_of_v<Tensor, T> || std::is_base_of_v<Row, T>;
template <typename A, typename B>
constexpr bool two_tensors = is_tensor<std::decay_t<A>> && is_tensor<std::decay_t<B>>;
template <typename A, typename B>
constexpr bool any_tensor = is_tensor<std::decay_t<A>> || is_tensor<std::decay_t<B>>;

// the two that torch calls with tensors alone; others have a factor beside them
template <typename A, typename B, std::enable_if_t<two_tensors<A, B>, int> = 0>
Tensor operator*(A&& a, B&& b) {
  return a.mul(b);
}
template <typename A, typename B, std::enable_if_t<two_tensors<A, B>, int> = 0>
Tensor operator/(A&& a, B&& b) {
  return a.div(b);
}
// torch's subtraction with the factor -1: its addition wants a Scalar, and a number as factor is for real
// numbers only
template <typename A, typename B, std::enable_if_t<two_tensors<A, B>, int> = 0>
A&& operator+=(A&& a, B&& b) {
  const Tensor sum(a.handle()), other(b.handle());
  TORCH_CHECK(
      isFloatingType(sum.scalar_type()) && isFloatingType(other.scalar_type()),
      "wheelferry's facade adds tensors of floating point numbers only (+=)");
  sum.copy_(abi::minus(sum, other, -1));
  return std::forward<A>(a);
}
WHEELFERRY_MISSING_OPERATORS

// the numbers of a tensor, which torch prints
template <typename T, std::enable_if_t<is_tensor<T>, int> = 0>
std::ostream& operator<<(std::ostream& stream, const T&) {
  static_assert(sizeof(T) == 0, "wheelferry's facade does not print tensors: print their sizes() or numbers");
  return stream;
}

// sizes in braces have no type that the templates above could take
inline Tensor reshape(const Tensor& tensor, IntArrayRef sizes) {
  return tensor.reshape(sizes);
}
inline Tensor permute(const Tensor& tensor, IntArrayRef dims) {
  return tensor.permute(dims);
}
inline Tensor sum(const Tensor& tensor, IntArrayRef dims, bool keepdim = false) {
  return tensor.sum(dims, keepdim);
}

} // namespace wheelferry
