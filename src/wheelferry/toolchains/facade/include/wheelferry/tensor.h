// at::Tensor: a handle of one of torch's tensors, copied as a handle.
#pragma once

#include <torch/headeronly/core/TensorAccessor.h>

#include <optional>
#include <ostream>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <wheelferry/call.h>
#include <wheelferry/missing.h>

namespace wheelferry WHEELFERRY_HIDDEN {

class Row;
class Tensor;

template <typename T, size_t N, template <typename U> class PtrTraits = torch::headeronly::DefaultPtrTraits>
using TensorAccessor = torch::headeronly::detail::TensorAccessor<IntArrayRef, T, N, PtrTraits, int64_t>;

template <>
struct Value<Tensor>;

namespace abi {

inline int64_t wrapped(int64_t dim, int64_t dims) {
  const int64_t range = dims > 0 ? dims : 1;
  TORCH_CHECK(
      dim >= -range && dim < range, "Dimension out of range (expected to be in range of [", -range, ", ",
      range - 1, "], but got ", dim, ")");
  return dim < 0 ? dim + range : dim;
}

template <typename T>
void check_type(ScalarType found) {
  constexpr ScalarType expected = c10::CppTypeToScalarType<std::remove_const_t<T>>::value;
  TORCH_CHECK(
      found == expected, "expected scalar type ", c10::toString(expected), " but found ",
      c10::toString(found));
}

// The same pointer, unless there is nothing behind it. A tensor of the meta device, a fake one or one whose
// storage was resized to nothing has elements but no memory; torch then counts its untyped pointers from null.
template <typename Self, typename Pointer>
Pointer* allocated(const Self& tensor, Pointer* data, size_t element_size) {
  const auto before = static_cast<uintptr_t>(tensor.storage_offset()) * element_size;
  TORCH_CHECK(
      reinterpret_cast<uintptr_t>(data) != before || tensor.numel() == 0,
      "The tensor has a non-zero number of elements, but its data is not allocated yet.");
  return data;
}

// Calls `visit` with a value-initialised value of the C++ type.
template <typename Visit>
decltype(auto) with_cpp_type(ScalarType type, const Visit& visit) {
  switch (type) {
    case ScalarType::Byte: return visit(uint8_t{});
    case ScalarType::Char: return visit(int8_t{});
    case ScalarType::Short: return visit(int16_t{});
    case ScalarType::Int: return visit(int32_t{});
    case ScalarType::Long: return visit(int64_t{});
    case ScalarType::UInt16: return visit(uint16_t{});
    case ScalarType::UInt32: return visit(uint32_t{});
    case ScalarType::UInt64: return visit(uint64_t{});
    case ScalarType::Half: return visit(c10::Half{});
    case ScalarType::BFloat16: return visit(c10::BFloat16{});
    case ScalarType::Float: return visit(float{});
    case ScalarType::Double: return visit(double{});
    case ScalarType::Bool: return visit(bool{});
    default: raise("", "numbers of scalar type ", c10::toString(type), " are not covered");
  }
}

} // namespace abi

// What sources of 2019 ask of a tensor.type(): its kind of numbers and whether they are on a GPU.
class DeprecatedTypeProperties {
 public:
  DeprecatedTypeProperties(ScalarType scalar_type, DeviceType device_type)
      : scalar_type_(scalar_type), device_type_(device_type) {}
  ScalarType scalarType() const {
    return scalar_type_;
  }
  DeviceType device_type() const {
    return device_type_;
  }
  bool is_cuda() const {
    return device_type_ == DeviceType::CUDA;
  }
  // AT_DISPATCH_* take it for the scalar type.
  operator ScalarType() const {
    return scalar_type_;
  }
  bool operator==(const DeprecatedTypeProperties& other) const {
    return scalar_type_ == other.scalar_type_ && device_type_ == other.device_type_;
  }

