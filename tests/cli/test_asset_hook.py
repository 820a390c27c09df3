"""Weights and data are found by the Python of their environment, and verification looks for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from carried import R50, WEIGHTS, make_env, quiet, two_assets
from conftest import TARGET
from wheelferry.cache.tools import Tools
from wheelferry.client.common.bundle import Bundle
from wheelferry.client.installer.assets import place_assets
from wheelferry.models.manifest import Asset, File, Manifest, TargetEntry
from wheelferry.models.problems import Code
from wheelferry.system.process import run
from wheelferry.system.sandbox import Sandbox
from wheelferry.verification.installation.install import Trial
from wheelferry.verification.installation.pip_install import place_and_look
from wheelferry.verification.machines.machine import Machine

ENTRY = TargetEntry(target=TARGET, requirements="", pylock="", built="", extensions=())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return two_assets(tmp_path / "stick ü")


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return make_env(tmp_path / "pre fix ü" / "envs" / "1")


def python(env: Path, code: str, **environment: str) -> str:
    """Run code with the environment's Python, in an account with a home of its own."""
    home = env.parent / "home"
    home.mkdir(exist_ok=True)
    values = {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [env / "bin" / "python", "-c", code], capture_output=True, text=True, check=False, env=values
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


VARIABLES = "import os; print(os.environ.get('TINY_CACHE'), os.environ.get('TINY_DATA'), sep='|')"


def test_assets_land_and_are_found(bundle: Bundle, env: Path) -> None:
    heard: list[int] = []
    written = place_assets(bundle, str(env), None, heard.append)
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    assert written == [
        R50, "assets/datasets/shapes/train/1.png", "assets/datasets/shapes/list", "wheelferry.json",
        f"{packages}/wheelferry_assets.py", f"{packages}/wheelferry_assets.pth",
    ]  # fmt: skip
    assert all((env / name).is_file() for name in written)
    assert (env / R50).read_bytes() == WEIGHTS
    assert not (env / "assets/datasets/shapes/all.tar.gz").exists()
    assert list(env.rglob("*.part")) == []
    assert sum(heard) == sum(size for size, _ in bundle.files.values())
    assert json.loads((env / "wheelferry.json").read_text())["variables"] == {
        "TINY_CACHE": "assets/cache",
        "TINY_DATA": "assets/datasets",
    }
    assert python(env, VARIABLES) == f"{env}/assets/cache|{env}/assets/datasets"


def test_what_the_user_sets_counts(bundle: Bundle, env: Path) -> None:
    place_assets(bundle, str(env), None, quiet)
    assert python(env, VARIABLES, TINY_CACHE="/mine") == f"/mine|{env}/assets/datasets"


def test_a_link_to_the_environment_is_followed_at_the_start(bundle: Bundle, env: Path) -> None:
    """The process keeps its environment when the link is switched to the next one."""
    place_assets(bundle, str(env), None, quiet)
    (env.parent / "current").symlink_to("1")
    assert python(env.parent / "current", VARIABLES) == f"{env}/assets/cache|{env}/assets/datasets"


def test_the_start_of_python_stays_fast(bundle: Bundle, env: Path) -> None:
    """No module that a bare Python has not loaded, where nothing is to be done."""
    place_assets(bundle, str(env), None, quiet)
    code = "import sys; print(','.join(sorted(sys.modules)))"
    loaded = set(python(env, code).split(","))
    (env / f"lib/python3.{sys.version_info.minor}/site-packages/wheelferry_assets.pth").unlink()
    assert loaded - set(python(env, code).split(",")) == {"wheelferry_assets"}


def verify(bundle: Bundle, env: Path, tools: Tools) -> tuple[dict[str, str], dict[str, object]]:
    """What verification finds wrong with the assets, by file, and the facts that it keeps."""
    manifest = Manifest(
        recipe="tiny", release="1.0", distribution="tiny", source="", commit="", created_by="tests",
        targets=(),
        files=tuple(File(path=p, size=s, sha256=h) for p, (s, h) in bundle.files.items()),
        assets=tuple(Asset(**asset) for asset in bundle.assets),
        asset_variables=bundle.asset_variables,
    )  # fmt: skip
    (Path(bundle.root) / "bundle.json").write_text(manifest.to_text(), "utf-8")
    home = env.parent / "home"
    (home / "tmp").mkdir(parents=True)
    sandbox = Sandbox(prefix=(), kind="none", isolated=False, evidence={}, home=home, run=run)
    machine = Machine(runner="this machine", sandbox=sandbox, base=Path(sys.executable))
    trial = Trial(
        root=Path(bundle.root), entry=ENTRY, pins={}, folder=env.parent, machine=machine, tools=tools
    )
    problems, facts = place_and_look(trial, env)
    assert {problem.code for problem in problems} <= {Code.ASSET}
    return {problem.file: problem.message for problem in problems}, facts


def test_verification_finds_them(bundle: Bundle, env: Path, tools: Tools) -> None:
    assert verify(bundle, env, tools) == ({}, {"assets": 3})


def test_verification_says_when_the_project_would_not_find_them(
    bundle: Bundle, env: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wheelferry.client.installer.assets._write_hook", lambda *_: [])
    problems, _ = verify(bundle, env, tools)
    assert problems == {
        R50.removeprefix("assets/cache/"): "is not below the folder that TINY_CACHE names",
        "shapes/train/1.png": "is not below the folder that TINY_DATA names",
        "shapes/list": "is not below the folder that TINY_DATA names",
    }


def test_verification_says_when_they_cannot_be_placed(bundle: Bundle, env: Path, tools: Tools) -> None:
    Path(bundle.path(R50)).write_bytes(WEIGHTS[::-1])
    problems, _ = verify(bundle, env, tools)
    assert "changed while it was read" in problems["assets"]
