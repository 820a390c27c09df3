"""Whether a target's CUDA runs on the machine's driver and cards."""

import re

from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, WARNING, Finding
from wheelferry.client.preflight.systems import numbers

# The first driver that serves a CUDA release: (CUDA, Linux driver, Windows driver). Within 11, 12 and 13 the
# driver of the family's first release serves all of it. Source: the release notes of the CUDA toolkits.
CUDA_DRIVERS = (
    ((9, 2), "396.26", "397.44"),
    ((10, 0), "410.48", "411.31"),
    ((10, 1), "418.39", "418.96"),
    ((10, 2), "440.33", "441.22"),
    ((11, 0), "450.80.02", "452.39"),
    ((12, 0), "525.60.13", "528.33"),
    ((13, 0), "580", "580"),
)


def needed_driver(cuda, system):
    """The oldest driver for CUDA `cuda` ((13, 0)); for one newer than the table the newest that is known."""
    rows = [row for row in CUDA_DRIVERS if row[0] <= cuda] or [CUDA_DRIVERS[0]]
    return rows[-1][2 if system == "Windows" else 1]


def driver_obstacle(profile, cuda):
    """Why programs of CUDA `cuda` get no GPU on the machine; None when the driver serves them."""
    nvidia = profile["nvidia"]
    if nvidia is None:
        return "there is no GPU of NVIDIA"
    if not nvidia["driver"]:
        why = " (%s)" % nvidia["error"] if nvidia["error"] else ""
        return "the GPU has no working driver%s" % why
    least = needed_driver(cuda, profile["system"])
    if numbers(nvidia["driver"]) < numbers(least):
        return "the driver is %s; CUDA %d.%d needs %s or newer" % (nvidia["driver"], *cuda, least)
    if not nvidia["devices"]:
        return "driver %s shows no GPU (%s)" % (nvidia["driver"], nvidia["error"] or "none is there")
    return None


def image_for(capability, images):
    """The image among `images` that a device of `capability` (8.6) runs: sm_80, compute_80; None without one.

    Machine code runs on devices of its major version with the same or a later minor one; what is made for
    one device alone (sm_90a) only there. PTX (compute_80) is compiled by the driver, for that and all later.
    """
    major, minor = numbers(capability)[:2]
    found = []
    for image in images:
        match = re.match(r"(sm|compute)_(\d+)(\d)([af]?)$", image)
        if match is None:
            continue
        version = int(match.group(2)), int(match.group(3))
        code = match.group(1) == "sm"
        fits = version[0] == major and version[1] <= minor if code else version <= (major, minor)
        if match.group(4) == "a":
            fits = version == (major, minor)
        elif match.group(4) == "f":
            fits = version[0] == major and version[1] <= minor
        if fits:
            found.append((code, version, image))
    return max(found)[2] if found else None


def examine_gpu(profile, target, request):
    if target.cuda is None:
        return
    obstacle = driver_obstacle(profile, target.cuda)
    if obstacle is None:
        yield from _device_code(profile, target, request)
    elif request.without_gpu:
        yield Finding("gpu-driver", NOTE, "%s; as asked for, the CPU does the work" % obstacle)
    else:
        least = needed_driver(target.cuda, profile["system"])
        remedy = "update NVIDIA's driver to %s or newer (an administrator can)" % least
        if profile["nvidia"] is None:
            remedy = "take a target for the CPU"
        remedy += ", or install with --without-gpu: then the CPU does the work"
        yield Finding("gpu-driver", PROBLEM, obstacle, remedy)


def _device_code(profile, target, request):
    """Findings about the devices under a driver that is new enough: whether there is code for them."""
    driver = "driver %s" % profile["nvidia"]["driver"]
    images = ", ".join(target.cuda_images)
    unserved = []
    some_served = request.without_gpu
    for device in profile["nvidia"]["devices"]:
        shown = "%s (%s)" % (device["name"], device["capability"] or "compute capability not known")
        image = image_for(device["capability"], target.cuda_images) if device["capability"] else None
        if device["capability"] is None or not images:
            some_served = True
            text = "%s, %s; whether there is code for it is not known" % (shown, driver)
            yield Finding("gpu-image", WARNING, text)
        elif image is None:
            unserved.append((shown, device["capability"]))
        elif image.startswith("compute"):
            some_served = True
            text = "%s, %s: there is only PTX (%s), which the driver compiles when it is first used: that "
            text += "takes minutes, and fails if the driver is older than CUDA %d.%d"
            yield Finding("gpu-image", WARNING, text % (shown, driver, image, *target.cuda))
        else:
            some_served = True
            yield Finding("gpu-image", OK, "%s, %s: %s" % (shown, driver, image))
    for shown, capability in unserved:
        text = "the target has no code for %s: it has %s" % (shown, images)
        if some_served:
            yield Finding("gpu-image", NOTE, "%s; this GPU is not used" % text)
        else:
            remedy = "make the bundle with --cuda-arch %s, or install with --without-gpu" % capability
            yield Finding("gpu-image", PROBLEM, text, remedy)
