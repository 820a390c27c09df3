"""A client's profile where bundles are made: what is chosen for it, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from machines import FOLDER, GTX_1080, H100, Bundle, interpreter, machine, nvidia, target, windows
from wheelferry.catalog import load_recipe
from wheelferry.client.common.bundle import open_bundle
from wheelferry.errors import InputError
from wheelferry.matrix.fit import TargetOptions, fit_options, preflight_problems
from wheelferry.models.profile import parse_profile
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe

# Enough of torch's table: two CUDA families, a release before manylinux_2_28, one without Windows wheels.
RECIPE = """
format = 1
name = "tiny"
summary = "a project for tests"
license = "Apache-2.0"
distribution = "tiny"
source = { kind = "folder", path = "tiny/project" }
build = { extensions = ["tiny._C"] }
smoke = { path = "tiny/smoke", imports = ["tiny"], modules = ["check_tiny"] }

[[torch]]
version = "2.5.1"
python = ">=3.9,<3.14"
windows = ">=3.9,<3.13"
cuda = "12.4"
other_cuda = ["11.8", "12.1"]

[[torch]]
version = "2.14.1"
python = ">=3.10,<3.15"
windows = ">=3.10,<3.15"
cuda = "13.0"
other_cuda = ["12.6", "13.2"]

[[torch]]
version = "2.15.0"
python = ">=3.11,<3.16"
cuda = "13.2"
other_cuda = ["13.0"]

[releases."1.0"]
tree = "0000000000000000000000000000000000000000000000000000000000000000"
version = "1.0"
torch = ">=2.0"
python = ">=3.9"
"""

LINUX = "manylinux_2_28_x86_64"


@pytest.fixture
def recipe() -> Recipe:
    return parse_recipe(RECIPE, file="tiny.toml")


def fit(
    recipe: Recipe, seen: dict[str, Any], given: Mapping[str, str] | None = None, *, runtime: bool = False
) -> TargetOptions:
    """Fit options, written as words; the builder's own Python is 3.12."""
    options = TargetOptions(**{name: tuple(text.split()) for name, text in (given or {}).items()})
    profile = parse_profile(json.dumps(seen), file="profile.json")
    return fit_options(profile, recipe, "1.0", options, has_runtime=runtime, default_python="3.12")


def shown(options: TargetOptions) -> dict[str, str]:
    names = ("python", "platform", "backend", "torch", "cuda_arch")
    return {name: " ".join(getattr(options, name)) for name in names if getattr(options, name)}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (machine(), {"python": "3.11", "platform": LINUX, "backend": "default"}),
        (
            machine(nvidia=nvidia("580.65.06", H100)),
            {"python": "3.11", "platform": LINUX, "backend": "cu132", "cuda_arch": "9.0"},
        ),
        (machine(nvidia=nvidia("535.183.01", H100)), {"backend": "default"}),
        # CUDA 13 has no code for it any more
        (machine(nvidia=nvidia("580.65.06", GTX_1080)), {"backend": "default"}),
        (machine(nvidia=nvidia(None, error="no nvidia-smi")), {"backend": "default"}),
        (
            machine(nvidia=nvidia("580.65.06", {**H100, "capability": None})),
            {"python": "3.11", "platform": LINUX, "backend": "cu132"},
        ),
        (
            machine(nvidia=nvidia("580.65.06", H100, {"name": "T4", "capability": "7.5"}, H100)),
            {"backend": "cu132", "cuda_arch": "7.5 9.0"},
        ),
        # a glibc that torch from 2.6 on does not run on
        (
            machine(glibc="2.17", nvidia=nvidia("535.183.01", H100)),
            {
                "python": "3.11",
                "platform": "manylinux_2_17_x86_64",
                "torch": "2.5.1",
                "backend": "cu124",
                "cuda_arch": "9.0",
            },
        ),
        (
            machine(machine="aarch64", pythons=[interpreter("3.12.3", platform="linux-aarch64")]),
            {"python": "3.12", "platform": "manylinux_2_28_aarch64"},
        ),
        (machine(pythons=[interpreter("3.16.0"), interpreter("3.10.1")]), {"python": "3.10"}),
        (machine(pythons=[interpreter("3.12.1", bits=32), interpreter("3.10.1")]), {"python": "3.10"}),
        (windows(), {"python": "3.11", "platform": "win_amd64", "backend": "default"}),
        (windows(nvidia=nvidia("580.97", H100)), {"platform": "win_amd64", "backend": "default"}),
    ],
)
def test_what_is_chosen(recipe: Recipe, seen: dict[str, Any], expected: dict[str, str]) -> None:
    found = shown(fit(recipe, seen))
    assert found | expected == found
    if len(expected) > 2:
        assert found == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"python": "3.9"}, {"python": "3.9"}),
        ({"platform": "linux_x86_64"}, {"platform": LINUX}),
        ({"platform": "manylinux_2_36_x86_64"}, {"platform": "manylinux_2_36_x86_64"}),
        ({"torch": "2.14.1", "backend": "cu126"}, {"backend": "cu126", "cuda_arch": "9.0"}),
        ({"torch": "2.14.1"}, {"torch": "2.14.1", "backend": "cu130"}),
        ({"torch": "2.14.1 2.15.0"}, {"torch": "2.14.1 2.15.0", "backend": "default"}),
        ({"backend": "cpu"}, {"backend": "cpu"}),
        ({"backend": "cpu cu130"}, {"backend": "cpu cu130", "cuda_arch": "9.0"}),
        ({"cuda_arch": "8.0+PTX"}, {"backend": "cu132", "cuda_arch": "8.0+PTX"}),
        ({"cuda_arch": "8.0 9.0"}, {"cuda_arch": "8.0 9.0"}),
    ],
)  # fmt: skip
def test_what_was_asked_for_and_runs_there(
    recipe: Recipe, given: dict[str, str], expected: dict[str, str]
) -> None:
    found = shown(fit(recipe, machine(nvidia=nvidia("580.65.06", H100)), given))
    assert found | expected == found