 private:
  ScalarType scalar_type_;
  DeviceType device_type_;
};

// What at::Tensor and at::Tensor[i] have in common. `Self` knows its handle(), dim(), sizes(),
// strides(), storage_offset(), scalar_type(), device() and mutable_data().
template <typename Self>
class TensorMethods {
 public:
  // ---- shape and kind
  int64_t size(int64_t dim) const {
    return self().sizes()[abi::wrapped(dim, checked_dim(dim))];
  }
  int64_t stride(int64_t dim) const {
    return self().strides()[abi::wrapped(dim, checked_dim(dim))];
  }
  int64_t ndimension() const {
    return self().dim();
  }
  int64_t numel() const {
    int64_t count = 1;
    for (const int64_t size : self().sizes()) {
      count *= size;
    }
    return count;
  }
  size_t element_size() const {
    return elementSize(self().scalar_type());
  }
  size_t itemsize() const {
    return element_size();
  }
  size_t nbytes() const {
    return element_size() * static_cast<size_t>(numel());
  }
  ScalarType dtype() const {
    return self().scalar_type();
  }
  DeprecatedTypeProperties type() const {
    return DeprecatedTypeProperties(self().scalar_type(), self().device().type());
  }
  Layout layout() const {
    return Layout::Strided;
  }
  TensorOptions options() const {
    return TensorOptions(self().scalar_type()).device(self().device());
  }
  bool is_cpu() const {
    return self().device().is_cpu();
  }
  bool is_cuda() const {
    return self().device().is_cuda();
  }
  bool is_meta() const {
    return self().device().is_meta();
  }
  int64_t get_device() const {
    return self().device().index();
  }
  bool is_floating_point() const {
    return isFloatingType(self().scalar_type());
  }
  bool is_complex() const {
    return isComplexType(self().scalar_type());
  }
  bool is_same_size(const Tensor& other) const;

  // ---- the numbers
  template <typename T>
  T* data_ptr() const {
    abi::check_type<T>(self().scalar_type());
    return static_cast<T*>(abi::allocated(self(), self().mutable_data(), sizeof(T)));
  }
  void* data_ptr() const {
    return self().mutable_data();
  }
  template <typename T>
  T* mutable_data_ptr() const {
    return data_ptr<T>();
  }
  void* mutable_data_ptr() const {
    return self().mutable_data();
  }
  template <typename T>
  const std::remove_const_t<T>* const_data_ptr() const {
    abi::check_type<T>(self().scalar_type());
    return static_cast<const std::remove_const_t<T>*>(abi::allocated(self(), self().const_data(), sizeof(T)));
  }
  const void* const_data_ptr() const {
    return self().const_data();
  }
  // One number of a tensor that has one element.
  template <typename T>
  T item() const;
  Scalar item() const;

  // ---- views and copies
  Tensor select(int64_t dim, int64_t index) const;
  Tensor narrow(int64_t dim, int64_t start, int64_t length) const;
  Tensor slice(
      int64_t dim = 0, std::optional<int64_t> start = std::nullopt, std::optional<int64_t> end = std::nullopt,
      int64_t step = 1) const;
  Tensor view(IntArrayRef sizes) const;
  Tensor view(ScalarType type) const;
  Tensor view_as(const Tensor& other) const;
  Tensor reshape(IntArrayRef sizes) const;
  Tensor reshape_as(const Tensor& other) const;
  Tensor expand(IntArrayRef sizes, bool implicit = false) const;
  Tensor permute(IntArrayRef dims) const;
  Tensor transpose(int64_t a, int64_t b) const;
  Tensor t() const;
  const Self& transpose_(int64_t a, int64_t b) const;
  const Self& t_() const;
  const Self& unsqueeze_(int64_t dim) const;
  const Self& squeeze_() const;
  const Self& squeeze_(int64_t dim) const;
  Tensor squeeze() const;
  Tensor squeeze(int64_t dim) const;
  Tensor unsqueeze(int64_t dim) const;
  Tensor flatten(int64_t first = 0, int64_t last = -1) const;
  Tensor detach() const;
  Tensor contiguous(MemoryFormat format = MemoryFormat::Contiguous) const;
  Tensor clone(std::optional<MemoryFormat> format = std::nullopt) const;
  Tensor to(ScalarType type, bool non_blocking = false, bool copy = false) const;
  Tensor to(Device device, ScalarType type, bool non_blocking = false, bool copy = false) const;
  Tensor to(Device device, bool non_blocking = false, bool copy = false) const;
  Tensor to(DeviceType type, bool non_blocking = false, bool copy = false) const;
  Tensor to(TensorOptions options, bool non_blocking = false, bool copy = false) const;
  Tensor to(const Tensor& other, bool non_blocking = false, bool copy = false) const;
  Tensor type_as(const Tensor& other) const;
  Tensor toType(ScalarType type) const;
  Tensor cpu() const;

  // ---- new tensors like this one
  Tensor new_empty(IntArrayRef sizes, TensorOptions options = {}) const;
  Tensor new_zeros(IntArrayRef sizes, TensorOptions options = {}) const;
  Tensor new_ones(IntArrayRef sizes, TensorOptions options = {}) const;
  Tensor new_full(IntArrayRef sizes, const Scalar& value, TensorOptions options = {}) const;

  // ---- in place
  const Self& zero_() const;
  const Self& fill_(const Scalar& value) const;
  const Self& copy_(const Tensor& source, bool non_blocking = false) const;

