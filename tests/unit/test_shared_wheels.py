"""Which targets one wheel on torch's stable ABI serves, and for which of them it is built."""

import pytest

from wheelferry.cache.tools import Tools
from wheelferry.catalog import find_projects
from wheelferry.cli.all_targets import shared_from_options
from wheelferry.cli.options import TargetChoice
from wheelferry.errors import InputError, MissingPythonError
from wheelferry.matrix.alike import PLATFORMS
from wheelferry.matrix.coverage import LINUX
from wheelferry.matrix.shared_wheels import SharedWheel, shared_wheels
from wheelferry.models.targets import Target


def wheels_of(reference: str, *absent: str) -> tuple[SharedWheel, ...]:
    ((located, release),) = find_projects([reference])
    return shared_wheels(located.recipe, release, PLATFORMS, lambda python: python not in absent)


@pytest.mark.parametrize("reference", ["sample@1.0", "detectron2@v0.1", "detectron2@v0.6"])
def test_one_wheel_a_platform_serves_every_newer_torch_and_python(reference: str) -> None:
    wheels = wheels_of(reference)
    assert [one.target.platform for one in wheels] == list(PLATFORMS)
    for one in wheels:
        assert one.target in one.serves
        assert {target.platform for target in one.serves} == {one.target.platform}
        assert {target.backend for target in one.serves} == {"default", "cpu"}
        assert {"3.10", "3.12", "3.13"} <= {target.python for target in one.serves}
        torches = {target.torch for target in one.serves}
        assert {"2.10.0", "2.13.0"} <= torches
        assert "2.9.1" not in torches
    served = [target for one in wheels for target in one.serves]
    assert len(served) == len(set(served))


def test_it_is_built_for_the_newest_torch_and_the_newest_python_that_is_here() -> None:
    newest = wheels_of("sample@1.0")[0]
    older = wheels_of("sample@1.0", newest.target.python)[0]
    assert newest.target.backend == older.target.backend == "default"
    assert older.target.torch == newest.target.torch
    assert older.target.python == f"3.{int(newest.target.python[2:]) - 1}"
    assert older.serves == newest.serves


def test_one_cuda_wheel_serves_every_torch_with_that_cuda_or_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    ((located, release),) = find_projects(["detectron2@main"])
    (wheel,) = shared_wheels(located.recipe, release, PLATFORMS, lambda _: True, cuda="13.0")
    assert (wheel.target.backend, wheel.target.torch) == ("cu130", "2.14.1"), "whose CUDA on PyPI it is"
    assert {target.backend for target in wheel.serves} == {"cu130", "cu132"}
    assert {target.platform for target in wheel.serves} == {wheel.target.platform} == {LINUX}
    assert {"2.10.0", "2.15.0"} <= {target.torch for target in wheel.serves}
    (newer,) = shared_wheels(located.recipe, release, PLATFORMS, lambda _: True, cuda="13.2")
    assert {target.backend for target in newer.serves} == {"cu132"}


@pytest.mark.parametrize("backends", [["cpu"], ["cu126"], ["cu130", "cu132"]])
def test_all_targets_are_of_one_cuda(backends: list[str], tools: Tools) -> None:
    choice = TargetChoice(stable_abi=True, backend=backends)
    with pytest.raises(InputError, match=f"makes no wheel for --backend {' --backend '.join(backends)}"):
        next(shared_from_options(["sample@1.0"], choice, tools, quiet=True))


def test_without_any_python_that_is_said() -> None:
    with pytest.raises(MissingPythonError, match=r"no CPython 3\.1[0-9] on this machine"):
        wheels_of("sample@1.0", *(f"3.{minor}" for minor in range(7, 20)))


def test_what_is_not_on_the_stable_abi_has_a_wheel_for_each_target() -> None:
    with pytest.raises(InputError, match="deformable-detr@main has no wheel on torch's stable ABI"):
        wheels_of("deformable-detr@main")


def test_what_one_wheel_serves_is_one_line() -> None:
    target = Target(python="3.10", platform="win_amd64", torch="2.10.0", backend="cpu")
    other = Target(python="3.9", platform="win_amd64", torch="2.9.1", backend="default")
    wheel = SharedWheel(target=target, serves=(target, other))
    assert wheel.description == "torch 2.9.1 to 2.10.0 (cpu and default), Python 3.9 to 3.10: 2 targets"


@pytest.mark.parametrize(
    ("choice", "option"),
    [
        (TargetChoice(python=["3.12"]), "--python"),
        (TargetChoice(torch=["2.13.0"]), "--torch"),
        (TargetChoice(without_ops=True), "--without-ops"),
        (TargetChoice(backend=["cu130"]), "--backend"),
        (TargetChoice(stable_abi=False), "--no-stable-abi"),
    ],
)
def test_options_that_name_a_target_are_refused(choice: TargetChoice, option: str, tools: Tools) -> None:
    with pytest.raises(InputError, match=f"does not go with {option}"):
        next(shared_from_options(["sample@1.0"], choice, tools, quiet=True))


def test_several_projects_are_refused(tools: Tools) -> None:
    with pytest.raises(InputError, match="for one project, not for sample, torch-cluster"):
        next(shared_from_options(["sample@1.0", "torch-cluster@1.6.3"], TargetChoice(), tools, quiet=True))
