// Forward and backward walk the same samples with the same weights (for_each_tap), so that
// the one is the exact adjoint of the other.
#include <ATen/Dispatch.h>

#include <algorithm>
#include <cmath>

#include "checks.h"
#include "ops.h"

namespace skiff {
namespace {

struct Extent {
  int64_t height;
  int64_t width;
};

// One region in feature cells: its image, top-left corner, bin size and samples per bin.
template <typename scalar_t>
struct Region {
  int64_t image;
  scalar_t left, top;
  scalar_t bin_width, bin_height;
  int64_t columns, rows;
};

// The two cells beside a coordinate and their weights.
template <typename scalar_t>
struct Neighbours {
  int64_t cell[2];
  scalar_t weight[2];
};

template <typename scalar_t>
int64_t samples(scalar_t bin_size, int64_t sampling_ratio) {
  if (sampling_ratio > 0) {
    return sampling_ratio;
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(bin_size)));
}

template <typename scalar_t, typename Row>
Region<scalar_t> read_region(
    const Row& roi, double spatial_scale, int64_t batch, Extent pooled, int64_t sampling_ratio) {
  for (int64_t i = 0; i < 5; ++i) {
    // Also refuses NaN; the bound keeps the number of adaptive samples countable.
    TORCH_CHECK(std::abs(roi[i]) < 1e7, "rois must be finite and below 1e7, not ", roi[i]);
  }
  TORCH_CHECK(roi[0] >= 0 && roi[0] < batch, "rois name image ", roi[0], " of a batch of ", batch);
  TORCH_CHECK(roi[3] >= roi[1] && roi[4] >= roi[2], "rois must have x2 >= x1 and y2 >= y1");
  const scalar_t scale = static_cast<scalar_t>(spatial_scale);
  const scalar_t half = static_cast<scalar_t>(0.5);  // cell i covers i..i+1, its centre is i + 1/2
  Region<scalar_t> region;
  region.image = static_cast<int64_t>(roi[0]);
  region.left = roi[1] * scale - half;
  region.top = roi[2] * scale - half;
  region.bin_width = (roi[3] - roi[1]) * scale / static_cast<scalar_t>(pooled.width);
  region.bin_height = (roi[4] - roi[2]) * scale / static_cast<scalar_t>(pooled.height);
  region.columns = samples(region.bin_width, sampling_ratio);
  region.rows = samples(region.bin_height, sampling_ratio);
  return region;
}

// Weights are zero more than one cell outside; up to there the border value is repeated.
template <typename scalar_t>
Neighbours<scalar_t> neighbours(scalar_t position, int64_t size) {
  if (position < -1 || position > size) {
    return {{0, 0}, {0, 0}};
  }
  position = std::min(std::max<scalar_t>(position, 0), static_cast<scalar_t>(size - 1));
  const int64_t low = static_cast<int64_t>(position);
  const int64_t high = std::min(low + 1, size - 1);
  const scalar_t fraction = position - static_cast<scalar_t>(low);
  return {{low, high}, {1 - fraction, fraction}};
}

// Call visit(bin_y, bin_x, cell_y, cell_x, weight) for every feature cell that a bin reads.
template <typename scalar_t, typename Visit>
void for_each_tap(const Region<scalar_t>& region, Extent pooled, Extent cells, const Visit& visit) {
  const scalar_t share = scalar_t(1) / static_cast<scalar_t>(region.rows * region.columns);
  const scalar_t step_y = region.bin_height / static_cast<scalar_t>(region.rows);
  const scalar_t step_x = region.bin_width / static_cast<scalar_t>(region.columns);
  const scalar_t half = static_cast<scalar_t>(0.5);
  for (int64_t sample_y = 0; sample_y < pooled.height * region.rows; ++sample_y) {
    const auto y = neighbours(region.top + (sample_y + half) * step_y, cells.height);
    for (int64_t sample_x = 0; sample_x < pooled.width * region.columns; ++sample_x) {
      const auto x = neighbours(region.left + (sample_x + half) * step_x, cells.width);
      for (int tap = 0; tap < 4; ++tap) {
        const int i = tap / 2, j = tap % 2;
        visit(
            sample_y / region.rows, sample_x / region.columns, y.cell[i], x.cell[j],
            y.weight[i] * x.weight[j] * share);
      }
    }
  }
}

template <typename scalar_t>
void pool(
    const at::Tensor& features, const at::Tensor& rois, double scale, int64_t sampling_ratio,
    at::Tensor& result) {
  const auto source = features.accessor<scalar_t, 4>();
  const auto roi = rois.accessor<scalar_t, 2>();
  auto bins = result.accessor<scalar_t, 4>();
  const Extent cells{source.size(2), source.size(3)}, pooled{bins.size(2), bins.size(3)};
  for (int64_t k = 0; k < bins.size(0); ++k) {
    const auto region = read_region<scalar_t>(roi[k], scale, source.size(0), pooled, sampling_ratio);
    for_each_tap(region, pooled, cells, [&](int64_t i, int64_t j, int64_t y, int64_t x, scalar_t weight) {
      for (int64_t channel = 0; channel < source.size(1); ++channel) {
        bins[k][channel][i][j] += weight * source[region.image][channel][y][x];
      }
    });
  }
}

template <typename scalar_t>
void spread(
    const at::Tensor& grad, const at::Tensor& rois, double scale, int64_t sampling_ratio,
    at::Tensor& result) {
  const auto bins = grad.accessor<scalar_t, 4>();
  const auto roi = rois.accessor<scalar_t, 2>();
  auto target = result.accessor<scalar_t, 4>();
  const Extent cells{target.size(2), target.size(3)}, pooled{bins.size(2), bins.size(3)};
  for (int64_t k = 0; k < bins.size(0); ++k) {
    const auto region = read_region<scalar_t>(roi[k], scale, target.size(0), pooled, sampling_ratio);
    for_each_tap(region, pooled, cells, [&](int64_t i, int64_t j, int64_t y, int64_t x, scalar_t weight) {
      for (int64_t channel = 0; channel < target.size(1); ++channel) {
        target[region.image][channel][y][x] += weight * bins[k][channel][i][j];
      }
    });
  }
}

void check_arguments(
    const at::Tensor& maps, const char* name, const at::Tensor& rois, double spatial_scale,
    int64_t sampling_ratio) {
  check_floating(maps, name);
  TORCH_CHECK(maps.dim() == 4, name, " must have four dimensions, not ", maps.dim());
  check_table(rois, "rois", 5);
  check_same_type(maps, name, rois, "rois");
  TORCH_CHECK(spatial_scale > 0, "spatial_scale must be positive, not ", spatial_scale);
  TORCH_CHECK(sampling_ratio >= 0, "sampling_ratio must not be negative");
}

} // namespace

