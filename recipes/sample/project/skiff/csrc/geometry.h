// Overlap of two boxes, shared by nms and box_iou.
#pragma once

#include <algorithm>

namespace skiff {

// a, b: anything indexable holding x1 y1 x2 y2.
template <typename scalar_t, typename Box>
scalar_t overlap(const Box& a, const Box& b) {
  const scalar_t zero = 0;
  const scalar_t width = std::max(zero, std::min(a[2], b[2]) - std::max(a[0], b[0]));
  const scalar_t height = std::max(zero, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  const scalar_t common = width * height;
  const scalar_t area_a = (a[2] - a[0]) * (a[3] - a[1]);
  const scalar_t area_b = (b[2] - b[0]) * (b[3] - b[1]);
  const scalar_t both = area_a + area_b - common;
  return both > zero ? common / both : zero;  // two empty boxes: not 0/0
}

} // namespace skiff
