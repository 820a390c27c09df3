// CUDA for operators: the current stream, the current device, and the checks of CUDA's own calls.
//
// The stream is the one thing here that only torch's CUDA library knows. Everything else is CUDA's own
// runtime, or a C function that every torch has.
#pragma once

#ifndef WHEELFERRY_CUDA
#error "wheelferry's facade: this source is for GPUs, in a build for the CPU"
#endif
#include <cuda_runtime_api.h>

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <wheelferry/at.h>

namespace wheelferry WHEELFERRY_HIDDEN {
namespace cuda {

// ------------------------------------------------------------------------------- checks

// Raises what CUDA says, and clears it: it would be said again of the next call.
inline void check(cudaError_t code) {
  if (__builtin_expect(code != cudaSuccess, 0)) {
    (void)cudaGetLastError();
    raise("", "CUDA error: ", cudaGetErrorString(code), " (", cudaGetErrorName(code), ")");
  }
}
inline void warn(cudaError_t code) {
  if (code != cudaSuccess) {
    (void)cudaGetLastError();
    std::cerr << "Warning: CUDA warning: " << cudaGetErrorString(code) << '\n';
  }
}

// ------------------------------------------------------------------------------ devices

inline DeviceIndex current_device() {
  int index = 0;
  check(cudaGetDevice(&index));
  return static_cast<DeviceIndex>(index);
}
inline void set_device(DeviceIndex index) {
  check(cudaSetDevice(index));
}
// None without a driver, as torch says.
inline DeviceIndex device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return static_cast<DeviceIndex>(count);
}
inline void device_synchronize() {
  check(cudaDeviceSynchronize());
}
inline bool is_available() noexcept {
  return device_count() > 0;
}
inline int64_t getNumGPUs() {
  return device_count();
}

// Asked for once for each device: CUDA needs milliseconds for them.
inline cudaDeviceProp* getDeviceProperties(DeviceIndex index) {
  static std::mutex guard;
  static std::array<std::optional<cudaDeviceProp>, 128> known;
  if (index == -1) {
    index = current_device();
  }
  TORCH_CHECK(
      index >= 0 && index < device_count(), "device=", static_cast<int>(index), ", num_gpus=",
      static_cast<int>(device_count()));
  const std::lock_guard<std::mutex> lock(guard);
  auto& entry = known[static_cast<size_t>(index)];
  if (!entry) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, index));
    entry = properties;
  }
  return &*entry;
}
inline cudaDeviceProp* getCurrentDeviceProperties() {
  return getDeviceProperties(current_device());
}
inline int warp_size() {
  return getCurrentDeviceProperties()->warpSize;
}

// ------------------------------------------------------------------------------ streams

class CUDAStream {
 public:
  CUDAStream(cudaStream_t stream, DeviceIndex index) : stream_(stream), index_(index) {}
  operator cudaStream_t() const {
    return stream_;
  }
  cudaStream_t stream() const {
    return stream_;
  }
  DeviceIndex device_index() const {
    return index_;
  }
  Device device() const {
    return Device(DeviceType::CUDA, index_);
  }
  bool query() const {
    const cudaError_t code = cudaStreamQuery(stream_);
    if (code == cudaErrorNotReady) {
      (void)cudaGetLastError();
      return false;
    }
    check(code);
    return true;
  }
  void synchronize() const {
    check(cudaStreamSynchronize(stream_));
  }
  bool operator==(const CUDAStream& other) const {
    return stream_ == other.stream_ && index_ == other.index_;
  }
  bool operator!=(const CUDAStream& other) const {
    return !(*this == other);
  }

 private:
  cudaStream_t stream_;
  DeviceIndex index_;
};

// The stream that torch's own operators use now, in this thread, on that device: -1 is the current one.
inline CUDAStream getCurrentCUDAStream(DeviceIndex index = -1) {
  void* stream = nullptr;
  WHEELFERRY_CUDA_CALL(GetCurrentStream, aoti_torch_get_current_cuda_stream, index, &stream);
  return CUDAStream(static_cast<cudaStream_t>(stream), index == -1 ? current_device() : index);
}

