"""Reports: what passed, what did not run, and how it reads as a page."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from wheelferry.models.problems import Code, Problem
from wheelferry.models.report import Check, Level, LevelResult, Report, TargetResult, shown_command
from wheelferry.verification.html_report import render_page
from wheelferry.verification.suite import read_results

PROBLEM = Problem(code=Code.RECORD, file="wheelhouse/<x>.whl", message="hash differs & more")


def report(static: tuple[Problem, ...] = (), *levels: LevelResult, isolated: bool = True) -> Report:
    evidence = {"interfaces": ["lo"], "routes": [], "connections": {"1.1.1.1:443": "OSError: unreachable"}}
    isolation = {
        "isolated": isolated,
        "kind": "network namespace",
        "evidence": evidence if isolated else {"reason": "no"},
    }
    return Report(
        bundle="b",
        digest="d" * 64,
        title="tiny@1.0",
        level=Level.TRAIN,
        date="2026-11-21T12:00:00+00:00",
        host={"platform": "Linux"},
        static=LevelResult(
            level=Level.STATIC, seconds=1.0, problems=static, facts={"files": 1, "bytes": 2, "wheels": 3}
        ),
        targets=(TargetResult(target="cp311-x", levels=levels, isolation=isolation),),
    )


def level(lv: Level, **values: object) -> LevelResult:
    return LevelResult(level=lv, seconds=2.0, **values)  # type: ignore[arg-type]


def test_only_what_ran_and_found_nothing_passes() -> None:
    assert report((), level(Level.INSTALL)).passed
    assert not report((PROBLEM,), level(Level.INSTALL)).passed
    assert not report((), level(Level.INSTALL, problems=(PROBLEM,))).passed
    skipped = report((), level(Level.INSTALL, not_run="no such Python"))
    assert not skipped.passed
    assert skipped.not_run == ("cp311-x: install: no such Python",)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["verify", "/home/me/b", "--level", "train", "-q"], "wheelferry verify …/b --level train"),
        (["bundle", "tiny@1.0", "--out=../b/", "--json"], "wheelferry bundle tiny@1.0 --out=…/b"),
        (
            ["bundle", "tiny@1.0", "--source", "C:\\src\\my repo"],
            "wheelferry bundle tiny@1.0 --source …/'my repo'",
        ),
        (
            ["bundle", "tiny@1.0", "--source", "https://me:secret@git.example/a/b.git"],
            "wheelferry bundle tiny@1.0 --source https://git.example/a/b.git",
        ),
        (["bundle", "tiny@1.0", "--with", "scipy>=1.14"], "wheelferry bundle tiny@1.0 --with 'scipy>=1.14'"),
        (
            ["bundle", "tiny@1.0", "--asset", "R-50=/home/me/x.pkl"],
            "wheelferry bundle tiny@1.0 --asset R-50=…/x.pkl",
        ),
        (
            ["bundle", "tiny@1.0", "--asset=zoo://a/b=C:\\me\\x y.pkl"],
            "wheelferry bundle tiny@1.0 --asset=zoo://a/b=…/'x y.pkl'",
        ),
    ],
)
def test_the_kept_command_names_no_folder_and_no_secret(arguments: list[str], shown: str) -> None:
    assert shown_command(arguments) == shown


def test_what_the_machine_could_not_try_is_said_and_no_problem(tmp_path: Path) -> None:
    seen = report((), level(Level.INSTALL, not_tried=("import cv2: Wine: no mf.dll",)))
    assert seen.passed
    assert seen.not_tried == ("cp311-x: install: import cv2: Wine: no mf.dll",)
    assert json.loads(seen.to_text())["not_tried"] == list(seen.not_tried)
    page = render_page(seen, tmp_path)
    assert "<li>Not run: cp311-x: install: import cv2: Wine: no mf.dll</li>" in page
    assert 'id="problems"' not in page
    assert "<li>Not run" not in render_page(report((), level(Level.INSTALL)), tmp_path)


def test_the_page_says_first_what_somebody_signs(tmp_path: Path) -> None:
    """Verdict, what was verified, what was not, pictures; then what is folded."""
    skipped = Check(name="c", title="GPU ops", status="skipped", seconds=0.0, reason="no GPU is here")
    picture = {"path": "loss.png", "caption": "loss curve"}
    passed = Check(name="d", title="training", status="passed", seconds=1.0, files=(picture,))
    page = render_page(report((), level(Level.TRAIN, checks=(skipped, passed))), tmp_path)
    order = ["verdict good", 'id="verified"', 'id="unproven"', 'id="pictures"', 'id="static"', 'id="cp311-x"']
    places = [page.index(mark) for mark in order]
    assert places == sorted(places)
    unproven = page[page.index('id="unproven"') : page.index('id="pictures"')]
    assert "GPU ops (no GPU is here)" in unproven
    assert "Levels above train" not in page


def test_the_page_unfolds_the_level_that_failed(tmp_path: Path) -> None:
    page = render_page(report((), level(Level.INSTALL, problems=(PROBLEM,))), tmp_path)
    assert page.count("<details open>") == 1
    assert page.index('id="problems"') < page.index('id="verified"')


def test_the_page_says_what_ran_a_target(tmp_path: Path) -> None:
    seen = report((), level(Level.INSTALL))
    (target,) = seen.targets
    assert "Run by: Wine 8.0" in render_page(
        replace(seen, targets=(replace(target, runner="Wine 8.0"),)), tmp_path
    )


def test_the_page_says_what_was_emulated(tmp_path: Path) -> None:
    emulation = {
        "emulator": "qemu-aarch64 7.2.22",
        "processor": "Cortex-A76",
        "system": "packages of Debian 12.12",
        "registered": "in a user namespace",
    }
    facts = {
        "emulation": emulation, "python": "3.11.2", "python_origin": "packages of Debian 12.12",
        "installed": {"torch": "2.10.0"}, "installer": "install.sh with uv", "install_seconds": 1.0,
    }  # fmt: skip
    page = render_page(report((), level(Level.INSTALL, facts=facts)), tmp_path)
    assert "every program was run by qemu-aarch64 7.2.22 as on a Cortex-A76" in page
    assert "Python 3.11.2 for 64-bit Arm (packages of Debian 12.12)" in page
    assert "Emulated:" not in render_page(report((), level(Level.INSTALL)), tmp_path)


def test_json_holds_every_problem_with_its_code() -> None:
    document = json.loads(report((PROBLEM,), level(Level.INSTALL, problems=(PROBLEM,))).to_text())
    assert [p["code"] for p in document["problems"]] == ["RECORD", "RECORD"]
    assert document["passed"] is False


def test_the_page_says_the_verdict_and_escapes_what_it_quotes(tmp_path: Path) -> None:
    page = render_page(report((PROBLEM,)), tmp_path)
    assert "Not verified: 1 problem." in page
    assert "wheelhouse/&lt;x&gt;.whl" in page
    assert "hash differs &amp; more" in page
    assert "Verified: every check that could run passed" in render_page(
        report((), level(Level.INSTALL)), tmp_path
    )


def test_the_page_never_claims_isolation_it_did_not_have(tmp_path: Path) -> None:
    page = render_page(report((), level(Level.INSTALL), isolated=False), tmp_path)
    assert "but not cut off from the network" in page
    assert "but not cut off" not in render_page(report((), level(Level.INSTALL)), tmp_path)


def test_pictures_are_inside_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "cp311-x" / "train"
    folder.mkdir(parents=True)
    (folder / "loss.png").write_bytes(b"\x89PNG picture")
    files = ({"path": "loss.png", "caption": "loss curve"}, {"path": "gone.png", "caption": "gone"})
    check = Check(name="c", title="t", status="passed", seconds=1.0, values={"AP50": 0.98765}, files=files)
    page = render_page(report((), level(Level.TRAIN, checks=(check,))), tmp_path)
    assert base64.b64encode(b"\x89PNG picture").decode() in page
    assert "AP50: 0.9877" in page
    assert "gone (gone.png)" in page


def results(tmp_path: Path, running: str | None, *statuses: str) -> Path:
    items = [
        {
            "name": f"c{n}",
            "title": f"check {n}",
            "status": s,
            "reason": "why",
            "traceback": None,
            "seconds": 1.0,
        }
        for n, s in enumerate(statuses)
    ]
    path = tmp_path / "smoke.json"
    document: dict[str, object] = {
        "running": running,
        "checks": [{**item, "values": {}, "files": []} for item in items],
    }
    path.write_text(json.dumps(document), "utf-8")
    return path


@pytest.mark.parametrize(
    ("running", "statuses", "status", "codes"),
    [
        (None, ("passed", "skipped"), 0, []),
        (None, ("passed", "failed", "failed"), 1, ["CHECK", "CHECK"]),
        ("c1", ("passed",), -11, ["CRASH"]),
        ("c1", ("failed",), -11, ["CHECK", "CRASH"]),
        (None, ("skipped", "skipped"), 1, ["CRASH"]),
        (None, (), 0, ["CRASH"]),
    ],
)
def test_what_a_suite_left_behind(
    tmp_path: Path, running: str | None, statuses: tuple[str, ...], status: int, codes: list[str]
) -> None:
    problems, checks = read_results(
        results(tmp_path, running, *statuses), Level.SMOKE, status, "Segmentation fault"
    )
    assert [problem.code.name for problem in problems] == codes
    assert len(checks) == len(statuses)


def test_a_suite_that_left_nothing(tmp_path: Path) -> None:
    problems, _ = read_results(tmp_path / "none.json", Level.SMOKE, 1, "ImportError: no torch")
    assert [problem.code for problem in problems] == [Code.CRASH]
    assert "ImportError: no torch" in problems[0].message


def test_a_level_of_skips_alone_has_a_problem_that_says_why(tmp_path: Path) -> None:
    def skipped(name: str) -> dict[str, object]:
        reason = "no CUDA device is visible here"
        empty: dict[str, object] = {"traceback": None, "seconds": 0.1, "values": {}, "files": []}
        return {"name": name, "title": name, "status": "skipped", "reason": reason, **empty}

    document = tmp_path / "train.json"
    document.write_text(json.dumps({"running": None, "checks": [skipped("a"), skipped("b")]}), "utf-8")
    problems, checks = read_results(document, Level.TRAIN, 1, "")
    assert len(checks) == 2
    assert [problem.message for problem in problems] == [
        "no check passed: nothing was proven (no CUDA device is visible here)"
    ]