  // ---- by torch's operators
  std::tuple<Tensor, Tensor> sort(int64_t dim = -1, bool descending = false) const;
  std::tuple<Tensor, Tensor> sort(std::optional<bool> stable, int64_t dim = -1, bool descending = false) const;
  Tensor argsort(int64_t dim = -1, bool descending = false) const;
  std::tuple<Tensor, Tensor> topk(int64_t k, int64_t dim = -1, bool largest = true, bool sorted = true) const;
  Tensor index_select(int64_t dim, const Tensor& index) const;
  // A tensor of indices, or a mask, for each of the first dimensions.
  Tensor index(const std::vector<Tensor>& indices) const;
  Tensor masked_select(const Tensor& mask) const;
  Tensor gather(int64_t dim, const Tensor& index) const;
  Tensor nonzero() const;
  Tensor sum() const;
  Tensor sum(IntArrayRef dims, bool keepdim = false) const;
  Tensor mean() const;
  Tensor max() const;
  Tensor min() const;
  std::tuple<Tensor, Tensor> max(int64_t dim, bool keepdim = false) const;
  std::tuple<Tensor, Tensor> min(int64_t dim, bool keepdim = false) const;
  Tensor cumsum(int64_t dim) const;
  Tensor abs() const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor sigmoid() const;
  Tensor mul(const Tensor& other) const;
  Tensor div(const Tensor& other) const;
  Tensor matmul(const Tensor& other) const;
  Tensor mm(const Tensor& other) const;
  // beta * this + alpha * (a @ b), written into this.
  const Self& addmm_(const Tensor& a, const Tensor& b, const Scalar& beta = 1, const Scalar& alpha = 1) const;

#include <wheelferry/missing_methods.h>

 private:
  const Self& self() const {
    return static_cast<const Self&>(*this);
  }
  int64_t checked_dim(int64_t dim) const {
    const int64_t dims = self().dim();
    TORCH_CHECK(
        dims > 0, "Dimension specified as ", dim, " but tensor has no dimensions");
    return dims;
  }
};

class Tensor : public TensorMethods<Tensor> {
 public:
  Tensor() = default;
  explicit Tensor(Handle handle) : handle_(std::move(handle)) {}

  // The tensor as torch's functions take it; throws when it is undefined.
  AtenTensorHandle get() const {
    TORCH_CHECK(handle_ != nullptr, "a tensor is used that is undefined");
    return handle_.get();
  }
  const Handle& handle() const {
    return handle_;
  }

  bool defined() const {
    return handle_ != nullptr;
  }
  void reset() {
    handle_.reset();
  }
  bool is_same(const Tensor& other) const {
    return handle_ == other.handle_;
  }
  long use_count() const {
    return handle_.use_count();
  }

  int64_t dim() const {
    int64_t dims = 0;
    WHEELFERRY_CALL(aoti_torch_get_dim, get(), &dims);
    return dims;
  }
  IntArrayRef sizes() const {
    int64_t* sizes = nullptr;
    WHEELFERRY_CALL(aoti_torch_get_sizes, get(), &sizes);
    return IntArrayRef(sizes, static_cast<size_t>(dim()));
  }
  IntArrayRef strides() const {
    int64_t* strides = nullptr;
    WHEELFERRY_CALL(aoti_torch_get_strides, get(), &strides);
    return IntArrayRef(strides, static_cast<size_t>(dim()));
  }
  int64_t storage_offset() const {
    int64_t offset = 0;
    WHEELFERRY_CALL(aoti_torch_get_storage_offset, get(), &offset);
    return offset;
  }
  ScalarType scalar_type() const {
    int32_t code = 0;
    WHEELFERRY_CALL(aoti_torch_get_dtype, get(), &code);
    return abi::scalar_type(code);
  }
  Device device() const {
    int32_t type = 0, index = 0;
    WHEELFERRY_CALL(aoti_torch_get_device_type, get(), &type);
    WHEELFERRY_CALL(aoti_torch_get_device_index, get(), &index);
    return Device(abi::device_type(type), static_cast<DeviceIndex>(index));
  }
  bool is_contiguous(MemoryFormat format = MemoryFormat::Contiguous) const {
    TORCH_CHECK(
        format == MemoryFormat::Contiguous, "wheelferry's facade knows is_contiguous() without a memory format only");
    bool contiguous = false;
    WHEELFERRY_CALL(aoti_torch_is_contiguous, get(), &contiguous);
    return contiguous;
  }
  const Tensor& set_requires_grad(bool value) const {
    WHEELFERRY_CALL(torch_set_requires_grad, get(), value);
    return *this;
  }

  void* mutable_data() const {
    void* data = nullptr;
    WHEELFERRY_CALL(torch_get_mutable_data_ptr, get(), &data);
    return data;
  }
  const void* const_data() const {
    const void* data = nullptr;
    WHEELFERRY_CALL(torch_get_const_data_ptr, get(), &data);
    return data;
  }

