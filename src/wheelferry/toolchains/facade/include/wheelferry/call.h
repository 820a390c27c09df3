// Calls of torch's operators by name.
#pragma once

#include <algorithm>
#include <array>
#include <tuple>

#include <wheelferry/values.h>

namespace wheelferry WHEELFERRY_HIDDEN {
namespace abi {

template <typename Result>
struct Results {
  static constexpr size_t count = 1;
  static Result take(const StableIValue* stack) {
    return Value<Result>::take(stack[0]);
  }
};

template <>
struct Results<void> {
  static constexpr size_t count = 0;
  static void take(const StableIValue*) {}
};

template <typename... Each>
struct Results<std::tuple<Each...>> {
  static constexpr size_t count = sizeof...(Each);
  static std::tuple<Each...> take(const StableIValue* stack) {
    return take_each(stack, std::index_sequence_for<Each...>());
  }

 private:
  template <size_t... I>
  static std::tuple<Each...> take_each(const StableIValue* stack, std::index_sequence<I...>) {
    return {Value<Each>::take(stack[I])...};
  }
};

} // namespace abi

// Result call<Result>("aten::sort", "", arguments...): the arguments exactly as the schema has
// them in torch 2.10, all of them. A schema with a Scalar cannot be called this way.
template <typename Result, typename... Args>
Result call(const char* name, const char* overload, const Args&... args) {
  std::array<StableIValue, std::max(sizeof...(Args), abi::Results<Result>::count) + 1> stack{};
  size_t next = 0;
  ((stack[next++] = Value<Args>::give(args)), ...);
  if (torch_call_dispatcher(name, overload, stack.data(), kAbiVersion) != AOTI_TORCH_SUCCESS) {
    abi::fail(name);
  }
  return abi::Results<Result>::take(stack.data());
}

} // namespace wheelferry
