"""What a client has already: read, compared, and what of it a bundle requires."""

from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.client.common.bundle import Target
from wheelferry.client.installer.packages import _is_old
from wheelferry.client.preflight.present import difference, examine_present, same_version
from wheelferry.client.probe.installed import parse_torch
from wheelferry.errors import InputError
from wheelferry.models.planning.present import given_present, read_environments, torch_release
from wheelferry.models.present import PresentPackage, needed_of

LINUX = {"sys_platform": "linux", "python_version": "3.12"}


def package(name: str, version: str, **more: Any) -> PresentPackage:
    return PresentPackage(name=canonicalize_name(name), version=Version(version), **more)


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("2.11.0", "2.11.0", True),
        ("2.11.0", "2.11.0+cu130", True),
        ("2.11.0", "2.11", True),
        ("2.11.0+cu130", "2.11.0+cu130", True),
        ("2.11.0+cu130", "2.11.0", False),
        ("2.11.0+cu130", "2.11.0+cu128", False),
        ("2.11.0", "2.11.1", False),
        ("2.11.0", "2.11.0a0+nv25.1", False),
        ("2.11.0a0+nv25.1", "2.11.0a0+NV25.01", True),
        ("1.0rc1", "1.0-rc.1", True),
        ("1!2.0", "2.0", False),
        ("10.0", "1.0", False),
    ],
)
def test_same_version(wanted: str, found: str, *, same: bool) -> None:
    assert same_version(wanted, found) is same


OLD = "__version__ = '1.13.1+cu117'\ncuda: Optional[str] = '11.7'\n"
CONFIG = 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=0")'


@pytest.mark.parametrize(
    ("text", "config", "build"),
    [
        (OLD, CONFIG, ("1.13.1+cu117", "11.7", False)),
        ("__version__ = '2.11.0+cpu'\ncuda: Optional[str] = None\n", "", ("2.11.0+cpu", "none", None)),
        ('__version__ = "2.9.1"\ncuda = "12.8.1"\n', "", ("2.9.1", "12.8", None)),
        ("nothing", "", ("", "", None)),
    ],
)
def test_what_torch_says_of_its_build(text: str, config: str, build: tuple[Any, ...]) -> None:
    found = parse_torch(text, config)
    assert (found["version"], found["cuda"], found["cxx11_abi"]) == build


def environment(build: dict[str, Any] | None, **packages: str) -> dict[str, Any]:
    return {"python": "/usr/bin/python3", "version": "3.12.1", "packages": packages, "torch": build}


NGC = {"version": "2.11.0a0+5228986c39.nv25.1", "cuda": "13.0", "cxx11_abi": True, "libraries": {}}


def test_a_torch_of_another_cpp_abi_is_another() -> None:
    there = environment({**NGC, "version": "1.13.1", "cuda": "11.7"}, torch="1.13.1")
    wanted = package("torch", "1.13.1", cuda="11.7", cxx11_abi=False).to_json()
    assert difference(wanted | {"cxx11_abi": True}, there) is None
    reason = difference(wanted, there)
    assert "with the C++ ABI of GCC 5 and later, wanted is the C++ ABI of before GCC 5" in reason


def test_a_vendors_torch_is_known_by_either_of_its_versions() -> None:
    there = environment(NGC, torch="2.11.0a0+5228986c39.nv25.01")
    for text in ("2.11.0a0+5228986c39.nv25.1", "2.11.0a0"):
        assert difference(package("torch", text, cuda="13.0").to_json(), there) is None
    assert "2.11.0a0+5228986c39.nv25.1" in difference(package("torch", "2.11.0").to_json(), there)


def thin_target(*present: PresentPackage) -> Any:
    """A target as the client reads it."""
    entry = {
        "target": {"python": "3.12", "platform": "win_amd64", "torch": "2.11.0", "backend": "default"},
        "requirements": "requirements.txt",
        "pylock": "pylock.toml",
        "built": "own.whl",
        "present": [one.to_json() for one in present],
    }
    return Target(entry, pins=())


@pytest.mark.parametrize(
    ("ensurepip", "packages", "levels"),
    [
        (False, {}, ["problem", "ok"]),
        (True, {}, ["ok"]),
        (False, {"pip": "24.0"}, ["ok"]),
    ],
)
def test_something_must_be_there_that_installs(
    ensurepip: bool,
    packages: dict[str, str],
    levels: list[str],
) -> None:
    profile = {"environments": [environment(None, numpy="2.0", **packages)]}
    python = {"path": "/usr/bin/python3", "ensurepip": ensurepip}
    found = list(examine_present(profile, thin_target(package("numpy", "2.0")), python))
    assert [one.level for one in found] == levels


@pytest.mark.parametrize(
    ("said", "old"), [("pip 20.2.4 from /x", True), ("pip 20.3 from /x", False), ("pip 9.0.1 from", True)]
)
def test_a_pip_that_knows_no_manylinux_2_28_is_passed_over(said: str, *, old: bool) -> None:
    assert _is_old(said) is old


@pytest.mark.parametrize(("cuda", "said"), [("13.0", (13, 0)), ("none", None), ("", None)])
def test_preflight_knows_the_cuda_of_a_torch_that_is_not_carried(cuda: str, said: object) -> None:
    target = thin_target(package("numpy", "2.0"), package("torch", "2.11.0", cuda=cuda))
    assert target.torch_cuda == said


def test_only_what_is_carried_counts_for_what_is_needed() -> None:
    present = [package(name, "1.0") for name in ("numpy", "scipy", "pytest", "pillow", "torch")]
    requires = {
        canonicalize_name("own"): [Requirement("numpy"), Requirement("helper[fast]")],
        canonicalize_name("helper"): [
            Requirement("scipy; extra == 'fast'"),
            Requirement("pytest; extra == 'test'"),
            Requirement("pillow; sys_platform == 'win32'"),
        ],
    }
    needed = needed_of(present, [Requirement("own==1.0"), Requirement("torch")], requires, LINUX)
    assert [one.name for one in needed] == ["numpy", "scipy", "torch"]


def test_a_release_is_chosen_by_what_is_present() -> None:
    assert torch_release([given_present("torch==2.11.0a0+nv25.1")]) == "2.11.0"
    assert torch_release([given_present("numpy==2.0")]) == ""
    with pytest.raises(InputError, match="several torches"):
        torch_release([given_present("torch==2.11.0"), given_present("torch==2.12.0")])


@pytest.mark.parametrize(
    "text", ["torch", "torch>=2", "torch==2.*", "torch==2,!=3", "torch @ file:///x", "-r x"]
)
def test_no_exact_version(text: str) -> None:
    with pytest.raises(InputError):
        given_present(text)


def test_a_profile_with_two_environments_of_one_python() -> None:
    two = {"environments": [environment(None), environment(None) | {"python": "/opt/python3"}]}
    with pytest.raises(InputError, match="two environments of Python 3"):
        read_environments(two, "profile.json")
    with pytest.raises(InputError, match="does not say what is installed"):
        read_environments({"environments": []}, "profile.json")


def test_a_profile_gives_the_build_of_torch() -> None:
    given = read_environments(
        {"environments": [environment(NGC, torch="2.11", odd="not a version")]}, "p.json"
    )
    (one,) = given
    assert str(one.package) == "torch 2.11.0a0+5228986c39.nv25.1 (CUDA 13.0)"
    assert one.python == "3.12"
