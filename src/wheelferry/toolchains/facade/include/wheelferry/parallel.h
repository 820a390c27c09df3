// at::parallel_for over torch's own threads.
#pragma once

#include <algorithm>
#include <exception>
#include <mutex>

#include <wheelferry/abi.h>

namespace wheelferry WHEELFERRY_HIDDEN {

inline int get_num_threads() {
  uint32_t threads = 0;
  WHEELFERRY_CALL(torch_get_num_threads, &threads);
  return static_cast<int>(threads);
}
inline int get_thread_num() {
  uint32_t thread = 0;
  WHEELFERRY_CALL(torch_get_thread_idx, &thread);
  return static_cast<int>(thread);
}
inline int64_t divup(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Calls work(first, end) for parts of the range, at least `grain` long but for the last. The
// first exception of a part is thrown here: none may pass through torch's threads.
template <typename Work>
void parallel_for(int64_t first, int64_t end, int64_t grain, const Work& work) {
  struct Job {
    const Work& work;
    std::mutex guard;
    std::exception_ptr error;
  } job{work, {}, nullptr};
  WHEELFERRY_CALL(
      torch_parallel_for, first, end, grain,
      [](int64_t part_first, int64_t part_end, void* context) {
        Job& job = *static_cast<Job*>(context);
        try {
          job.work(part_first, part_end);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(job.guard);
          if (!job.error) {
            job.error = std::current_exception();
          }
        }
      },
      &job);
  if (job.error) {
    std::rethrow_exception(job.error);
  }
}

} // namespace wheelferry
