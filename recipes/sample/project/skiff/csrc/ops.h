// Operators of skiff. All take CPU tensors of float32 or float64, contiguous or not, and
// raise c10::Error (RuntimeError in Python) when shapes, types or values do not fit. In a
// CUDA build box_iou takes tensors on a GPU too.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace skiff {

// Keep in step with skiff/__init__.py; the smoke suite compares the two.
constexpr const char* kVersion = "1.0";

// Greedy non-maximum suppression. boxes [N, 4] as x1 y1 x2 y2, scores [N]. Returns int64
// indices [K] of the kept boxes, best score first; equal scores keep their order, NaN
// scores come last. A box is dropped when its IoU with a kept one exceeds the threshold.
at::Tensor nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold);

// IoU of every pair: a [N, 4], b [M, 4] -> [N, M]. Empty boxes have IoU 0.
at::Tensor box_iou(const at::Tensor& a, const at::Tensor& b);

#ifdef WITH_CUDA
// The same for tensors on one GPU.
at::Tensor box_iou_cuda(const at::Tensor& a, const at::Tensor& b);
#endif

// The CUDA version compiled with (13000 for 13.0), 0 without CUDA.
int64_t cuda_version();

// Mean of bilinear samples per bin. features [B, C, H, W]; rois [K, 5] as image index, x1,
// y1, x2, y2 in input pixels -> [K, C, pooled_height, pooled_width]. Pixel centres lie at
// half-integers (Detectron2's `aligned=True`). sampling_ratio is the number of samples
// per bin and axis; 0 chooses about one per feature cell.
at::Tensor roi_align(
    const at::Tensor& features,
    const at::Tensor& rois,
    double spatial_scale,
    int64_t pooled_height,
    int64_t pooled_width,
    int64_t sampling_ratio);

// Gradient of roi_align for features. grad [K, C, pooled_height, pooled_width] ->
// [batch, C, height, width].
at::Tensor roi_align_backward(
    const at::Tensor& grad,
    const at::Tensor& rois,
    double spatial_scale,
    int64_t batch,
    int64_t height,
    int64_t width,
    int64_t sampling_ratio);

} // namespace skiff
