// Values on torch's stack of arguments and results, by the convention of torch 2.10.
//
// Value<T>::give makes an entry that torch will own; Value<T>::take owns what torch gave.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <wheelferry/handle.h>
#include <wheelferry/types.h>

namespace wheelferry WHEELFERRY_HIDDEN {

template <typename T>
struct Value {
  static_assert(
      std::is_same_v<T, int64_t> || std::is_same_v<T, double> || std::is_same_v<T, bool>,
      "wheelferry's facade: torch operators take and return at::Tensor, int64_t, double, bool, std::string, "
      "at::Device, at::ScalarType, std::vector or std::optional of these, and std::tuple as a result; "
      "not int or float (torch refuses these too), and no other type");
  static StableIValue give(T value) {
    StableIValue entry = 0;
    std::memcpy(&entry, &value, sizeof value);
    return entry;
  }
  static T take(StableIValue entry) {
    T value;
    std::memcpy(&value, &entry, sizeof value);
    return value;
  }
};

namespace abi {
template <typename Pointer>
StableIValue give_pointer(Pointer* pointer) {
  return static_cast<StableIValue>(reinterpret_cast<uintptr_t>(pointer));
}
template <typename Pointer>
Pointer take_pointer(StableIValue entry) {
  return reinterpret_cast<Pointer>(static_cast<uintptr_t>(entry));
}
} // namespace abi

template <>
struct Value<Handle> {
  static StableIValue give(const Handle& handle) {
    return abi::give_pointer(abi::share(handle));
  }
  static Handle take(StableIValue entry) {
    return abi::steal_defined(abi::take_pointer<AtenTensorHandle>(entry));
  }
};

template <>
struct Value<std::nullopt_t> {
  static StableIValue give(std::nullopt_t) {
    return 0;
  }
};

template <>
struct Value<ScalarType> {
  static StableIValue give(ScalarType type) {
    return static_cast<uint32_t>(abi::dtype_code(type));
  }
  static ScalarType take(StableIValue entry) {
    return abi::scalar_type(static_cast<int32_t>(entry));
  }
};

template <>
struct Value<MemoryFormat> {
  static StableIValue give(MemoryFormat format) {
    return static_cast<uint32_t>(code(format));
  }

 private:
  static int32_t code(MemoryFormat format) {
    switch (format) {
      case MemoryFormat::Contiguous: return aoti_torch_memory_format_contiguous_format();
      case MemoryFormat::Preserve: return aoti_torch_memory_format_preserve_format();
      case MemoryFormat::ChannelsLast: return aoti_torch_memory_format_channels_last();
      case MemoryFormat::ChannelsLast3d: return aoti_torch_memory_format_channels_last_3d();
      default: raise("memory format unknown");
    }
  }
};

// The index in the lower half, torch's number of the type in the upper one.
template <>
struct Value<Device> {
  static StableIValue give(const Device& device) {
    const auto index = static_cast<uint32_t>(static_cast<int32_t>(device.index()));
    const auto type = static_cast<uint32_t>(abi::device_code(device.type()));
    return (static_cast<StableIValue>(type) << 32) | index;
  }
  static Device take(StableIValue entry) {
    const auto index = static_cast<int32_t>(entry & 0xffffffffU);
    return Device(abi::device_type(static_cast<int32_t>(entry >> 32)), static_cast<DeviceIndex>(index));
  }
};

template <>
struct Value<std::string> {
  static StableIValue give(std::string_view text) {
    StringHandle handle = nullptr;
    WHEELFERRY_CALL(torch_new_string_handle, text.data(), text.size(), &handle);
    return abi::give_pointer(handle);
  }
  static std::string take(StableIValue entry) {
    const auto handle = abi::take_pointer<StringHandle>(entry);
    const std::unique_ptr<StringOpaque, void (*)(StringHandle)> owner(
        handle, [](StringHandle owned) { (void)torch_delete_string(owned); });
    size_t length = 0;
    const char* text = nullptr;
    WHEELFERRY_CALL(torch_string_length, handle, &length);
    WHEELFERRY_CALL(torch_string_c_str, handle, &text);
    return std::string(text, length);
  }
};

template <typename T>
struct Value<std::optional<T>> {
  static StableIValue give(const std::optional<T>& value) {
    if (!value) {
      return 0;
    }
    const StableIValue inner = Value<T>::give(*value);
    StableIValue* entry = abi::new_value();
    *entry = inner;
    return abi::give_pointer(entry);
  }
  static std::optional<T> take(StableIValue entry) {
    auto* pointer = abi::take_pointer<StableIValue*>(entry);
    if (!pointer) {
      return std::nullopt;
    }
    const StableIValue inner = *pointer;
    abi::delete_value(pointer);
    return Value<T>::take(inner);
  }
};

template <typename T>
struct Value<std::vector<T>> {
  template <typename Values>
  static StableIValue give(const Values& values) {
    StableListHandle list = nullptr;
    WHEELFERRY_CALL(torch_new_list_reserve_size, values.size(), &list);
    Owner owner(list, release);
    for (const auto& value : values) {
      WHEELFERRY_CALL(torch_list_push_back, list, Value<T>::give(value));
    }
    return abi::give_pointer(owner.release());
  }
  static std::vector<T> take(StableIValue entry) {
    const auto list = abi::take_pointer<StableListHandle>(entry);
    const Owner owner(list, release);
    size_t size = 0;
    WHEELFERRY_CALL(torch_list_size, list, &size);
    std::vector<T> values;
    values.reserve(size);
    for (size_t i = 0; i < size; ++i) {
      StableIValue element = 0;
      WHEELFERRY_CALL(torch_list_get_item, list, i, &element);
      values.push_back(Value<T>::take(element));
    }
    return values;
  }

 private:
  using Owner = std::unique_ptr<StableListOpaque, void (*)(StableListHandle)>;
  static void release(StableListHandle list) {
    (void)torch_delete_list(list);
  }
};

template <typename T>
struct Value<ArrayRef<T>> {
  static StableIValue give(ArrayRef<T> values) {
    return Value<std::vector<T>>::give(values);
  }
};

} // namespace wheelferry