  template <typename T, size_t N>
  TensorAccessor<T, N> accessor() const& {
    static_assert(N > 0, "accessor is used for indexing tensor, for scalars use *data_ptr<T>()");
    TORCH_CHECK(dim() == N, "TensorAccessor expected ", N, " dims but tensor has ", dim());
    using Element = std::remove_const_t<T>;
    T* data = nullptr;
    if constexpr (std::is_const_v<T>) {
      data = this->template const_data_ptr<Element>();
    } else {
      data = this->template data_ptr<Element>();
    }
    return TensorAccessor<T, N>(data, sizes().data(), strides().data());
  }
  template <typename T, size_t N>
  TensorAccessor<T, N> accessor() && = delete;  // it would outlive its tensor

  Row operator[](int64_t index) const;
  Tensor operator[](const Tensor& index) const;

  const Tensor& requires_grad_(bool value = true) const {
    return set_requires_grad(value);
  }

 private:
  Handle handle_;
};

template <>
struct Value<Tensor> {
  static StableIValue give(const Tensor& tensor) {
    return Value<Handle>::give(tensor.handle());
  }
  static Tensor take(StableIValue entry) {
    return Tensor(Value<Handle>::take(entry));
  }
};

// tensor[i] along the first dimension. It becomes a tensor of torch's only where one is needed:
// `boxes[i].data_ptr<float>()` and `result[i] = 1` in a loop take nanoseconds, where torch's
// operator takes a microsecond.
class Row : public TensorMethods<Row> {
 public:
  Row(Tensor whole, int64_t index) : whole_(std::move(whole)) {
    const int64_t dims = whole_.dim();
    TORCH_CHECK(dims > 0, "select() cannot be applied to a 0-dim tensor.");
    const int64_t size = whole_.sizes()[0];
    TORCH_CHECK(
        index >= -size && index < size, "index ", index, " is out of bounds for dimension 0 with size ", size);
    index_ = index < 0 ? index + size : index;
  }
  Row(const Row&) = default;
  Row(Row&&) = default;
  ~Row() = default;

  Tensor tensor() const {
    return call<Tensor>("aten::select", "int", whole_, int64_t{0}, index_);
  }
  operator Tensor() const {
    return tensor();
  }
  Handle handle() const {
    return tensor().handle();
  }

  // As with torch's Tensor, assigning to `t[i]` writes into t; a variable is bound anew instead.
  Row&& operator=(const Scalar& value) && {
    fill_(value);
    return std::move(*this);
  }
  Row&& operator=(const Tensor& source) && {
    copy_(source);
    return std::move(*this);
  }
  Row&& operator=(const Row& source) && {
    copy_(source.tensor());
    return std::move(*this);
  }
  Row& operator=(const Row& other) & = default;
  Row& operator=(Row&& other) & = default;
  template <typename T>
  Row& operator=(const T&) & {
    static_assert(
        sizeof(T) == 0,
        "wheelferry's facade: a variable made by `auto x = tensor[i]` cannot be assigned another tensor; "
        "declare it as at::Tensor");
    return *this;
  }

  bool defined() const {
    return true;
  }
  int64_t dim() const {
    return whole_.dim() - 1;
  }
  IntArrayRef sizes() const {
    return whole_.sizes().slice(1);
  }
  IntArrayRef strides() const {
    return whole_.strides().slice(1);
  }
  int64_t storage_offset() const {
    return whole_.storage_offset() + index_ * whole_.strides()[0];
  }
  ScalarType scalar_type() const {
    return whole_.scalar_type();
  }
  Device device() const {
    return whole_.device();
  }
  bool is_contiguous() const {
    return tensor().is_contiguous();
  }
  void* mutable_data() const {
    return static_cast<char*>(whole_.mutable_data()) + offset();
  }
  const void* const_data() const {
    return static_cast<const char*>(whole_.const_data()) + offset();
  }
  template <typename T, size_t N>
  TensorAccessor<T, N> accessor() const {
    static_assert(sizeof(T) == 0, "wheelferry's facade: write `at::Tensor row = t[i];` and row.accessor()");
    return TensorAccessor<T, N>(nullptr, nullptr, nullptr);
  }
  Row operator[](int64_t index) const {
    return Row(tensor(), index);
  }
  const Row& set_requires_grad(bool) const = delete;

 private:
  int64_t offset() const {
    return index_ * whole_.strides()[0] * static_cast<int64_t>(element_size());
  }

  Tensor whole_;
  int64_t index_;
};

inline Row Tensor::operator[](int64_t index) const {
  return Row(*this, index);
}

} // namespace wheelferry
