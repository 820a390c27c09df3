// Overlap of two boxes, shared by nms and box_iou, on the CPU and on the GPU.
#pragma once

#ifdef __CUDACC__
#define SKIFF_HOST_DEVICE __host__ __device__
#else
#define SKIFF_HOST_DEVICE
#endif

namespace skiff {

// The standard's min and max are not for device code.
template <typename scalar_t>
SKIFF_HOST_DEVICE scalar_t smaller(scalar_t a, scalar_t b) {
  return b < a ? b : a;
}

template <typename scalar_t>
SKIFF_HOST_DEVICE scalar_t larger(scalar_t a, scalar_t b) {
  return a < b ? b : a;
}

// a, b: anything indexable holding x1 y1 x2 y2.
template <typename scalar_t, typename Box>
SKIFF_HOST_DEVICE scalar_t overlap(const Box& a, const Box& b) {
  const scalar_t zero = 0;
  const scalar_t width = larger<scalar_t>(zero, smaller<scalar_t>(a[2], b[2]) - larger<scalar_t>(a[0], b[0]));
  const scalar_t height = larger<scalar_t>(zero, smaller<scalar_t>(a[3], b[3]) - larger<scalar_t>(a[1], b[1]));
  const scalar_t common = width * height;
  const scalar_t area_a = (a[2] - a[0]) * (a[3] - a[1]);
  const scalar_t area_b = (b[2] - b[0]) * (b[3] - b[1]);
  const scalar_t both = area_a + area_b - common;
  return both > zero ? common / both : zero;  // two empty boxes: not 0/0
}

} // namespace skiff
