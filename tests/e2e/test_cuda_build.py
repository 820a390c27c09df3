"""A CUDA build on a machine that has neither CUDA nor a GPU: the compiler comes from the package index.

The index must have torch's CUDA build, as PyPI has; find-links that pip is configured for may have others.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from conftest import SHARED
from ferry import Ferry
from wheelferry.binaries.elf import read_elf
from wheelferry.models.manifest import NAME, parse_manifest
from wheelferry.models.stable_abi import unstable_calls
from wheelferry.wheels.archive import unpack
from wheelferry.wheels.read import read_wheel

pytestmark = pytest.mark.e2e

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
IMAGES = {"sm_75", "sm_90", "sm_120"}


@pytest.fixture(scope="module")
def ferry() -> Ferry:
    """With a cache of its own: the torch of this module is another than that of the other tests."""
    folder = Path(os.environ[SHARED]) / "cuda"
    return Ferry(folder / "cache", emptied=("PIP_FIND_LINKS", "CUDA_HOME"))


@pytest.fixture(scope="module")
def bundle(ferry: Ferry) -> Path:
    """A bundle of one target, with ops for the CPU and for the GPU."""
    out = ferry.cache.parent / "bundle"
    backends = ["--backend", "cu130"]
    architectures = ["--cuda-arch", "7.5;9.0", "--cuda-arch", "12.0"]
    target = ["--python", PYTHON, "--torch", "2.13.0"]
    ferry("bundle", "sample@1.0", *target, *backends, *architectures, "--no-verify", "--out", out)
    return out


@pytest.fixture(scope="module")
def module(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled module of the CUDA target."""
    tree = tmp_path_factory.mktemp("tree")
    (wheel,) = (bundle / "wheelhouse").glob("skiff-1.0+pt2.13.0cu130-*.whl")
    unpack(wheel, tree)
    (found,) = (tree / "skiff").glob("_C.*.so")
    return found


def test_the_target_is_sound(ferry: Ferry, bundle: Path) -> None:
    report = json.loads(ferry("verify", bundle, "--level", "static", "--json"))
    assert report["passed"], report
    assert len(list((bundle / "wheelhouse").glob("torch-*.whl"))) == 1
    entries = {e.target.backend: e for e in parse_manifest((bundle / NAME).read_text("utf-8")).targets}
    assert set(entries) == {"cu130"}
    assert entries["cu130"].cuda is not None
    assert set(entries["cu130"].cuda.images) == IMAGES


def test_nvidias_own_tool_sees_the_same_images(module: Path) -> None:
    tool = next(Path(sys.prefix).glob("lib/python*/site-packages/nvidia/cu*/bin/cuobjdump"))
    listing = subprocess.run([tool, "--list-elf", module], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"sm_\d+", listing)) == IMAGES


def test_an_architecture_left_out_is_caught_without_a_gpu(ferry: Ferry, bundle: Path) -> None:
    """A promise of one more architecture is put into the manifest, and the manifest sealed again."""
    promised = bundle.parent / "promised"
    shutil.copytree(bundle, promised, copy_function=os.link)
    text = (promised / NAME).read_text("utf-8")
    (promised / NAME).unlink()
    altered = parse_manifest(text.replace('"sm_120"', '"sm_120", "sm_100"'))
    (promised / NAME).write_text(altered.to_text(), "utf-8")
    said = ferry("verify", promised, "--level", "static", status=1)
    assert "skiff._C has no code for sm_100 (it has sm_120, sm_75, sm_90)" in said
    shutil.rmtree(promised)


def test_no_path_of_the_building_machine_is_inside(ferry: Ferry, module: Path) -> None:
    assert str(ferry.cache).encode() not in module.read_bytes()


def test_the_smoke_suite_runs_without_a_gpu_and_says_so(ferry: Ferry, bundle: Path) -> None:
    name = next(
        entry.target.name for entry in parse_manifest((bundle / NAME).read_text()).targets if entry.cuda
    )
    report = json.loads(ferry("verify", bundle, "--target", name, "--level", "smoke", "--json"))
    assert report["passed"], report
    (target,) = report["targets"]
    checks = {check["name"]: check for level in target["levels"] for check in level["checks"]}
    assert checks["check_ops.cuda_as_built"]["values"]["CUDA"] == 13000
    assert checks["check_ops.cuda_equals_cpu"]["reason"] == "no CUDA device is visible here"


def test_one_wheel_for_several_torches_calls_nothing_of_torch_but_c_functions(
    ferry: Ferry, tmp_path: Path
) -> None:
    """CUDA ops on the stable ABI, without torch in the build environment; its bundles are of tests/real."""
    target = ["--python", PYTHON, "--torch", "2.13.0", "--backend", "cu130", "--cuda-arch", "9.0"]
    ferry("build", "sample@1.0", "--stable-abi", *target, "--out", tmp_path / "wheels")
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert wheel.name.startswith("skiff-1.0+pt2.13.0cu130.stable-cp310-abi3-manylinux_2_")
    unpack(wheel, tmp_path / "tree")
    facts = read_elf(BytesIO((tmp_path / "tree/skiff/_C.abi3.so").read_bytes()))
    assert facts.device_images == {"sm_90"}
    assert {"libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so.13"} <= set(facts.needed)
    assert "aoti_torch_get_current_cuda_stream" in facts.open_names
    assert unstable_calls(facts.open_names) == []
    assert "torch>=2.10" in map(str, read_wheel(wheel).requires)
    said = ferry("plan", "sample@1.0", *target, "--stable-abi")
    assert "torch 2.10 and later that is built with CUDA 13.0 or a later 13" in said
