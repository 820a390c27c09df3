// Scalar types, devices, sizes and options: the values that describe a tensor.
#pragma once

#include <torch/headeronly/core/DeviceType.h>
#include <torch/headeronly/core/Layout.h>
#include <torch/headeronly/core/MemoryFormat.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/HeaderOnlyArrayRef.h>

#include <array>
#include <complex>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

#include <wheelferry/abi.h>

namespace wheelferry WHEELFERRY_HIDDEN {

using c10::DeviceType;
using c10::Layout;
using c10::MemoryFormat;
using c10::ScalarType;

template <typename T>
using ArrayRef = c10::HeaderOnlyArrayRef<T>;
using IntArrayRef = ArrayRef<int64_t>;

// ------------------------------------------------------------------------- scalar types

namespace abi {

struct DtypeCode {
  ScalarType type;
  int32_t code;
};

// torch's own numbers of the scalar types, asked for instead of taken from a header.
inline const auto& dtype_codes() {
  static const std::array<DtypeCode, 20> codes{{
      {ScalarType::Byte, aoti_torch_dtype_uint8()},
      {ScalarType::Char, aoti_torch_dtype_int8()},
      {ScalarType::Short, aoti_torch_dtype_int16()},
      {ScalarType::Int, aoti_torch_dtype_int32()},
      {ScalarType::Long, aoti_torch_dtype_int64()},
      {ScalarType::Half, aoti_torch_dtype_float16()},
      {ScalarType::Float, aoti_torch_dtype_float32()},
      {ScalarType::Double, aoti_torch_dtype_float64()},
      {ScalarType::ComplexHalf, aoti_torch_dtype_complex32()},
      {ScalarType::ComplexFloat, aoti_torch_dtype_complex64()},
      {ScalarType::ComplexDouble, aoti_torch_dtype_complex128()},
      {ScalarType::Bool, aoti_torch_dtype_bool()},
      {ScalarType::BFloat16, aoti_torch_dtype_bfloat16()},
      {ScalarType::Float8_e5m2, aoti_torch_dtype_float8_e5m2()},
      {ScalarType::Float8_e4m3fn, aoti_torch_dtype_float8_e4m3fn()},
      {ScalarType::Float8_e5m2fnuz, aoti_torch_dtype_float8_e5m2fnuz()},
      {ScalarType::Float8_e4m3fnuz, aoti_torch_dtype_float8_e4m3fnuz()},
      {ScalarType::UInt16, aoti_torch_dtype_uint16()},
      {ScalarType::UInt32, aoti_torch_dtype_uint32()},
      {ScalarType::UInt64, aoti_torch_dtype_uint64()},
  }};
  return codes;
}

inline int32_t dtype_code(ScalarType type) {
  for (const DtypeCode& known : dtype_codes()) {
    if (known.type == type) {
      return known.code;
    }
  }
  raise("", "the scalar type ", c10::toString(type), " cannot cross torch's stable ABI");
}

inline ScalarType scalar_type(int32_t code) {
  for (const DtypeCode& known : dtype_codes()) {
    if (known.code == code) {
      return known.type;
    }
  }
  raise("", "torch's scalar type number ", code, " is not known here");
}

} // namespace abi

inline size_t elementSize(ScalarType type) {
  return aoti_torch_dtype_element_size(abi::dtype_code(type));
}
inline bool isFloatingType(ScalarType type) {
  return type == ScalarType::Half || type == ScalarType::BFloat16 || type == ScalarType::Float ||
      type == ScalarType::Double;
}
inline bool isComplexType(ScalarType type) {
  return type == ScalarType::ComplexHalf || type == ScalarType::ComplexFloat ||
      type == ScalarType::ComplexDouble;
}
inline bool isIntegralType(ScalarType type, bool with_bool) {
  switch (type) {
    case ScalarType::Byte:
    case ScalarType::Char:
    case ScalarType::Short:
    case ScalarType::Int:
    case ScalarType::Long:
    case ScalarType::UInt16:
    case ScalarType::UInt32:
    case ScalarType::UInt64:
      return true;
    default:
      return with_bool && type == ScalarType::Bool;
  }
}

#define WHEELFERRY_SCALAR_TYPES(_) \
  _(Byte) _(Char) _(Short) _(Int) _(Long) _(Half) _(Float) _(Double) _(ComplexHalf) _(ComplexFloat) \
  _(ComplexDouble) _(Bool) _(BFloat16) _(UInt16) _(UInt32) _(UInt64)
#define WHEELFERRY_CONSTANT(name) constexpr ScalarType k##name = ScalarType::name;
WHEELFERRY_SCALAR_TYPES(WHEELFERRY_CONSTANT)
#undef WHEELFERRY_CONSTANT

// ------------------------------------------------------------------------------ devices

using DeviceIndex = int8_t;

inline std::string device_type_name(DeviceType type) {
  switch (type) {
    case DeviceType::CPU: return "cpu";
    case DeviceType::CUDA: return "cuda";
    case DeviceType::Meta: return "meta";
    case DeviceType::XPU: return "xpu";
    case DeviceType::MPS: return "mps";
    case DeviceType::PrivateUse1: return "privateuseone";
    default: return str("device type ", static_cast<int>(type));
  }
}

namespace abi {

inline int32_t device_code(DeviceType type) {
  switch (type) {
    case DeviceType::CPU: return aoti_torch_device_type_cpu();
    case DeviceType::CUDA: return aoti_torch_device_type_cuda();
    case DeviceType::Meta: return aoti_torch_device_type_meta();
    case DeviceType::XPU: return aoti_torch_device_type_xpu();
    case DeviceType::MPS: return aoti_torch_device_type_mps();
    case DeviceType::PrivateUse1: return aoti_torch_device_type_privateuse1();
    default: raise("", device_type_name(type), " cannot cross torch's stable ABI");
  }
}

inline DeviceType device_type(int32_t code) {
  for (const DeviceType type :
       {DeviceType::CPU, DeviceType::CUDA, DeviceType::Meta, DeviceType::XPU, DeviceType::MPS,
        DeviceType::PrivateUse1}) {
    if (device_code(type) == code) {
      return type;
    }
  }
  raise("", "torch's device type number ", code, " is not known here");
}

} // namespace abi

class Device {
 public:
  Device(DeviceType type, DeviceIndex index = -1) : type_(type), index_(index) {}
  Device(const std::string& text) {
    uint32_t type = 0;
    int32_t index = -1;
    WHEELFERRY_CALL(torch_parse_device_string, text.c_str(), &type, &index);
    type_ = abi::device_type(static_cast<int32_t>(type));
    index_ = static_cast<DeviceIndex>(index);
  }
  Device(const char* text) : Device(std::string(text)) {}

