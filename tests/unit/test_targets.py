"""Targets: tags, markers, and what the command line may say."""

import re
from dataclasses import replace

import pytest
from packaging.tags import Tag, parse_tag

from wheelferry.catalog import load_recipe
from wheelferry.errors import InputError
from wheelferry.models.planning.supported import obstacle
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


def test_a_macs_target() -> None:
    mac = target("macosx_14_0_arm64")
    for fitting in ("cp312-cp312-macosx_14_0_arm64", "cp310-abi3-macosx_11_0_universal2", "py3-none-any"):
        assert parse_tag(fitting) <= set(mac.tags)
    assert next(iter(parse_tag("cp312-cp312-macosx_15_0_arm64"))) not in mac.tags
    assert (mac.system_name, mac.processor, mac.ignores_case) == ("macOS", "arm64", True)
    assert mac.uv_platform == "aarch64-apple-darwin"
    told = mac.marker_environment
    assert (told["sys_platform"], told["platform_system"]) == ("darwin", "Darwin")
    assert told["platform_machine"] == "arm64"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macosx_10_9_x86_64", "no wheels for Macs with Intel's processors since 2.3"),
        ("macosx_14_0_universal2", "bundles for macOS are for arm64, not for universal2"),
        ("macosx_10_16_arm64", "Apple's processors came with macOS 11"),
        ("macosx_14_5_arm64", "by the first number alone"),
    ],
)
def test_platforms_of_macos_that_nothing_is_made_for(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        parse_platform(text, host_glibc_minor=None)
    assert "macosx_14_0_arm64" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"platform": "macosx_11_0_arm64"}, "torch 2.13.0 needs macOS 14, and macosx_11_0_arm64 is for 11"),
        ({"backend": "cu130"}, "there is no CUDA on macOS"),
        ({"torch": "1.8.1", "python": "3.8"}, "torch 1.8.1 has no wheels for macOS"),
        ({"platform": "macosx_11_0_arm64", "torch": "2.11.0"}, None),
        ({"backend": "cpu"}, None),
    ],
)
def test_what_torch_has_for_macs(changes: dict[str, str], said: str | None) -> None:
    recipe = load_recipe("detectron2").recipe
    mac = Target(python="3.12", platform="macosx_14_0_arm64", torch="2.13.0", backend="default")
    reason = obstacle(recipe, "v0.6", replace(mac, **changes))
    assert (reason is None) if said is None else said in (reason or "")
