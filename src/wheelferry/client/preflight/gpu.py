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


# The oldest GPU that torch's own kernels run on, by the CUDA of the torch that PyPI has. Read from the
# wheels: torch 2.0.1 (CUDA 11.7) has sm_37 and up, 2.1.2 to 2.7.1 (12.1 to 12.6) sm_50, 2.8.0 to 2.10.0
# (12.8) sm_70, 2.11.0 and 2.12.0 (13.0) sm_75.
TORCH_CAPABILITIES = (((11, 0), "3.7"), ((12, 0), "5.0"), ((12, 8), "7.0"), ((13, 0), "7.5"))
# What else PyTorch's own index has torch for, of the last releases.
TORCH_BUILDS = ((13, 0), (12, 8), (12, 6), (11, 8))


def needed_driver(cuda, system):
    """The oldest driver for CUDA `cuda` ((13, 0)); for one newer than the table the newest that is known."""
    rows = [row for row in CUDA_DRIVERS if row[0] <= cuda] or [CUDA_DRIVERS[0]]
    return rows[-1][2 if system == "Windows" else 1]


def driver_obstacle(profile, cuda):
    """Why programs of CUDA `cuda` get no GPU on the machine; None when the driver serves them."""
    nvidia = profile["nvidia"]
    if nvidia is None:
        return "there is no NVIDIA GPU"
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
    """Whether GPU and driver fit the CUDA of the target; for a CPU target, what the GPU could do."""
    if target.cuda is None:
        if profile["nvidia"] is not None and not request.without_gpu:
            yield from _gpu_of_torch(profile, target)
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


def _gpu_of_torch(profile, target):
    """What a target without CUDA ops makes of a GPU that is there: torch may use it, the ops do not."""
    cuda = target.torch_cuda
    if cuda is None:
        yield Finding("gpu-torch", NOTE, "there is a GPU, which this target does not use: it is for the CPU")
        return
    old_driver = driver_obstacle(profile, cuda)
    against = old_driver or _too_old(profile["nvidia"]["devices"], cuda)
    if against is None:
        text = "torch uses the GPU; the ops that the bundle compiled run on the CPU"
        remedy = "for ops on the GPU make the bundle with --backend cu%d%d" % cuda
        yield Finding("gpu-torch", NOTE, text, remedy)
        return
    text = "torch will find no GPU here, and everything runs on the CPU: %s" % against
    remedies = []
    if old_driver:
        least = needed_driver(cuda, profile["system"])
        remedies.append("update NVIDIA's driver to %s or newer (an administrator can)" % least)
    remedies += ["make the bundle with --backend cu%d%d" % other for other in _serving(profile, cuda)]
    yield Finding("gpu-torch", WARNING, text, ", or ".join(remedies) or "this GPU is too old for torch")


def _too_old(devices, cuda):
    """Why no device runs the kernels of a torch that is built for `cuda`; None when one does, or may."""
    least = ([low for first, low in TORCH_CAPABILITIES if first <= cuda] or ["0.0"])[-1]
    old = [d for d in devices if d["capability"] and numbers(d["capability"]) < numbers(least)]
    if not old or len(old) < len(devices):
        return None
    names = ", ".join("%s has %s" % (device["name"], device["capability"]) for device in old)
    return "torch for CUDA %d.%d needs compute capability %s, %s" % (*cuda, least, names)


def _serving(profile, cuda):
    """The newest CUDA before `cuda` that torch has builds for, driver and cards serve; at most one."""
    devices = profile["nvidia"]["devices"]
    older = [one for one in TORCH_BUILDS if one < cuda]
    return [one for one in older if not (driver_obstacle(profile, one) or _too_old(devices, one))][:1]


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