  DeviceType type() const {
    return type_;
  }
  DeviceIndex index() const {
    return index_;
  }
  bool has_index() const {
    return index_ != -1;
  }
  bool is_cpu() const {
    return type_ == DeviceType::CPU;
  }
  bool is_cuda() const {
    return type_ == DeviceType::CUDA;
  }
  bool is_meta() const {
    return type_ == DeviceType::Meta;
  }
  std::string str() const {
    std::string text = device_type_name(type_);
    return has_index() ? text + ":" + std::to_string(index_) : text;
  }
  bool operator==(const Device& other) const {
    return type_ == other.type_ && index_ == other.index_;
  }
  bool operator!=(const Device& other) const {
    return !(*this == other);
  }

 private:
  DeviceType type_;
  DeviceIndex index_;
};

inline std::ostream& operator<<(std::ostream& stream, const Device& device) {
  return stream << device.str();
}

// ------------------------------------------------------------------------------ numbers

// A number of any kind, as functions take it.
class Scalar {
 public:
  Scalar() : Scalar(int64_t{0}) {}
  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  Scalar(T value) {
    if constexpr (std::is_same_v<T, bool>) {
      type_ = ScalarType::Bool;
      integer_ = value;
    } else if constexpr (std::is_integral_v<T>) {
      type_ = ScalarType::Long;
      integer_ = static_cast<int64_t>(value);
    } else {
      type_ = ScalarType::Double;
      real_ = static_cast<double>(value);
    }
  }
  Scalar(c10::Half value) : Scalar(static_cast<float>(value)) {}
  Scalar(c10::BFloat16 value) : Scalar(static_cast<float>(value)) {}

  ScalarType type() const {
    return type_;
  }
  bool isFloatingPoint() const {
    return type_ == ScalarType::Double;
  }
  bool isIntegral(bool with_bool = false) const {
    return type_ == ScalarType::Long || (with_bool && type_ == ScalarType::Bool);
  }
  bool isBoolean() const {
    return type_ == ScalarType::Bool;
  }
  template <typename T>
  T to() const {
    return isFloatingPoint() ? static_cast<T>(real_) : static_cast<T>(integer_);
  }
  double toDouble() const {
    return to<double>();
  }
  int64_t toLong() const {
    return to<int64_t>();
  }

 private:
  ScalarType type_;
  union {
    int64_t integer_;
    double real_;
  };
};

// ------------------------------------------------------------------------------ options

// What a new tensor is to be. What is not said is float32, on the CPU, strided, without gradient.
class TensorOptions {
 public:
  TensorOptions() = default;
  TensorOptions(ScalarType type) : dtype_(type) {}
  TensorOptions(Device device) : device_(device) {}
  TensorOptions(DeviceType type) : device_(Device(type)) {}
  TensorOptions(Layout layout) {
    set_layout(layout);
  }

