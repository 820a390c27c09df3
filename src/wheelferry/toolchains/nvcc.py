"""nvcc for modules on torch's stable ABI: code for GPUs, with the facade in front of torch's headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.toolchains.modules import Headers, Module, prefix_maps, preprocessing

# nvcc takes no gnu++20. What the facade's sources want beyond C++20, M_PI and its like, GCC gives anyway.
CXX_STANDARD = "-std=c++20"

# As torch's own build extension has them: kernels are written for these. Half and BFloat16 then have torch's
# conversions and operators alone.
AS_TORCH = (
    "-D__CUDA_NO_HALF_OPERATORS__",
    "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__",
    "--expt-relaxed-constexpr",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Nvcc:
    """A CUDA toolkit, the compiler that nvcc calls for the host, and what to make code for.

    `home` has ``bin/nvcc``, ``include`` and ``lib64``. `images` are nvcc's options that name architectures.
    """

    home: Path
    host_compiler: Path
    images: tuple[str, ...]

    @property
    def runtime(self) -> Path:
        """The CUDA runtime to link against."""
        return self.home / "lib64" / "libcudart.so"


def image_options(architectures: Sequence[str]) -> tuple[str, ...]:
    """nvcc's options for architectures as TORCH_CUDA_ARCH_LIST has them (``7.5``, ``9.0a``, ``12.0+PTX``)."""
    options = []
    for architecture in architectures:
        name, _, forward = architecture.partition("+")
        number = name.replace(".", "")
        options.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if forward:
            options.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return tuple(options)


def compile_command(
    nvcc: Nvcc, module: Module, headers: Headers, host_options: Sequence[str], source: Path
) -> list[str | Path]:
    """The command that compiles one .cu file, but for the file of the result (``-o``).

    `host_options` are those of the compiler for the host.
    """
    for_host = [*host_options, *prefix_maps(module, headers)]
    return [
        nvcc.home / "bin" / "nvcc",
        "-ccbin",
        nvcc.host_compiler,
        *preprocessing(module, headers, cuda=True),
        "-O3",
        CXX_STANDARD,
        *AS_TORCH,
        *nvcc.images,
        *(word for option in for_host for word in ("-Xcompiler", option)),
        *module.cuda_flags,
        "-c",
        source,
    ]