at::Tensor roi_align(
    const at::Tensor& features,
    const at::Tensor& rois,
    double spatial_scale,
    int64_t pooled_height,
    int64_t pooled_width,
    int64_t sampling_ratio) {
  check_arguments(features, "features", rois, spatial_scale, sampling_ratio);
  TORCH_CHECK(features.size(2) > 0 && features.size(3) > 0, "features must have a height and a width");
  TORCH_CHECK(pooled_height > 0 && pooled_width > 0, "the output size must be positive");
  at::Tensor result =
      features.new_zeros({rois.size(0), features.size(1), pooled_height, pooled_width});
  AT_DISPATCH_FLOATING_TYPES(features.scalar_type(), "skiff_roi_align", [&] {
    pool<scalar_t>(features, rois, spatial_scale, sampling_ratio, result);
  });
  return result;
}

at::Tensor roi_align_backward(
    const at::Tensor& grad,
    const at::Tensor& rois,
    double spatial_scale,
    int64_t batch,
    int64_t height,
    int64_t width,
    int64_t sampling_ratio) {
  check_arguments(grad, "grad", rois, spatial_scale, sampling_ratio);
  TORCH_CHECK(grad.size(0) == rois.size(0), "grad must have one entry per roi");
  TORCH_CHECK(grad.size(2) > 0 && grad.size(3) > 0, "grad must have a height and a width");
  TORCH_CHECK(batch >= 0 && height > 0 && width > 0, "the shape of the features must be positive");
  at::Tensor result = grad.new_zeros({batch, grad.size(1), height, width});
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "skiff_roi_align_backward", [&] {
    spread<scalar_t>(grad, rois, spatial_scale, sampling_ratio, result);
  });
  return result;
}

} // namespace skiff
