"""Targets: tags, markers, and what the command line may say."""

import pytest
from packaging.tags import Tag

from wheelferry.errors import InputError
from wheelferry.models.targets import (
    Target,
    glibc_minor,
    parse_platform,
    parse_python,
    parse_torch,
    platform_tags,
)


def target(platform: str = "manylinux_2_28_x86_64", python: str = "3.12") -> Target:
    return Target(python=python, platform=platform, torch="2.13.0", backend="cpu")


def test_name_has_no_dots_because_pep_751_forbids_them() -> None:
    assert target().name == "cp312-manylinux_2_28_x86_64-torch2_13_0-cpu"


def test_targets_sort_by_number_not_by_letter() -> None:
    newer_torch = Target(python="3.12", platform="win_amd64", torch="2.13.0", backend="cpu")
    older_torch = Target(python="3.12", platform="win_amd64", torch="2.9.1", backend="cu130")
    mixed = [newer_torch, older_torch, target(python="3.12"), target(python="3.9"), target(python="3.10")]
    ordered = [target(python="3.9"), target(python="3.10"), target(), older_torch, newer_torch]
    assert sorted(mixed, key=lambda one: one.rank) == ordered


def test_platform_tags_go_down_from_the_floor_with_legacy_names() -> None:
    tags = list(platform_tags("manylinux_2_17_x86_64"))
    assert tags[:3] == ["manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_16_x86_64"]
    assert tags[-3:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("cp312-cp312-manylinux_2_28_x86_64", True),
        ("cp39-abi3-manylinux2014_x86_64", True),
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp312-cp312-manylinux_2_34_x86_64", False),
        ("cp311-cp311-manylinux_2_28_x86_64", False),
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-win_amd64", False),
        ("cp312-cp312-manylinux_2_28_aarch64", False),
    ],
)
def test_which_wheels_fit(tag: str, fits: bool) -> None:
    interpreters, abi, platform = tag.split("-")
    tags = {Tag(interpreter, abi, platform) for interpreter in interpreters.split(".")}
    assert bool(tags & set(target().tags)) is fits


def test_marker_values_are_the_targets_not_the_hosts() -> None:
    windows = target("win_amd64", "3.11").marker_environment
    assert (windows["sys_platform"], windows["os_name"], windows["platform_machine"]) == (
        "win32",
        "nt",
        "AMD64",
    )
    arm = target("manylinux_2_28_aarch64").marker_environment
    assert (arm["sys_platform"], arm["platform_machine"]) == ("linux", "aarch64")


@pytest.mark.parametrize(
    ("text", "host", "expected"),
    [
        ("linux_x86_64", 36, "manylinux_2_28_x86_64"),
        ("linux_x86_64", 17, "manylinux_2_17_x86_64"),
        ("linux_x86_64", None, "manylinux_2_28_x86_64"),
        ("manylinux_2_34_x86_64", 28, "manylinux_2_34_x86_64"),
        ("win_amd64", None, "win_amd64"),
        ("manylinux2014_x86_64", 36, "manylinux_2_17_x86_64"),
    ],
)
def test_parse_platform(text: str, host: int | None, expected: str) -> None:
    assert parse_platform(text, host_glibc_minor=host) == expected


@pytest.mark.parametrize("text", ["linux", "win32", "manylinux2014_ppc64", "manylinux_2_28_riscv64", ""])
def test_parse_platform_refuses(text: str) -> None:
    with pytest.raises(InputError, match="unknown platform"):
        parse_platform(text, host_glibc_minor=36)


def test_uv_spells_platforms_its_own_way() -> None:
    assert target("win_amd64").uv_platform == "x86_64-pc-windows-msvc"
    assert target().uv_platform == "x86_64-manylinux_2_28"


def test_glibc_minor() -> None:
    assert glibc_minor("manylinux_2_28_x86_64") == 28
    assert glibc_minor("win_amd64") is None


def test_a_free_threaded_python_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="free-threaded build: modules on CPython's stable ABI") as caught:
        parse_python("3.13t")
    assert caught.value.hint == "use --python 3.13"


@pytest.mark.parametrize("text", ["3", "3.12.1", "2.7", "py312", ""])
def test_parse_python_refuses(text: str) -> None:
    with pytest.raises(InputError, match="unknown Python"):
        parse_python(text)


@pytest.mark.parametrize("text", ["2", "2.13", "2.13.0+cpu", "newest", ""])
def test_parse_torch_refuses(text: str) -> None:
    with pytest.raises(InputError, match="torch"):
        parse_torch(text)


def test_parse_torch_normalises() -> None:
    assert parse_torch("2.13.00") == "2.13.0"
