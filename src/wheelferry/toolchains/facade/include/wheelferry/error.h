// Errors and the checks that raise them: RuntimeError in Python, with the message.
#pragma once

#include <exception>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>

// Two modules built with the facade share nothing, whatever the flags they were built with.
#ifdef _WIN32
#define WHEELFERRY_HIDDEN
#else
#define WHEELFERRY_HIDDEN __attribute__((visibility("hidden")))
#endif

namespace wheelferry WHEELFERRY_HIDDEN {

// c10::Error to sources. Ours has a name of its own because libtorch's differs in layout and
// both could meet in one process.
class Error : public std::exception {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override {
    return message_.c_str();
  }
  const char* what_without_backtrace() const noexcept {
    return message_.c_str();
  }
  const std::string& msg() const noexcept {
    return message_;
  }

 private:
  std::string message_;
};

// All arguments after one another, as std::ostream prints them.
template <typename... Args>
std::string str(const Args&... args) {
  std::ostringstream text;
  (void)(text << ... << args);
  return text.str();
}

template <typename... Args>
[[noreturn]] __attribute__((noinline, cold)) void raise(const char* otherwise, const Args&... args) {
  throw Error(sizeof...(Args) ? str(args...) : std::string(otherwise));
}

} // namespace wheelferry

namespace c10 {
using wheelferry::Error;
using wheelferry::str;
using IndexError = wheelferry::Error;
using ValueError = wheelferry::Error;
using TypeError = wheelferry::Error;
using NotImplementedError = wheelferry::Error;
} // namespace c10

#define WHEELFERRY_EXPECTED(condition) "Expected " #condition " to be true, but got false."
#define WHEELFERRY_PLACE(condition) \
  #condition " INTERNAL ASSERT FAILED at " __FILE__ ". Please report a bug to the operators' authors. "

#define TORCH_CHECK(condition, ...)                                              \
  do {                                                                           \
    if (__builtin_expect(!(condition), 0)) {                                     \
      ::wheelferry::raise(WHEELFERRY_EXPECTED(condition), ##__VA_ARGS__);        \
    }                                                                            \
  } while (false)
#define TORCH_INTERNAL_ASSERT(condition, ...)                                    \
  do {                                                                           \
    if (__builtin_expect(!(condition), 0)) {                                     \
      ::wheelferry::raise("", WHEELFERRY_PLACE(condition), ##__VA_ARGS__);       \
    }                                                                            \
  } while (false)
#ifdef NDEBUG
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY(...) \
  do {                                        \
  } while (false)
#else
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY TORCH_INTERNAL_ASSERT
#endif

#define TORCH_CHECK_WITH(type, condition, ...) TORCH_CHECK(condition, ##__VA_ARGS__)
#define TORCH_CHECK_INDEX TORCH_CHECK
#define TORCH_CHECK_VALUE TORCH_CHECK
#define TORCH_CHECK_TYPE TORCH_CHECK
#define TORCH_CHECK_LINALG TORCH_CHECK
#define TORCH_CHECK_NOT_IMPLEMENTED TORCH_CHECK

#define WHEELFERRY_COMPARE(a, operator, b, ...)                                                     \
  do {                                                                                              \
    const auto& wheelferry_a = (a);                                                                 \
    const auto& wheelferry_b = (b);                                                                 \
    if (__builtin_expect(!(wheelferry_a operator wheelferry_b), 0)) {                               \
      ::wheelferry::raise(                                                                          \
          "", "Check failed: " #a " " #operator " " #b " (", wheelferry_a, " vs. ", wheelferry_b,   \
          "). ", ##__VA_ARGS__);                                                                    \
    }                                                                                               \
  } while (false)
#define TORCH_CHECK_EQ(a, b, ...) WHEELFERRY_COMPARE(a, ==, b, ##__VA_ARGS__)
#define TORCH_CHECK_NE(a, b, ...) WHEELFERRY_COMPARE(a, !=, b, ##__VA_ARGS__)
#define TORCH_CHECK_LE(a, b, ...) WHEELFERRY_COMPARE(a, <=, b, ##__VA_ARGS__)
#define TORCH_CHECK_LT(a, b, ...) WHEELFERRY_COMPARE(a, <, b, ##__VA_ARGS__)
#define TORCH_CHECK_GE(a, b, ...) WHEELFERRY_COMPARE(a, >=, b, ##__VA_ARGS__)
#define TORCH_CHECK_GT(a, b, ...) WHEELFERRY_COMPARE(a, >, b, ##__VA_ARGS__)

#define AT_ERROR(...) ::wheelferry::raise("", ##__VA_ARGS__)
#define AT_ASSERT(...) TORCH_INTERNAL_ASSERT(__VA_ARGS__)
#define AT_ASSERTM(condition, ...) TORCH_CHECK(condition, ##__VA_ARGS__)
#define AT_CHECK(condition, ...) TORCH_CHECK(condition, ##__VA_ARGS__)
