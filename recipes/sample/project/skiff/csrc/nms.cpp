#include <ATen/Dispatch.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "checks.h"
#include "geometry.h"
#include "ops.h"

namespace skiff {
namespace {

// Indices by falling score; stable, and with NaN last so that the order stays a strict one.
template <typename scalar_t>
std::vector<int64_t> ranked(const at::Tensor& scores) {
  const auto score = scores.accessor<scalar_t, 1>();
  std::vector<int64_t> order(score.size(0));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return !std::isnan(score[a]) && (std::isnan(score[b]) || score[a] > score[b]);
  });
  return order;
}

template <typename scalar_t>
std::vector<int64_t> keep(const at::Tensor& boxes, const at::Tensor& scores, double threshold) {
  const auto box = boxes.accessor<scalar_t, 2>();
  std::vector<int64_t> kept;
  for (const int64_t candidate : ranked<scalar_t>(scores)) {
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](int64_t better) {
      return overlap<scalar_t>(box[better], box[candidate]) > threshold;
    });
    if (!covered) {
      kept.push_back(candidate);
    }
  }
  return kept;
}

at::Tensor as_tensor(const std::vector<int64_t>& values, const at::Tensor& like) {
  at::Tensor result = like.new_empty({static_cast<int64_t>(values.size())}, like.options().dtype(at::kLong));
  std::copy(values.begin(), values.end(), result.data_ptr<int64_t>());
  return result;
}

} // namespace

at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold) {
  check_table(boxes, "boxes", 4);
  check_floating(scores, "scores");
  check_same_type(boxes, "boxes", scores, "scores");
  TORCH_CHECK(
      scores.dim() == 1 && scores.size(0) == boxes.size(0),
      "scores must have the shape [N] of as many boxes");
  TORCH_CHECK(
      iou_threshold >= 0 && iou_threshold <= 1, "iou_threshold must lie in 0..1, not ", iou_threshold);
  std::vector<int64_t> kept;
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "skiff_nms", [&] {
    kept = keep<scalar_t>(boxes, scores, iou_threshold);
  });
  return as_tensor(kept, boxes);
}

} // namespace skiff
