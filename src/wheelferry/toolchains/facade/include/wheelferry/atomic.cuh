// Atomic addition and the like for the types that CUDA itself has none for.
#pragma once

#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <wheelferry/at.h>

#ifdef __CUDACC__

namespace wheelferry WHEELFERRY_HIDDEN {
namespace atomic {

// The unsigned integer that a value is exchanged as.
template <size_t bytes>
struct Word;
template <>
struct Word<2> {
  using type = unsigned short int;
};
template <>
struct Word<4> {
  using type = unsigned int;
};
template <>
struct Word<8> {
  using type = unsigned long long int;
};

template <typename To, typename From>
__device__ __forceinline__ To bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "the same bits");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// Replaces *address by change(*address) in one step; what was there before. Values of one byte are exchanged
// within the aligned word around them.
template <typename T, typename Change>
__device__ __forceinline__ T replace(T* address, const Change& change) {
  if constexpr (sizeof(T) == 1) {
    const auto place = reinterpret_cast<uintptr_t>(address);
    auto* word = reinterpret_cast<unsigned int*>(place & ~uintptr_t{3});
    const unsigned int shift = 8 * static_cast<unsigned int>(place & 3);
    unsigned int assumed, old = *word;
    do {
      assumed = old;
      const T before = bits<T>(static_cast<uint8_t>(assumed >> shift));
      const unsigned int after = bits<uint8_t>(static_cast<T>(change(before)));
      old = atomicCAS(word, assumed, (assumed & ~(0xffU << shift)) | (after << shift));
    } while (old != assumed);
    return bits<T>(static_cast<uint8_t>(old >> shift));
  } else {
    using Bits = typename Word<sizeof(T)>::type;
    auto* word = reinterpret_cast<Bits*>(address);
    Bits assumed, old = *word;
    do {
      assumed = old;
      old = atomicCAS(word, assumed, bits<Bits>(static_cast<T>(change(bits<T>(assumed)))));
    } while (old != assumed);
    return bits<T>(old);
  }
}

// NaN stays NaN, as in torch.
template <typename T>
__device__ __forceinline__ bool unordered(const T& value) {
  return value != value;
}

} // namespace atomic
} // namespace wheelferry

// What CUDA has no atomicAdd of. Its own overloads of int, unsigned, float and double stay what they are.
static inline __device__ c10::Half atomicAdd(c10::Half* address, c10::Half value) {
  return atomicAdd(reinterpret_cast<__half*>(address), static_cast<__half>(value));
}
static inline __device__ c10::BFloat16 atomicAdd(c10::BFloat16* address, c10::BFloat16 value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  return wheelferry::atomic::replace(address, [=](c10::BFloat16 before) { return before + value; });
#else
  return atomicAdd(reinterpret_cast<__nv_bfloat16*>(address), static_cast<__nv_bfloat16>(value));
#endif
}
static inline __device__ uint8_t atomicAdd(uint8_t* address, uint8_t value) {
  return wheelferry::atomic::replace(address, [=](uint8_t before) { return before + value; });
}
static inline __device__ int8_t atomicAdd(int8_t* address, int8_t value) {
  return wheelferry::atomic::replace(address, [=](int8_t before) { return before + value; });
}
static inline __device__ int16_t atomicAdd(int16_t* address, int16_t value) {
  return wheelferry::atomic::replace(address, [=](int16_t before) { return before + value; });
}
static inline __device__ int64_t atomicAdd(int64_t* address, int64_t value) {
  using Word = unsigned long long int;
  return static_cast<int64_t>(atomicAdd(reinterpret_cast<Word*>(address), static_cast<Word>(value)));
}
static inline __device__ bool atomicAdd(bool* address, bool value) {
  return wheelferry::atomic::replace(address, [=](bool before) { return before || value; });
}

template <typename T>
static inline __device__ T gpuAtomicAdd(T* address, T value) {
  return atomicAdd(address, value);
}
template <typename T>
static inline __device__ void gpuAtomicAddNoReturn(T* address, T value) {
  atomicAdd(address, value);
}
template <typename T>
static inline __device__ T gpuAtomicMul(T* address, T value) {
  return wheelferry::atomic::replace(address, [=](T before) { return before * value; });
}
template <typename T>
static inline __device__ T gpuAtomicMax(T* address, T value) {
  return wheelferry::atomic::replace(address, [=](T before) {
    return wheelferry::atomic::unordered(before) || before > value ? before : value;
  });
}
template <typename T>
static inline __device__ T gpuAtomicMin(T* address, T value) {
  return wheelferry::atomic::replace(address, [=](T before) {
    return wheelferry::atomic::unordered(before) || before < value ? before : value;
  });
}

#endif // __CUDACC__
