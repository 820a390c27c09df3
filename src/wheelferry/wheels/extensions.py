"""The compiled modules of a wheel: those it must hold, and for what they were compiled."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from packaging.version import Version

from wheelferry.models.manifest import DeviceCode
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo


def mixed_builds(torch: tuple[Version, str], torchvision: tuple[Version, str] | None) -> str | None:
    """Why these two (version and file name) cannot go together; None when they can.

    PyTorch's own index marks its builds with a local version (``+cpu``); a torchvision without it, or
    with another, was compiled for another build and does not load beside it.
    """
    if torchvision is None or torch[0].local == torchvision[0].local:
        return None
    return (
        f"{torchvision[1]} does not go with {torch[1]}: they are of different builds, and its operators "
        "would not load (operator torchvision::nms does not exist)"
    )


def missing_device_code(
    wanted: DeviceCode, found: Mapping[str, tuple[Collection[str], bytes]]
) -> Iterator[str]:
    """What of `wanted` is not there; `found` has the images and the bytes of each module's binary."""
    for module in wanted.modules:
        images = found[module][0] if module in found else ()
        if not images:
            yield f"{module} has no CUDA code"
        elif lacking := [image for image in wanted.images if image not in images]:
            yield f"{module} has no code for {', '.join(lacking)} (it has {', '.join(sorted(images))})"
    for kernel in wanted.kernels:
        if not any(kernel.encode() in data for _, data in found.values()):
            yield f"no module has the CUDA kernel {kernel}"


def missing_extensions(info: WheelInfo, extensions: Iterable[str], target: Target) -> Iterator[str]:
    """Names of compiled modules (``package._C``) that have no binary for the target's Python in the wheel."""
    for module in extensions:
        if not extension_files(info.files, module, target):
            yield module


def extension_files(files: Iterable[str], module: str, target: Target) -> list[str]:
    """Those of `files` that are the compiled `module` for the target's Python."""
    ending = ".pyd" if target.platform.startswith("win") else ".so"
    stem = module.replace(".", "/")
    return [
        name
        for name in files
        if name == stem + ending
        or (name.startswith(stem + ".") and name.endswith(ending) and _abi_fits(name, stem, target))
    ]


def _abi_fits(name: str, stem: str, target: Target) -> bool:
    suffix = name.removeprefix(stem + ".")
    return suffix.startswith(("abi3", f"cpython-{target.interpreter[2:]}", target.interpreter))
