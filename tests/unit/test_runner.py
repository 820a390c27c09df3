"""The install level on a machine that lacks something: what is a problem, and what was not tried."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import TARGET, pack_bundle
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import MissingError
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.report import Level, LevelResult
from wheelferry.system.process import Completed, run
from wheelferry.system.sandbox import Sandbox
from wheelferry.verification import verify as verify_stage
from wheelferry.verification.installation import install as stage
from wheelferry.verification.installation.install import Installed, Installer, Trial, TrialSettings
from wheelferry.verification.installation.pylock_proof import prove_pylock
from wheelferry.verification.machines import runner as machine_stage
from wheelferry.verification.machines.machine import Machine
from wheelferry.verification.machines.runner import Runner
from wheelferry.verification.machines.wine import Wine
from wheelferry.verification.static.level import Opened

LOST = Path("/env/Lib/site-packages/films/films.pyd")


def machine(tmp_path: Path, answers: Mapping[str, str], unloadable: Mapping[Path, str]) -> Machine:
    """One whose Python gives canned answers by step."""

    def answer(command: Sequence[str | Path], *, step: str, **_: Any) -> Completed:
        return Completed(returncode=0, output=answers[step])

    sandbox = Sandbox(prefix=(), kind="", isolated=True, evidence={}, home=tmp_path, run=answer)
    return Machine(runner="Wine 8.0", sandbox=sandbox, base=Path("python"), unloadable=lambda _: unloadable)


@pytest.mark.parametrize(
    ("unloadable", "problems", "not_tried"),
    [
        ({LOST: "Wine: no mf.dll"}, [], ["import tiny: Wine: no mf.dll"]),
        ({LOST.with_name("other.pyd"): "Wine: no mf.dll"}, ["ImportError: DLL load failed"], []),
        ({}, ["ImportError: DLL load failed"], []),
    ],
)
def test_only_an_import_that_ends_at_such_a_binary_is_not_tried(
    bundle: Path,
    tmp_path: Path,
    tools: Tools,
    unloadable: Mapping[Path, str],
    problems: list[str],
    not_tried: list[str],
) -> None:
    manifest = parse_manifest((bundle / "bundle.json").read_text("utf-8"))
    (entry,) = manifest.targets
    trace = "Traceback\nImportError: DLL load failed"
    answer = {"failed": {"tiny": [trace, [str(LOST)]]}, "watched": True, "connections": {}}
    one = machine(tmp_path, {"import": f"\n@@{json.dumps(answer)}\n"}, unloadable)
    trial = Trial(root=bundle, entry=entry, pins={}, folder=tmp_path, machine=one, tools=tools)
    found, beyond = stage.import_modules(trial, Path("/env"))
    assert [problem.message for problem in found] == problems
    assert beyond == not_tried


def inspected(folder: Path, *modules: str) -> dict[str, Any]:
    """What the inspection answers of modules in a folder."""
    command: list[str | Path] = [sys.executable, "-c", stage.INSPECT, stage.HARNESS, *modules]
    answer: dict[str, Any] = json.loads(run(command, step="look", cwd=folder).output.rpartition("\n@@")[2])
    return answer


def test_the_inspection_names_the_binaries_behind_a_failure(
    tmp_path: Path,
) -> None:
    (tmp_path / "films.py").write_text(
        "try:\n    raise ImportError('DLL load failed', path='C:/films.pyd')\n"
        "except ImportError as error:\n    raise RuntimeError('no films') from error\n",
        "utf-8",
    )
    failed = inspected(tmp_path, "films", "json")["failed"]
    assert list(failed) == ["films"]
    trace, binaries = failed["films"]
    assert trace.strip().endswith("RuntimeError: no films")
    assert binaries == ["C:/films.pyd"]


def test_the_inspection_bears_errors_with_a_path_of_their_own_kind(
    tmp_path: Path,
) -> None:
    (tmp_path / "settings_of_it.py").write_text(
        "import pathlib\n"
        "class Bad(Exception):\n    path = pathlib.Path('settings.toml')\n"
        "raise Bad('no key')\n",
        "utf-8",
    )
    failed = inspected(tmp_path, "settings_of_it")["failed"]
    assert failed["settings_of_it"][0].strip().endswith("Bad: no key")
    assert failed["settings_of_it"][1] == []


def test_a_missing_runner_is_said_before_anything_is_read(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: Tools) -> None:
        raise MissingError("Wine is not on this machine")

    monkeypatch.setattr(machine_stage, "require_wine", missing)
    with pytest.raises(MissingError, match="Wine is not on this machine"):
        verify_stage.verify(tmp_path, Level.INSTALL, tools, settings=TrialSettings(runner=Runner.WINE))


def test_what_is_missing_for_a_level_leaves_those_before_it_in_the_report(
    bundle: Path, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_suite(*_: object) -> LevelResult:
        raise MissingError("no room for the suite")

    def run_installation(*_: object) -> tuple[LevelResult, Installed]:
        return LevelResult(level=Level.INSTALL, seconds=1.0), Installed(env=tmp_path)

    monkeypatch.setattr(verify_stage, "_run_suite", run_suite)
    monkeypatch.setattr(verify_stage, "_run_installation", run_installation)
    (entry,) = parse_manifest((bundle / "bundle.json").read_text("utf-8")).targets
    wanted = [Level.INSTALL, Level.SMOKE, Level.TRAIN]
    one = machine(tmp_path, {}, {})
    trial = Trial(root=bundle, entry=entry, pins={}, folder=tmp_path, machine=one, tools=tools)
    result = verify_stage._run_levels(wanted, trial, Installer.BUNDLE)
    assert [level.passed for level in result.levels] == [True, False, False]
    assert [level.not_run for level in result.levels][:2] == [None, "no room for the suite"]


def test_a_target_for_windows_is_only_read_without_a_runner(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    bundle = pack_bundle(tmp_path / "bundle", tmp_path / "made", tools, located)
    path = bundle / "bundle.json"
    manifest = parse_manifest(path.read_text("utf-8"))
    (entry,) = manifest.targets
    windows = replace(entry, target=replace(TARGET, platform="win_amd64"))
    result = verify_stage._verify_target(
        Opened(root=bundle, manifest=manifest, hashes={}, wheels={}),
        windows,
        Level.SMOKE,
        LevelResult(level=Level.STATIC, seconds=0),
        tmp_path / "work",
        tools,
        TrialSettings(),
    )
    assert [level.not_run for level in result.levels] == [
        "win_amd64 does not run here; try --runner wine"
    ] * 2
    assert result.runner is None


def test_what_the_bundle_should_have_brought_is_not_laid_at_wines_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wine's folder of DLLs holds none of these; of two only is that Wine's lack."""
    imports = {
        "films.pyd": ("KERNEL32.dll", "MFPlat.DLL"),
        "plain.pyd": ("msvcp140.dll", "python311.dll", "python3.dll", "api-ms-win-crt-heap-l1-1-0.dll"),
        "lonely.pyd": ("libgone.dll",),
        "gpu.pyd": ("nvcuda.dll",),
    }
    packages = tmp_path / "env" / "Lib" / "site-packages"
    packages.mkdir(parents=True)
    for name in imports:
        (packages / name).write_bytes(b"MZ")
    system = tmp_path / "system32"
    system.mkdir()
    (system / "Kernel32.dll").write_bytes(b"MZ")
    monkeypatch.setattr(machine_stage, "read_imports", lambda path: imports[path.name])
    wine = Wine(loader=Path("wine64"), server=Path("wineserver"), version="8.0")
    for backend, lost in (("cpu", {"films.pyd"}), ("cu130", {"films.pyd", "gpu.pyd"})):
        target = replace(TARGET, platform="win_amd64", backend=backend)
        found = machine_stage._unloadable(tmp_path / "env", system, target, wine)
        assert {path.name for path in found} == lost
        assert found[packages / "films.pyd"] == "Wine: films.pyd needs MFPlat.DLL, which Wine 8.0 has not"


def test_a_link_that_windows_does_not_follow_is_none(
    bundle: Path, tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = parse_manifest((bundle / "bundle.json").read_text("utf-8")).targets
    one = machine(tmp_path, {}, {})
    trial = Trial(root=bundle, entry=entry, pins={}, folder=tmp_path / "work", machine=one, tools=tools)
    monkeypatch.setattr(Path, "symlink_to", lambda *_, **__: None)
    (said,) = prove_pylock(trial, tmp_path / "env").not_tried
    assert said.startswith("the pylock in another folder: no link to the wheels can be made")