// ------------------------------------------------------------------------------- guards

// Makes a device the current one while it lives; that of before comes back. It is torch's own guard, which
// makes no context on a GPU that nothing has used.
class CUDAGuard {
 public:
  explicit CUDAGuard(DeviceIndex index) : original_(cuda::current_device()), guard_(nullptr, release) {
    DeviceGuardHandle guard = nullptr;
    WHEELFERRY_CALL(aoti_torch_create_device_guard, index, &guard);
    guard_.reset(guard);
  }
  explicit CUDAGuard(const Device& device) : CUDAGuard(on_gpu(device)) {}
  CUDAGuard(const CUDAGuard&) = delete;
  CUDAGuard& operator=(const CUDAGuard&) = delete;

  void set_index(DeviceIndex index) {
    WHEELFERRY_CALL(aoti_torch_device_guard_set_index, guard_.get(), index);
  }
  void set_device(const Device& device) {
    set_index(on_gpu(device));
  }
  void reset_device(const Device& device) {
    set_device(device);
  }
  Device original_device() const {
    return Device(DeviceType::CUDA, original_);
  }
  Device current_device() const {
    return Device(DeviceType::CUDA, cuda::current_device());
  }

 private:
  static DeviceIndex on_gpu(const Device& device) {
    TORCH_CHECK(device.is_cuda(), "Expected a CUDA device, but got ", device);
    return device.index();
  }
  static void release(DeviceGuardHandle guard) {
    (void)aoti_torch_delete_device_guard(guard);  // a destructor must not throw
  }

  DeviceIndex original_;
  std::unique_ptr<DeviceGuardOpaque, void (*)(DeviceGuardHandle)> guard_;
};

// The same, which may be told its device later or never.
class OptionalCUDAGuard {
 public:
  OptionalCUDAGuard() = default;
  explicit OptionalCUDAGuard(std::optional<Device> device) {
    if (device) {
      guard_.emplace(*device);
    }
  }
  explicit OptionalCUDAGuard(DeviceIndex index) {
    guard_.emplace(index);
  }
  void set_device(const Device& device) {
    guard_ ? guard_->set_device(device) : void(guard_.emplace(device));
  }
  void set_index(DeviceIndex index) {
    guard_ ? guard_->set_index(index) : void(guard_.emplace(index));
  }
  void reset() {
    guard_.reset();
  }

 private:
  std::optional<CUDAGuard> guard_;
};

} // namespace cuda

// A guard for the device of a tensor, which may be the CPU: then it does nothing.
class OptionalDeviceGuard {
 public:
  OptionalDeviceGuard() = default;
  explicit OptionalDeviceGuard(std::optional<Device> device) {
    if (device && device->is_cuda()) {
      guard_.set_device(*device);
    }
  }

 private:
  cuda::OptionalCUDAGuard guard_;
};
class DeviceGuard : public OptionalDeviceGuard {
 public:
  explicit DeviceGuard(const Device& device) : OptionalDeviceGuard(device) {}
};
inline std::optional<Device> device_of(const Tensor& tensor) {
  return tensor.defined() ? std::optional<Device>(tensor.device()) : std::nullopt;
}

} // namespace wheelferry

namespace c10 {
namespace cuda {
using namespace wheelferry::cuda;
} // namespace cuda
using wheelferry::device_of;
using wheelferry::DeviceGuard;
using wheelferry::OptionalDeviceGuard;
} // namespace c10

namespace at {
namespace cuda {
using namespace wheelferry::cuda;
} // namespace cuda
} // namespace at

#define C10_CUDA_CHECK(call) ::wheelferry::cuda::check(call)
#define C10_CUDA_CHECK_WARN(call) ::wheelferry::cuda::warn(call)
#define C10_CUDA_ERROR_HANDLED(call) (call)
#define C10_CUDA_IGNORE_ERROR(call) ((void)(call))
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
#define AT_CUDA_CHECK(call) C10_CUDA_CHECK(call)