@pytest.mark.parametrize(
    ("seen", "given", "reason"),
    [
        (machine(), {"platform": "win_amd64"}, "win_amd64 would not run on the client: the system is"),
        (machine(), {"platform": "manylinux_2_39_x86_64"}, "glibc is 2.36; the target needs 2.39"),
        (machine(), {"platform": "manylinux_2_28_aarch64"}, "the processor is x86_64"),
        (windows(), {"platform": "linux_x86_64"}, "the system is Windows"),
        (machine(glibc="2.17"), {"platform": LINUX}, "glibc is 2.17; the target needs 2.28"),
        (machine(glibc="2.17"), {"torch": "2.14.1"}, "need glibc 2.28, the client has 2.17"),
        (machine(), {"python": "3.13"}, "the client has no such Python (it has 3.9, 3.11)"),
        (machine(pythons=[]), {"python": "3.13"}, "it has none that can be used"),
        (machine(pythons=[]), {}, "the client has no Python for tiny@1.0"),
        (machine(pythons=[interpreter("3.7.1")]), {}, "the client has no Python for tiny@1.0 (it has 3.7)"),
        (machine(pythons=[interpreter("3.9.1")]), {"torch": "2.15.0"}, "no Python for tiny@1.0 (it has 3.9)"),
        (
            machine(),
            {"backend": "cu130"},
            "--backend cu130 would not run on the client: there is no NVIDIA GPU",
        ),
        (machine(nvidia=nvidia("535.1", H100)), {"backend": "cpu cu130"}, "CUDA 13.0 needs 580 or newer"),
        (machine(nvidia=nvidia("580.1", GTX_1080)), {"backend": "cu130"}, "compiles for 7.5 to 12.1"),
        (machine(nvidia=nvidia("580.1", H100)), {"cuda_arch": "7.5"}, "the client has NVIDIA H100"),
        (machine(nvidia=nvidia("580.1", H100)), {"cuda_arch": "5.0"}, "does not compile for sm_50"),
        (machine(glibc=None, os="Alpine Linux"), {}, "Alpine Linux, which has no glibc"),
        (machine(system="Darwin", os="macOS 15"), {}, "no bundles are made for that"),
        (machine(machine="i686"), {}, "no bundles are made for that"),
        (windows(machine="aarch64"), {}, "no bundles are made for that"),
    ],
)  # fmt: skip
def test_what_would_not_run_there(
    recipe: Recipe, seen: dict[str, Any], given: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        fit(recipe, seen, given)
    assert reason in str(caught.value)
    assert caught.value.hint


def test_a_runtime_makes_up_for_a_python(recipe: Recipe) -> None:
    bare = machine(pythons=[])
    assert shown(fit(recipe, bare, runtime=True))["python"] == "3.12"
    assert shown(fit(recipe, bare, {"python": "3.13"}, runtime=True))["python"] == "3.13"
    with pytest.raises(InputError) as caught:
        fit(recipe, bare)
    assert "add --python 3.14 and --runtime" in str(caught.value.hint)
    # what the client has is what was tested there: it comes first
    assert shown(fit(recipe, machine(), runtime=True))["python"] == "3.11"


def test_an_old_glibc_and_a_new_python_have_no_torch_in_common(recipe: Recipe) -> None:
    seen = machine(glibc="2.17", pythons=[interpreter("3.14.1")])
    with pytest.raises(InputError, match=r"no torch before 2\.6\.0 for Python 3\.14"):
        fit(recipe, seen, {"python": "3.14"})


@pytest.mark.parametrize(
    ("seen", "note"),
    [
        (machine(), "backend default: the client has no GPU of NVIDIA"),
        (
            machine(nvidia=nvidia("535.183.01", H100)),
            "torch on PyPI is cu132; the driver is 535.183.01; CUDA 13.2 needs 580 or newer; "
            "the GPU stays unused; --torch 2.14.1 --backend cu126 would use it",
        ),
        (windows(nvidia=nvidia("580.97", H100)), "on PyPI torch for Windows has no CUDA"),
        (
            machine(glibc="2.17"),
            "torch 2.5.1: of newer ones, its wheels need glibc 2.28, the client has 2.17",
        ),
    ],
)
def test_why_it_is_not_something_better(recipe: Recipe, seen: dict[str, Any], note: str) -> None:
    assert any(note in one for one in fit(recipe, seen).notes)


def test_the_advice_about_another_cuda_can_be_followed(recipe: Recipe) -> None:
    seen = machine(nvidia=nvidia("535.183.01", H100))
    found = shown(fit(recipe, seen, {"torch": "2.14.1", "backend": "cu126"}))
    assert found["cuda_arch"] == "9.0"


def test_a_gpu_that_is_left_out_is_noted(recipe: Recipe) -> None:
    seen = machine(nvidia=nvidia("580.65.06", H100, {"name": "T4", "capability": "7.5"}))
    assert "there will be no code for T4 (7.5)" in fit(recipe, seen, {"cuda_arch": "9.0"}).notes


def test_the_real_table_serves_an_ordinary_client() -> None:
    recipe = load_recipe("sample").recipe
    profile = parse_profile(json.dumps(machine(nvidia=nvidia("580.65.06", H100))), file="p.json")
    found = fit_options(profile, recipe, "1.0", TargetOptions(), has_runtime=False, default_python="3.12")
    assert found.backend[0].startswith("cu13")
    assert found.cuda_arch == ("9.0",)


# ---- the file ----


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in machine().items() if key != name}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.json is not a profile: it is not JSON"),
        ("[1, 2]", "p.json is not a profile: it does not say its format"),
        ("{}", "p.json is not a profile: it does not say its format"),
        ("[" * 100_000, "p.json is not a profile"),
        (json.dumps(machine(format=2)), "p.json has format 2, this wheelferry reads 1"),
        (json.dumps(without("pythons")), "p.json: pythons: Field required"),
        (json.dumps(machine(glibc="new")), "p.json: glibc: String should match pattern"),
        (json.dumps(machine(folders=[{**FOLDER, "free_bytes": "much"}])), "p.json: folders.0.free_bytes: "),
        (json.dumps(machine(nvidia={"driver": "580"})), "p.json: nvidia.devices: Field required"),
        (json.dumps(machine(pythons=[interpreter("2.7.18")])), "p.json: pythons.0.version: "),
    ],
)
def test_what_is_no_profile(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_profile(text, file="p.json")
    assert message in str(caught.value)
    assert "probe.pyz" in str(caught.value.hint)


def test_what_a_newer_script_adds_is_ignored() -> None:
    assert "toaster" not in parse_profile(json.dumps(machine(toaster=True)), file="p.json")


# ---- a packed bundle ----


def test_a_packed_bundle_is_held_against_the_disks(bundle: Path) -> None:
    opened = open_bundle(str(bundle))
    full = {**FOLDER, "path": "/full", "free_bytes": 10}
    assert preflight_problems(machine(), opened) == []
    assert preflight_problems(machine(folders=[full, FOLDER]), opened) == []  # there is room somewhere
    assert preflight_problems(machine(folders=[]), opened) == []
    (message,) = preflight_problems(machine(folders=[full]), opened)
    assert "10 B free in /full" in message
    (message,) = preflight_problems(machine(pythons=[]), opened)
    assert "there is no Python at all" in message


def test_a_gpu_that_torch_will_not_find_is_told_where_the_bundle_is_made() -> None:
    """The bundle has torch of CUDA 13, the client a driver that serves 11."""
    pins = {"nvidia-cuda-runtime": "13.0.96"}
    chosen = target("3.11", backend="default", pins=pins)
    found = preflight_problems(machine(nvidia=nvidia("470.82", H100)), Bundle(chosen))
    (warning,) = found
    assert "torch will find no GPU here, and everything runs on the CPU: the driver is 470.82" in warning
    assert "update NVIDIA's driver to 580 or newer" in warning
