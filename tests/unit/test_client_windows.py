"""What the client does on Windows, as far as it can be looked at elsewhere."""

import io
import os
import sys
from pathlib import Path

import pytest

from conftest import TARGET, pack_bundle
from machines import target as make_target
from machines import windows
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.client.common.console import Console, Task
from wheelferry.client.common.files import unlimited
from wheelferry.client.common.processes import read_interruptibly
from wheelferry.client.installer import prefix as places
from wheelferry.client.preflight.examine import examine
from wheelferry.client.preflight.findings import PROBLEM, Needs, Request
from wheelferry.client.probe.pythons import windows_candidates
from wheelferry.models.manifest import parse_manifest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"C:\wf\envs\1", r"\\?\C:\wf\envs\1"),
        (r"\\server\share\wf", r"\\?\UNC\server\share\wf"),
        (r"\\?\C:\wf", r"\\?\C:\wf"),
    ],
)
def test_paths_without_a_limit(path: str, expected: str) -> None:
    assert unlimited(path, windows=True) == expected


def test_elsewhere_a_path_stays_as_it_is() -> None:
    assert unlimited("/home/ann") == "/home/ann"


@pytest.mark.parametrize(
    ("prefix", "possible"),
    [
        ("C:\\wf", True),
        ("C:\\", True),
        ("C:\\Prüf stand (1) & 100%!", True),
        (r"\\server\share\wf", True),
        ("C:\\console", True),
        ("C:\\a?b", False),
        ("C:\\a:b", False),
        ("C:\\wf\\con", False),
        ("C:\\nul.txt\\wf", False),
        ("C:\\wf\\CONIN$", False),
        ("C:\\com¹.d\\wf", False),
        (r"\\.\con", False),
        (r"\\?\C:\wf", False),
    ],
)
def test_folders_that_windows_has_no_name_for(prefix: str, possible: bool) -> None:
    request = Request(prefix=prefix, needs=Needs(prefix_bytes=0, prefix_files=0, longest_path=20))
    findings = examine(windows(), make_target("3.12", platform="win_amd64"), request)
    (finding,) = [one for one in findings if one.code == "path-length"]
    assert (finding.level != PROBLEM) == possible


def test_the_python_that_runs_is_one_to_build_on_unless_install_cmd_unpacked_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    (tmp_path / "python.exe").touch()

    def nothing(_arguments: list[str], _seconds: float) -> tuple[None, str]:
        return None, ""

    own = str(tmp_path / "python.exe")
    environ = {"PATH": "", "USERPROFILE": str(tmp_path)}
    assert next(iter(windows_candidates(nothing, environ))) == own
    environ["WHEELFERRY_SCRATCH"] = sys.base_prefix
    assert own not in list(windows_candidates(nothing, environ))


def test_lines_are_read_to_the_end_by_a_thread() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        os.write(writing, b"one\ntwo\nwithout an end")
        os.close(writing)
        assert list(read_interruptibly(stream)) == [b"one\n", b"two\n", b"without an end"]


def test_a_shorter_line_covers_a_longer_one_without_escape_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    task = Task(Console(), "t", None)
    task._renew("a long line")
    task._renew("short")
    assert shown.getvalue() == "\ra long line\rshort      "


def test_an_environment_that_a_program_runs_from_stays_with_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows refuses to move it; the installation is done all the same."""
    for number in (1, 2):
        (tmp_path / "envs" / f"{number}").mkdir(parents=True)
        receipt = f'{{"python": {{"runtime": "cpython-{number}"}}}}'
        (tmp_path / "envs" / f"{number}" / "receipt.json").write_text(receipt, "utf-8")
        (tmp_path / "runtime" / f"cpython-{number}").mkdir(parents=True)
    (tmp_path / "runtime" / "cpython-0").mkdir()
    (tmp_path / ".tmp-x").mkdir()
    prefix = places.Prefix(str(tmp_path))
    prefix.tmp = str(tmp_path / ".tmp-x")

    def refuse(source: str, destination: str) -> None:
        if "envs" in source:
            raise PermissionError(13, "in use", source)
        Path(source).rename(destination)

    monkeypatch.setattr(places, "replace", refuse)
    prefix.keep([prefix.environments()[1]], Console())
    assert "environment 1 is in use by a program and stays" in capsys.readouterr().err
    assert prefix.carried_pythons() == ["cpython-1", "cpython-2"]


def test_what_a_windows_reads_has_its_line_ends(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    from clients import WINDOWS, windows_recipe

    located = windows_recipe(located)
    out = pack_bundle(tmp_path / "out", tmp_path / "made", tools, located, targets=[WINDOWS])
    text = (out / "README.txt").read_bytes()
    assert text.count(b"\n") == text.count(b"\r\n")
    assert b"    .\\install.cmd " in text
    assert b"    .\\wheelferry --rollback " in text
    assert b"sh install.sh" not in text
    assert b"Linux:" not in text


def test_the_readme_has_what_both_systems_need(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    from clients import WINDOWS, windows_recipe

    located = windows_recipe(located)
    out = pack_bundle(tmp_path / "out", tmp_path / "made", tools, located, targets=[TARGET, WINDOWS])
    text = (out / "README.txt").read_text("utf-8")
    assert text.isascii()
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 110
    assert text.index("sh install.sh ") < text.index(".\\install.cmd ")
    for said in (
        "./wheelferry --uninstall",
        ".\\wheelferry --uninstall",
        "If it does not work",
        "install.log",
    ):
        assert said in text
    for entry in parse_manifest((out / "bundle.json").read_text("utf-8")).targets:
        assert f"-r {entry.requirements}" in text
        assert f"uv pip sync {entry.pylock}" in text
