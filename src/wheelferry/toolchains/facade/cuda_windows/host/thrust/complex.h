// torch's complex numbers can be made of these, and turned into them. A source that includes anything else of
// thrust does not compile for Windows on Linux.
#pragma once

#include <cmath>

namespace thrust {

template <typename T>
class complex {
 public:
  __host__ __device__ complex(T real = T(), T imag = T()) : real_(real), imag_(imag) {}
  __host__ __device__ T real() const {
    return real_;
  }
  __host__ __device__ T imag() const {
    return imag_;
  }

 private:
  T real_;
  T imag_;
};

template <typename T>
__host__ __device__ complex<T> polar(const T& r, const T& theta) {
  return complex<T>(r * std::cos(theta), r * std::sin(theta));
}

} // namespace thrust
