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
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include <wheelferry/error.h>

// WHEELFERRY_CUDA is defined for every source of a module with CUDA in it, or for none: what is inline must be
// the same in all of them.
#if defined(__CUDACC__) && !defined(WHEELFERRY_CUDA)
#error "wheelferry's facade: this source is for GPUs, in a build for the CPU"
#endif

// Of torch's libraries for the CPU and for CUDA. The headers that declare them have hundreds beside them.
namespace wheelferry {
using AddmmOut = AOTITorchError(
    AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle a, AtenTensorHandle b, double beta, double alpha);
using GetCurrentStream = AOTITorchError(int32_t device_index, void** ret_stream);
} // namespace wheelferry
extern "C" {
wheelferry::AddmmOut aoti_torch_cpu_addmm_out;
#if defined(WHEELFERRY_CUDA) && !defined(_WIN32)
wheelferry::AddmmOut aoti_torch_cuda_addmm_out;
wheelferry::GetCurrentStream aoti_torch_get_current_cuda_stream;
#endif
}

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

// A function of torch's CUDA library. On Linux a module with CUDA is linked to it. On Windows it is looked up when
// it is called: so no import library is needed, and the module loads beside a torch without CUDA.
#if !defined(WHEELFERRY_CUDA)
#define WHEELFERRY_OF_CUDA(type, name) static_cast<type*>(nullptr)
#elif defined(_WIN32)
#define WHEELFERRY_OF_CUDA(type, name) ::wheelferry::abi::find<type>("torch_cuda.dll", #name)
#else
#define WHEELFERRY_OF_CUDA(type, name) (&::name)
#endif

template <typename Function, typename... Args>
void call_cuda(Function* function, const char* name, Args... args) {
  TORCH_CHECK(function != nullptr, "this torch, or these operators, were built without CUDA: there is no ", name);
  check(function(args...), name);
}

} // namespace abi
} // namespace wheelferry

#define WHEELFERRY_CALL(name, ...) ::wheelferry::abi::check(name(__VA_ARGS__), #name)
#define WHEELFERRY_CUDA_CALL(type, name, ...) \
  ::wheelferry::abi::call_cuda(WHEELFERRY_OF_CUDA(::wheelferry::type, name), #name, __VA_ARGS__)
