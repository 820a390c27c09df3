"""The sample bundle for 64-bit Arm, made on x86-64 and run there by QEMU in a Debian of packages."""

import json
import platform
from pathlib import Path

import pytest

from arm import emulator
from ferry import Ferry
from wheelferry.cli.session import open_tools
from wheelferry.errors import MissingError
from wheelferry.models.manifest import parse_manifest
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run
from wheelferry.verification.installation.client_install import install_as_client
from wheelferry.verification.installation.install import Trial
from wheelferry.verification.machines.runner import open_machine

pytestmark = pytest.mark.e2e

# The newest that PyPI has for the CPU of 64-bit Arm.
TORCH = "2.10.0"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}  # of Debian's releases


@pytest.fixture(scope="module")
def python() -> str:
    """The Python of this machine's Debian, of whose packages the system is made."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if platform.machine() != "x86_64" or release not in PYTHONS:
        pytest.skip(
            f"needs x86-64 and {' or '.join(PYTHONS)} of Debian, this is {platform.machine()} {release}"
        )
    try:
        find_interpreter(PYTHONS[release], run)
    except MissingError as error:
        pytest.skip(f"to build for it: {error}")
    return PYTHONS[release]


def test_the_client_installs_it_and_its_ops_give_the_right_results(
    ferry: Ferry, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installer with what the bundle carries, then checks of the smoke suite that take seconds there."""
    monkeypatch.setenv("WHEELFERRY_CACHE", str(ferry.cache))
    tools = open_tools(quiet=True)
    found = emulator(tools)
    bundle = ferry.cache.parent / "arm ü"
    options = ["--platform", "manylinux_2_28_aarch64", "--python", python, "--torch", TORCH]
    ferry("bundle", "sample@1.0", *options, "--compiler", "zig", "--no-verify", "--out", bundle)

    (entry,) = parse_manifest((bundle / "bundle.json").read_text("utf-8")).targets
    work = tmp_path / "work"
    with open_machine(bundle, entry, work, tools) as machine:
        trial = Trial(root=bundle, entry=entry, pins={}, folder=work, machine=machine, tools=tools)
        installed = install_as_client(trial)
        assert installed.complete, installed.problems
        assert str(installed.facts["installer"]).startswith("install.sh with uv")
        names = ["box_iou", "nms", "roi_align", "roi_align_backward", "registered", "refusals"]
        only = [word for name in names for word in ("--only", f"check_ops.{name}")]
        suite, out, env = bundle / "smoke" / "harness.py", work / "out", installed.env
        command: list[str | Path] = [
            machine.python(env),
            "-B",
            suite,
            "--level",
            "smoke",
            "--out",
            out,
            *only,
        ]
        machine.sandbox(command, step="smoke", log=work / "log")
    seen = json.loads((out / "smoke.json").read_text("utf-8"))
    assert {check["name"]: check["status"] for check in seen["checks"]} == {
        f"check_ops.{name}": "passed" for name in names
    }
    assert "aarch64" in seen["platform"]
    assert machine.runner == f"QEMU {found.version} (Cortex-A76)"
    assert machine.facts["python"].startswith(f"{python}.")  # type: ignore[attr-defined]
    assert machine.sandbox.isolated
    assert not machine.sandbox.reaches_network
    tried = machine.sandbox.evidence["connections"]
    assert {name for name in tried if name.startswith("the emulated")}
