// The only file that knows how the operators are reached: torch.ops.skiff and skiff._C.
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include <string>

#include "ops.h"

TORCH_LIBRARY(skiff, m) {
  m.def("nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor");
  m.def("box_iou(Tensor a, Tensor b) -> Tensor");
  m.def(
      "roi_align(Tensor features, Tensor rois, float spatial_scale, int pooled_height, "
      "int pooled_width, int sampling_ratio) -> Tensor");
  m.def(
      "roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, int batch, "
      "int height, int width, int sampling_ratio) -> Tensor");
}

TORCH_LIBRARY_IMPL(skiff, CPU, m) {
  m.impl("nms", TORCH_FN(skiff::nms));
  m.impl("box_iou", TORCH_FN(skiff::box_iou));
  m.impl("roi_align", TORCH_FN(skiff::roi_align));
  m.impl("roi_align_backward", TORCH_FN(skiff::roi_align_backward));
}

#ifdef WITH_CUDA
TORCH_LIBRARY_IMPL(skiff, CUDA, m) {
  m.impl("box_iou", TORCH_FN(skiff::box_iou));
}
#else
int64_t skiff::cuda_version() {
  return 0;
}
#endif

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("version", [] { return std::string(skiff::kVersion); }, "version of the compiled code");
  m.def("cuda_version", &skiff::cuda_version, "CUDA compiled with (13000 for 13.0), 0 without");
  m.def("nms", &skiff::nms, py::arg("boxes"), py::arg("scores"), py::arg("iou_threshold"));
  m.def("box_iou", &skiff::box_iou, py::arg("a"), py::arg("b"));
  m.def(
      "roi_align", &skiff::roi_align, py::arg("features"), py::arg("rois"), py::arg("spatial_scale"),
      py::arg("pooled_height"), py::arg("pooled_width"), py::arg("sampling_ratio"));
  m.def(
      "roi_align_backward", &skiff::roi_align_backward, py::arg("grad"), py::arg("rois"),
      py::arg("spatial_scale"), py::arg("batch"), py::arg("height"), py::arg("width"),
      py::arg("sampling_ratio"));
}
