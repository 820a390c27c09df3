"""CUDA's facts: names, architectures, what nvcc accepts, and what a fat binary holds."""

import pytest

from conftest import fat_binary
from wheelferry.errors import InputError
from wheelferry.models.cuda import (
    Cuda,
    architecture_range,
    backend_of,
    branches_above,
    device_images,
    from_flags,
    from_oldest,
    gcc_limit,
    images_of,
    parse_architectures,
    version_of,
)


@pytest.mark.parametrize(
    ("backend", "version"), [("cu130", "13.0"), ("cu92", "9.2"), ("cpu", None), ("default", None)]
)
def test_a_backend_names_its_cuda(backend: str, version: str | None) -> None:
    assert version_of(backend) == version
    if version:
        assert backend_of(version) == backend


def test_architectures_are_read_in_every_spelling() -> None:
    given = ["7.5;sm_90", "120", "10.0+PTX 9.0a", "7.5"]
    assert parse_architectures(given, "13.0") == ("7.5", "9.0", "12.0", "10.0+PTX", "9.0a")


@pytest.mark.parametrize(
    ("word", "said"),
    [("ampere", "unknown CUDA architecture"), ("7.0", "CUDA 13.0 does not compile for sm_70")],
)
def test_an_architecture_that_cannot_be_is_refused(word: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_architectures([word], "13.0")


def test_torch_names_its_own_architectures() -> None:
    assert from_flags("sm_75 sm_80 sm_90a sm_120 compute_120\n") == ("7.5", "8.0", "9.0a", "12.0")
    assert from_flags("") == ()


def test_images_that_a_build_must_hold() -> None:
    assert images_of(("7.5", "9.0a", "12.0+PTX")) == ("sm_75", "sm_90", "sm_120", "compute_120")


def test_limits_of_compilers_follow_the_release() -> None:
    assert [gcc_limit(v) for v in ("11.6", "12.1", "13.0", "9.0")] == [12, 13, 16, None]
    assert [architecture_range(v) for v in ("10.2", "12.6", "12.8", "13.2")] == [
        (30, 75),
        (50, 90),
        (50, 121),
        (75, 121),
    ]


def test_a_compiler_comes_from_pypi_from_13_on() -> None:
    assert Cuda(version="13.0").on_pypi
    assert not Cuda(version="12.8").on_pypi
    assert "nvidia-cuda-nvcc==13.0.*" in Cuda(version="13.0").packages()


def test_a_fat_binary_names_its_images() -> None:
    portable = bytearray(fat_binary(120))
    portable[16] = 1  # the kind of the first entry: PTX
    section = fat_binary(75, 90) + b"\0" * 16 + bytes(portable) + b"\0" * 8
    assert device_images(section) == {"sm_75", "sm_90", "compute_120"}
    assert device_images(b"") == set()


@pytest.mark.parametrize("cut", [20, 60, 100])
def test_a_damaged_fat_binary_is_an_error(cut: int) -> None:
    whole = fat_binary(75, 90)
    with pytest.raises(ValueError, match="cut off"):
        device_images(whole[:cut])
    with pytest.raises(ValueError, match="no fat binary"):
        device_images(b"\x01" + whole)


def test_code_of_the_oldest_architecture_serves_the_newer_ones() -> None:
    asked, flags = from_oldest(("8.0", "7.5", "9.0a", "12.0+PTX", "9.0"))
    assert asked == ("7.5", "9.0a", "12.0+PTX")
    assert flags == (
        "-gencode=arch=compute_75,code=sm_80",
        "-gencode=arch=compute_75,code=sm_90",
    )
    assert from_oldest(("9.0",)) == (("9.0",), ())
    assert from_oldest(("9.0a", "7.5")) == (("9.0a", "7.5"), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 700 || CUDA_VERSION < 10000)", False),
        ("#if __CUDA_ARCH__ >= 750", False),
        ("#if __CUDA_ARCH__ >= 800\n", True),
        ("#if 900 <= __CUDA_ARCH__", True),
        ("#ifdef __CUDA_ARCH__\nint many = 1024;", False),
    ],
)
def test_sources_that_ask_for_a_newer_architecture_are_known(text: str, expected: bool) -> None:
    assert branches_above(text, "7.5") is expected
