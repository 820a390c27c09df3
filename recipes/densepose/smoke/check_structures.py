"""What DensePose makes of its own predictions and annotations, against the same worked out with torch."""

import densepose
import torch
from densepose.converters import ToChartResultConverter, ToMaskConverter
from densepose.converters.chart_output_hflip import densepose_chart_predictor_output_hflip
from densepose.structures import (
    DensePoseChartPredictorOutput,
    DensePoseChartResult,
    DensePoseTransformData,
    compress_quantized_densepose_chart_result,
    decompress_compressed_densepose_chart_result,
    quantize_densepose_chart_result,
)
from detectron2.config import get_cfg
from detectron2.data.transforms import HFlipTransform, TransformList
from detectron2.structures import Boxes
from harness import check, expect
from small import PARTS, annotation


def output(count=3, size=28, seed=0):
    """Predictions as the head makes them: [count, channels, size, size] each."""
    generator = torch.Generator().manual_seed(seed)

    def random(channels):
        return torch.randn(count, channels, size, size, generator=generator)

    return DensePoseChartPredictorOutput(
        coarse_segm=random(2), fine_segm=random(PARTS), u=random(PARTS).sigmoid(), v=random(PARTS).sigmoid()
    )


def no_symmetry():
    """Charts whose mirror image keeps u and turns v round; each is [24, 256, 256], by v and u."""
    steps = torch.linspace(0, 1, 256)
    return DensePoseTransformData(
        {
            "U_transforms": steps.view(1, 1, 256).expand(24, 256, 256).contiguous(),
            "V_transforms": (1 - steps).view(1, 256, 1).expand(24, 256, 256).contiguous(),
        },
        torch.device("cpu"),
    )


@check("the settings of the project's models are known")
def settings(context):
    cfg = get_cfg()
    densepose.add_densepose_config(cfg)
    densepose.add_hrnet_config(cfg)
    densepose.add_bootstrap_config(cfg)
    for name in ("ROI_DENSEPOSE_HEAD", "HRNET"):
        expect(name in cfg.MODEL, "cfg.MODEL has no %s" % name)
    expect(cfg.MODEL.ROI_DENSEPOSE_HEAD.NUM_PATCHES == PARTS - 1, "another number of charts")


@check("predictions in a box become labels and coordinates of its pixels")
def chart_result(context):
    predicted = output()
    boxes = Boxes(torch.tensor([[3.0, 4.0, 43.0, 64.0], [0.0, 0.0, 17.0, 9.0], [5.0, 5.0, 61.0, 33.0]]))
    worst = 0.0
    for number, (x0, y0, x1, y1) in enumerate(boxes.tensor.tolist()):
        size = (int(y1 - y0), int(x1 - x0))
        one = predicted[number]
        result = ToChartResultConverter.convert(one, boxes[number])

        def grown(values, size=size):
            return torch.nn.functional.interpolate(values, size, mode="bilinear", align_corners=False)[0]

        body = grown(one.coarse_segm).argmax(0) > 0
        labels = grown(one.fine_segm).argmax(0) * body
        expect(torch.equal(result.labels, labels), "the labels of box %d differ" % number)
        wanted = torch.stack([grown(v).gather(0, labels[None])[0] for v in (one.u, one.v)]) * (labels > 0)
        worst = max(worst, float((result.uv - wanted).abs().max()))
    context.value("largest difference of u and v", worst)
    expect(worst < 1e-6, "u and v are off by %g" % worst)


@check("predictions become masks of the picture")
def masks(context):
    predicted = output(count=1, seed=3)
    boxes = Boxes(torch.tensor([[10.0, 20.0, 50.0, 44.0]]))
    found = ToMaskConverter.convert(predicted, boxes, (60, 80)).tensor
    wanted = torch.zeros(1, 60, 80, dtype=torch.bool)
    grown = [
        torch.nn.functional.interpolate(values, (24, 40), mode="bilinear", align_corners=False)[0].argmax(0)
        for values in (predicted.coarse_segm, predicted.fine_segm)
    ]
    wanted[0, 20:44, 10:50] = grown[1] * (grown[0] > 0) > 0
    expect(torch.equal(found.bool(), wanted), "the mask differs in %d pixels" % (found.bool() ^ wanted).sum())


@check("a result survives being packed as a picture")
def packed(context):
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(0, PARTS, (37, 21), generator=generator)
    uv = torch.rand(2, 37, 21, generator=generator)
    quantized = quantize_densepose_chart_result(DensePoseChartResult(labels=labels, uv=uv))
    again = decompress_compressed_densepose_chart_result(compress_quantized_densepose_chart_result(quantized))
    expect(torch.equal(again.labels_uv_uint8, quantized.labels_uv_uint8), "the bytes differ")
    expect(torch.equal(again.labels_uv_uint8[0].long(), labels), "the labels differ")
    expect(float((again.labels_uv_uint8[1:] / 255.0 - uv).abs().max()) <= 1 / 255, "u and v differ")


@check("a mirrored prediction changes left parts for right ones")
def mirrored(context):
    symmetry = no_symmetry()
    swap = symmetry.point_label_symmetries
    before = output(count=2, seed=5)
    fine, u = before.fine_segm.clone(), before.u.clone()
    after = densepose_chart_predictor_output_hflip(before, symmetry)
    expect(torch.equal(after.fine_segm, fine.flip(3)[:, swap]), "the parts are not swapped")
    error = float((after.u[:, 1:] - u.flip(3)[:, swap][:, 1:]).abs().max())
    expect(error <= 1.0 / 255 + 1e-6, "u is off by %g" % error)


@check("annotations turn with their picture")
def annotations(context):
    body, mirrored_body = (densepose.DensePoseDataRelative(annotation()) for _ in range(2))
    flip = TransformList([HFlipTransform(200)])
    mirrored_body.apply_transform(flip, no_symmetry())
    expect(torch.allclose(mirrored_body.x, 256 - body.x), "x is not mirrored")
    swap = torch.tensor(no_symmetry().point_label_symmetries)
    expect(torch.equal(mirrored_body.i.long(), swap[body.i.long()]), "the parts are not swapped")
    expect(float((mirrored_body.v - (1 - body.v)).abs().max()) <= 1.01 / 255, "v is not turned round")
