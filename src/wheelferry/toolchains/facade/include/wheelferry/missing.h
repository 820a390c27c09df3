// The common calls of ATen that are not covered: each is there to say so by name.
//
// The names are those of torch 2.13's Tensor methods and operators. Whatever else is missing is
// unknown to the compiler, which says so too.
#pragma once

#include <type_traits>

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <wheelferry/error.h>

namespace wheelferry WHEELFERRY_HIDDEN {
namespace abi {

template <typename... Args>
constexpr bool first_is_number = false;
template <typename First, typename... Others>
constexpr bool first_is_number<First, Others...> = std::is_arithmetic_v<std::decay_t<First>> ||
    std::is_same_v<std::decay_t<First>, c10::Half> || std::is_same_v<std::decay_t<First>, c10::BFloat16>;

} // namespace abi
} // namespace wheelferry

#define WHEELFERRY_NO_METHOD(name)                                                                \
  template <typename Never = Self, typename... Args>                                              \
  const Never& name(Args&&...) const {                                                            \
    static_assert(sizeof(Never) == 0, "wheelferry's facade does not cover at::Tensor::" #name);   \
    return static_cast<const Never&>(*this);                                                      \
  }

#define WHEELFERRY_NO_FUNCTION_WHERE(name, condition)                                             \
  template <typename Never = ::wheelferry::Tensor, typename... Args,                              \
            std::enable_if_t<condition, int> = 0>                                                 \
  Never name(Args&&...) {                                                                         \
    static_assert(sizeof(Never) == 0, "wheelferry's facade does not cover at::" #name);           \
    return Never();                                                                               \
  }
// The standard library and CUDA have functions of these names for numbers: `using namespace at; floor(x)`.
#define WHEELFERRY_NO_FUNCTION(name) \
  WHEELFERRY_NO_FUNCTION_WHERE(name, !::wheelferry::abi::first_is_number<Args...>)
// These take numbers in torch too.
#define WHEELFERRY_NO_CREATION(name) WHEELFERRY_NO_FUNCTION_WHERE(name, sizeof...(Args) < 100)

// Between two operands; `condition` says which.
#define WHEELFERRY_NO_OPERATOR_WHERE(sign, condition)                                             \
  template <typename A, typename B, std::enable_if_t<condition, int> = 0>                         \
  Tensor operator sign(A&&, B&&) {                                                                \
    static_assert(                                                                                \
        sizeof(A) == 0, "wheelferry's facade does not cover operators between tensors: " #sign);  \
    return Tensor();                                                                              \
  }
#define WHEELFERRY_NO_OPERATOR(sign) WHEELFERRY_NO_OPERATOR_WHERE(sign, (any_tensor<A, B>))
#define WHEELFERRY_NO_OPERATOR_WITH_NUMBER(sign) \
  WHEELFERRY_NO_OPERATOR_WHERE(sign, (any_tensor<A, B> && !two_tensors<A, B>))
#define WHEELFERRY_MISSING_OPERATORS \
  WHEELFERRY_NO_OPERATOR_WITH_NUMBER(*) WHEELFERRY_NO_OPERATOR_WITH_NUMBER(/) \
  WHEELFERRY_NO_OPERATOR_WITH_NUMBER(+=) \
  WHEELFERRY_NO_OPERATOR(+) WHEELFERRY_NO_OPERATOR(-) \
  WHEELFERRY_NO_OPERATOR(<) WHEELFERRY_NO_OPERATOR(<=) WHEELFERRY_NO_OPERATOR(>) WHEELFERRY_NO_OPERATOR(>=) \
  WHEELFERRY_NO_OPERATOR(==) WHEELFERRY_NO_OPERATOR(!=) WHEELFERRY_NO_OPERATOR(&) WHEELFERRY_NO_OPERATOR(|) \
  WHEELFERRY_NO_OPERATOR(-=) WHEELFERRY_NO_OPERATOR(*=) WHEELFERRY_NO_OPERATOR(/=)
