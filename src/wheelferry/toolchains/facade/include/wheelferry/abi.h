// The C functions of torch that everything here stands on, and what becomes of their errors.
//
// Only these C functions (aoti_torch_*, torch_*: torch's "stable ABI") cross the border to
// torch, never a C++ object or exception. A module built on them does not depend on one torch
// release, nor on the compiler that torch was built with.
#pragma once

// The convention of values that values.h speaks, whatever the release of the headers: 2.10 is
// the first with all the functions used here. torch's headers hide newer ones at this setting.
#ifndef TORCH_TARGET_VERSION
#define TORCH_TARGET_VERSION 0x020a000000000000ULL
#endif

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include <wheelferry/error.h>

#ifdef _WIN32
// Declared here instead of <windows.h>, whose macros (min, max, near, ERROR ...) break sources.
extern "C" {
__declspec(dllimport) void* __stdcall GetModuleHandleA(const char*);
__declspec(dllimport) intptr_t(__stdcall* __stdcall GetProcAddress(void*, const char*))();
}
#else
#include <dlfcn.h>
#endif

namespace wheelferry WHEELFERRY_HIDDEN {

constexpr uint64_t kAbiVersion = 0x020a000000000000ULL;

namespace abi {

// A function that not every torch has; null where it has not.
template <typename Function>
Function* find([[maybe_unused]] const char* library, const char* name) {
#ifdef _WIN32
  void* module = GetModuleHandleA(library);
  return module ? reinterpret_cast<Function*>(GetProcAddress(module, name)) : nullptr;
#else
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
#endif
}

// What torch said of the last error in this thread; empty before 2.13, which prints it instead.
inline std::string last_error() {
  using Function = const char*();
  // 2.13 and later
  static Function* const what = find<Function>("torch_cpu.dll", "torch_exception_get_what_without_backtrace");
  const char* text = what ? what() : nullptr;
  return text ? text : "";
}

[[noreturn]] inline void fail(const char* call) {
  const std::string said = last_error();
  throw Error(said.empty() ? std::string(call) + " failed; torch's message is on stderr" : said);
}

inline void check(AOTITorchError code, const char* call) {
  if (__builtin_expect(code != AOTI_TORCH_SUCCESS, 0)) {
    fail(call);
  }
}

// Memory for one value that torch frees with `delete`, or that it has made with `new` and
// leaves to us: of the C library that torch uses, which in a mingw module is not our own.
#ifdef _WIN32
inline StableIValue* new_value() {
  static auto* const allocate = find<void*(size_t)>("ucrtbase.dll", "malloc");
  auto* value = allocate ? static_cast<StableIValue*>(allocate(sizeof(StableIValue))) : nullptr;
  if (!value) {
    throw std::bad_alloc();
  }
  return value;
}
inline void delete_value(StableIValue* value) {
  static auto* const release = find<void(void*)>("ucrtbase.dll", "free");
  if (release) {
    release(value);
  }
}
#else
inline StableIValue* new_value() {
  return new StableIValue;
}
inline void delete_value(StableIValue* value) {
  delete value;
}
#endif

} // namespace abi
} // namespace wheelferry

#define WHEELFERRY_CALL(name, ...) ::wheelferry::abi::check(name(__VA_ARGS__), #name)