  [[nodiscard]] TensorOptions dtype(std::optional<ScalarType> type) const {
    return with([&](TensorOptions& options) { options.dtype_ = type; });
  }
  template <typename T>
  [[nodiscard]] TensorOptions dtype() const {
    return dtype(c10::CppTypeToScalarType<T>::value);
  }
  [[nodiscard]] TensorOptions device(std::optional<Device> device) const {
    return with([&](TensorOptions& options) { options.device_ = device; });
  }
  [[nodiscard]] TensorOptions device(DeviceType type, DeviceIndex index = -1) const {
    return device(Device(type, index));
  }
  [[nodiscard]] TensorOptions device_index(DeviceIndex index) const {
    return device(Device(DeviceType::CUDA, index));
  }
  [[nodiscard]] TensorOptions layout(std::optional<Layout> layout) const {
    return with([&](TensorOptions& options) { options.set_layout(layout.value_or(Layout::Strided)); });
  }
  [[nodiscard]] TensorOptions requires_grad(std::optional<bool> value) const {
    return with([&](TensorOptions& options) { options.requires_grad_ = value.value_or(false); });
  }
  [[nodiscard]] TensorOptions pinned_memory(std::optional<bool> value) const {
    return with([&](TensorOptions& options) { options.pinned_memory_ = value.value_or(false); });
  }
  [[nodiscard]] TensorOptions memory_format(std::optional<MemoryFormat> value) const {
    return with([&](TensorOptions& options) { options.memory_format_ = value; });
  }

  ScalarType dtype() const {
    return dtype_.value_or(ScalarType::Float);
  }
  Device device() const {
    return device_.value_or(Device(DeviceType::CPU));
  }
  DeviceIndex device_index() const {
    return device().index();
  }
  Layout layout() const {
    return Layout::Strided;
  }
  bool requires_grad() const {
    return requires_grad_;
  }
  bool pinned_memory() const {
    return pinned_memory_;
  }
  std::optional<ScalarType> dtype_opt() const {
    return dtype_;
  }
  std::optional<Device> device_opt() const {
    return device_;
  }
  std::optional<MemoryFormat> memory_format_opt() const {
    return memory_format_;
  }
  bool has_dtype() const {
    return dtype_.has_value();
  }
  bool has_device() const {
    return device_.has_value();
  }

 private:
  template <typename Change>
  TensorOptions with(const Change& change) const {
    TensorOptions options = *this;
    change(options);
    return options;
  }
  static void set_layout(Layout layout) {
    TORCH_CHECK(layout == Layout::Strided, "wheelferry's facade knows strided tensors only");
  }

  std::optional<ScalarType> dtype_;
  std::optional<Device> device_;
  std::optional<MemoryFormat> memory_format_;
  bool requires_grad_ = false;
  bool pinned_memory_ = false;
};

inline TensorOptions dtype(ScalarType type) {
  return TensorOptions(type);
}
template <typename T>
TensorOptions dtype() {
  return TensorOptions(c10::CppTypeToScalarType<T>::value);
}
inline TensorOptions device(Device device) {
  return TensorOptions(device);
}
inline TensorOptions layout(Layout layout) {
  return TensorOptions(layout);
}
inline TensorOptions requires_grad(bool value = true) {
  return TensorOptions().requires_grad(value);
}

} // namespace wheelferry

namespace c10 {
using wheelferry::ArrayRef;
using wheelferry::Device;
using wheelferry::DeviceIndex;
using wheelferry::elementSize;
using wheelferry::IntArrayRef;
using wheelferry::isComplexType;
using wheelferry::isFloatingType;
using wheelferry::isIntegralType;
using wheelferry::Scalar;
using wheelferry::TensorOptions;
template <typename T>
using optional = std::optional<T>;
using std::make_optional;
using std::nullopt;
using std::nullopt_t;
#define WHEELFERRY_CONSTANT(name) using wheelferry::k##name;
WHEELFERRY_SCALAR_TYPES(WHEELFERRY_CONSTANT)
#undef WHEELFERRY_CONSTANT

// Hidden: libc10 exports a function of this name, which must not be replaced by ours.
C10_HIDDEN inline std::ostream& operator<<(std::ostream& stream, DeviceType type) {
  return stream << wheelferry::device_type_name(type);
}
template <typename T>
std::ostream& operator<<(std::ostream& stream, const HeaderOnlyArrayRef<T>& values) {
  stream << '[';
  for (size_t i = 0; i < values.size(); ++i) {
    stream << (i ? ", " : "") << values[i];
  }
  return stream << ']';
}
template <typename T>
bool operator==(const HeaderOnlyArrayRef<T>& a, const HeaderOnlyArrayRef<T>& b) {
  return a.equals(b);
}
template <typename T>
bool operator!=(const HeaderOnlyArrayRef<T>& a, const HeaderOnlyArrayRef<T>& b) {
  return !a.equals(b);
}
} // namespace c10
