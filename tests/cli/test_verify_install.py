"""The install level on a bundle of small files: with its own installer, with plain pip, and when it fails."""

import html
import json
import os
import re
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clients import PYTHON
from conftest import reseal, write_wheel
from wheelferry.cache.tools import Tools
from wheelferry.models.lock import parse_requirements
from wheelferry.models.manifest import parse_manifest
from wheelferry.models.problems import Code
from wheelferry.system.process import Completed, run
from wheelferry.system.sandbox import Sandbox
from wheelferry.verification.installation import pylock_proof
from wheelferry.verification.installation.client_install import disagreements, prove_with_pip
from wheelferry.verification.installation.install import Trial, compare_with_lock
from wheelferry.verification.installation.pip_install import conflicts
from wheelferry.verification.installation.pylock_proof import prove_pylock
from wheelferry.verification.machines.machine import Machine
from yard import Yard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="install.sh")

CHECKS = """
@check("leaf is there")
def leaf(context):
    import leaf, tiny, twig
"""
JOB = ["bundle", "./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops", "--no-verify"]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    yard = Yard(tmp_path_factory.mktemp("verify") / "y ard ü", checks=CHECKS)
    yard.run(*JOB, "--out", "packed")
    return yard


@pytest.fixture
def bundle(yard: Yard) -> Path:
    """A copy to damage, of hard links."""
    copy = yard.folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(yard.folder / "packed", copy, copy_function=os.link)
    return copy


def verify(yard: Yard, bundle: Path, *options: str, status: int = 0) -> dict[str, Any]:
    """The levels of the only target, by name."""
    process = yard.start("verify", bundle, *options)
    said = process.communicate()[0]
    assert process.returncode == status, said
    (target,) = json.loads((bundle / "report" / "report.json").read_text("utf-8"))["targets"]
    assert list((yard.cache / "work").iterdir()) == []
    return {level["level"]: level for level in target["levels"]}


def test_the_bundles_own_installer_installs_and_pip_would_do_the_same(yard: Yard, bundle: Path) -> None:
    levels = verify(yard, bundle, "--level", "smoke")
    facts = levels["install"]["facts"]
    assert facts["installer"].startswith("install.sh with uv ")
    assert facts["pip"].startswith("pip ")
    assert "pip hashed every wheel" in facts["proved"]
    uv, pip = facts["pylock"]
    assert "found the 4 wheels of the pylock from another folder" in uv
    assert "it installed 4 of the 4 wheels" in uv
    assert re.match(r"pip \S+ would install 4 of the 4 wheels .* from the pylock in another folder", pip)
    assert facts["installed"].keys() == {"leaf", "tiny", "torch", "twig"}
    assert [check["status"] for check in levels["smoke"]["checks"]] == ["passed"]
    page = (bundle / "report" / "report.html").read_text("utf-8")
    assert facts["installer"] in page
    assert uv in page
    assert pip in page
    assert html.escape(facts["proved"], quote=True).replace("&#x27;", "&#39;") in page
    (folder,) = (path.parent for path in (bundle / "report").glob("*/client.log"))
    assert "uv pip install" in (folder / "client.log").read_text("utf-8").replace("/uv pip", " uv pip")
    assert "--dry-run" in (folder / "install.log").read_text("utf-8")


def test_plain_pip_can_do_all_of_it(yard: Yard, bundle: Path) -> None:
    levels = verify(yard, bundle, "--level", "smoke", "--installer", "pip")
    facts = levels["install"]["facts"]
    assert facts["installer"].startswith("pip ")
    assert facts["proved"] == "plain pip installed all of it"
    assert facts["installed"].keys() >= {"leaf", "tiny", "torch", "twig"}
    assert levels["smoke"]["problems"] == []


def test_an_installer_that_fails_is_shown_as_the_client_would_see_it(yard: Yard, bundle: Path) -> None:
    (bundle / "install.pyz").unlink()
    with zipfile.ZipFile(bundle / "install.pyz", "w") as archive:
        archive.writestr("__main__.py", "raise SystemExit('the drawer is stuck')")
    reseal(bundle)
    levels = verify(yard, bundle, "--level", "smoke", status=1)
    (problem,) = levels["install"]["problems"]
    assert problem["code"] == "INSTALL"
    assert "the client would see" in problem["message"]
    assert "the drawer is stuck" in problem["message"]
    assert levels["smoke"]["not_run"] == "the install level failed"
    assert verify(yard, bundle, "--level", "install", "--installer", "pip")["install"]["passed"]


def test_a_module_that_cannot_be_imported_is_named(yard: Yard, bundle: Path) -> None:
    suite = json.loads((bundle / "smoke" / "suite.json").read_text("utf-8"))
    suite["imports"].append("absent")
    (bundle / "smoke" / "suite.json").unlink()
    (bundle / "smoke" / "suite.json").write_text(json.dumps(suite), "utf-8")
    reseal(bundle)
    (problem,) = verify(yard, bundle, "--level", "install", status=1)["install"]["problems"]
    assert (problem["code"], problem["file"]) == ("IMPORT", "absent")


LOOK_UP = "import socket\ntry:\n    socket.gethostbyname('{}')\nexcept OSError:\n    pass\n"
ASKING = """
@check("leaf asks again")
def asks(context):
    import leaf, runpy
    runpy.run_path(leaf.__file__.replace("__init__", "again"), run_name="leaf.again")
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """A place whose leaf looks for other machines: when Python starts, at its import, and in a check."""
    yard = Yard(tmp_path_factory.mktemp("asking"), checks=ASKING)
    files = {
        "leaf/__init__.py": LOOK_UP.format("import.invalid").encode(),
        "leaf/again.py": LOOK_UP.format("check.invalid").encode(),
        "leaf_boot.py": LOOK_UP.format("start.invalid").encode(),
        "leaf.pth": b"import leaf_boot\n",
    }
    write_wheel(yard.index, "leaf", "1.5", requires=["twig<3"], files=files)
    recipe = yard.folder / "tiny.toml"
    text = recipe.read_text("utf-8").replace('imports = ["tiny"]', 'imports = ["tiny", "leaf"]')
    allowed = '[[smoke.connections]]\nmodule = "leaf_boot"\nreason = "it tolerates silence"\n'
    recipe.write_text(f"{text}{allowed}", "utf-8")
    yard.run(*JOB, "--out", "packed")
    return yard


def test_an_attempt_to_reach_another_machine_is_named_unless_it_is_allowed(asking: Yard) -> None:
    bundle = asking.folder / "packed"
    installed = verify(asking, bundle, "--level", "install", status=1)["install"]
    assert [(problem["code"], problem["file"], problem["message"]) for problem in installed["problems"]] == [
        ("CONNECTION", "leaf", "leaf tried to reach import.invalid")
    ]
    note = "leaf_boot tried to reach start.invalid, which is allowed: it tolerates silence"
    assert installed["facts"]["notes"] == [f"the start of Python: {note}"]
    imports = ("--allow-connection", "import.invalid=it asks for news")
    levels = verify(asking, bundle, "--level", "smoke", *imports, status=1)
    assert levels["install"]["passed"]
    assert "import.invalid, which is allowed: it asks for news" in levels["install"]["facts"]["notes"][1]
    (problem,) = levels["smoke"]["problems"]
    assert problem["file"] == "check_tiny.asks"
    assert problem["message"] == "leaf, called by check_tiny, tried to reach check.invalid"
    checks = ("--allow-connection", "check.invalid=it asks again")
    assert verify(asking, bundle, "--level", "smoke", *imports, *checks)["smoke"]["passed"]
    page = (bundle / "report" / "report.html").read_text("utf-8")
    assert "check.invalid, which is allowed: it asks again" in page
    assert "nothing ever contacts another machine" in page


def test_an_address_is_allowed_with_a_reason_only(asking: Yard) -> None:
    process = asking.start("verify", asking.folder / "packed", "--allow-connection", "import.invalid")
    assert "gives no reason" in process.communicate()[0]
    assert process.returncode == 2


def test_ctrl_c_while_it_installs_leaves_nothing(yard: Yard, bundle: Path) -> None:
    process = yard.start("verify", bundle, "--level", "smoke")
    while not list((yard.cache / "work").glob("verify-*/*/client/.lock")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert process.returncode == 130, said
    assert list((yard.cache / "work").iterdir()) == []
    assert not (bundle / "report").exists()
    place = str(yard.cache / "work").encode()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [command for command in commands if place in command] == []


@pytest.fixture
def trial(yard: Yard, tools: Tools, tmp_path: Path) -> Trial:
    """The packed bundle on this machine, with nothing installed yet."""
    root = yard.folder / "packed"
    (entry,) = parse_manifest((root / "bundle.json").read_text("utf-8")).targets
    sandbox = Sandbox(prefix=(), kind="none", isolated=False, evidence={}, home=tmp_path, run=run)
    machine = Machine(runner="this machine", sandbox=sandbox, base=Path("python"))
    pins = parse_requirements((root / entry.requirements).read_text("utf-8"))
    return Trial(root=root, entry=entry, pins=pins, folder=tmp_path, machine=machine, tools=tools)


def test_what_pip_check_says_is_a_problem_for_each_line(trial: Trial) -> None:
    said = "tiny 1.0 requires absent, which is not installed.\nleaf 1.5 has requirement twig<2.\n"
    found = conflicts(trial, 1, said)
    assert [problem.message for problem in found] == said.splitlines()
    assert {problem.code for problem in found} == {Code.CONFLICT}
    assert conflicts(trial, 0, "No broken requirements found.\n") == []


def test_what_pip_check_says_of_an_excluded_package_is_none(trial: Trial) -> None:
    """That it is missing, and nothing else: other packages, other versions, other complaints stay."""
    trial = replace(trial, entry=replace(trial.entry, excluded=("opencv-python",)))
    accepted = "viewer 1.0 requires OpenCV_Python, which is not installed."
    kept = [
        "viewer 1.0 requires opencv-python-headless, which is not installed.",
        "viewer 1.0 has requirement opencv-python>=4, but you have opencv-python 3.0.",
        "opencv-python 3.0 is not supported on this platform",
    ]
    found = conflicts(trial, 1, "\n".join([accepted, *kept]))
    assert [problem.message for problem in found] == kept


def test_a_package_that_is_not_the_locked_one_is_named(trial: Trial, tmp_path: Path) -> None:
    site = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    for name in ("leaf-1.4", "tiny-1.0+pt2.13.0.noops", "twig-2.1"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    problems, versions = compare_with_lock(trial, tmp_path / "env")
    assert versions == {"leaf": "1.4", "tiny": "1.0+pt2.13.0.noops", "twig": "2.1"}
    assert [problem.message for problem in problems] == [
        "leaf 1.5 is locked, 1.4 is installed",
        "torch 2.13.0 is locked, nothing is installed",
    ]


def test_what_pip_would_do_otherwise_is_named(trial: Trial) -> None:
    there = {"leaf": "1.5", "tiny": "1.0+pt2.13.0.noops", "torch": "2.13.0", "pip": "26.0"}
    would = {"Leaf": "1.5", "tiny": "1.0+pt2.13.0.noops", "twig": "2.1"}
    found = disagreements(trial, would, there)
    assert {problem.code for problem in found} == {Code.DISAGREES}
    assert [problem.message.partition(",")[0] for problem in found] == [
        "torch: plain pip would install nothing",
        "twig: plain pip would install 2.1",
    ]


def test_the_dry_run_is_held_against_what_is_installed(trial: Trial, tmp_path: Path) -> None:
    site = tmp_path / "envs" / "1" / "lib" / "python3.11" / "site-packages"
    for name in ("leaf-1.5", "tiny-1.0+pt2.13.0.noops", "torch-2.13.0", "twig-2.0"):
        (site / f"{name}.dist-info").mkdir(parents=True)

    def answer(command: Sequence[str | Path], **_: Any) -> Completed:
        if "--report" in command:
            pins = {"leaf": "1.5", "tiny": "1.0+pt2.13.0.noops", "torch": "2.13.0", "twig": "2.1"}
            items = [{"metadata": {"name": name, "version": pins[name]}} for name in pins]
            report = Path(command[list(command).index("--report") + 1])
            report.parent.mkdir(exist_ok=True)
            report.write_text(json.dumps({"install": items}), "utf-8")
        return Completed(returncode=0, output="pip 26.3 from here")

    sandbox = replace(trial.machine.sandbox, run=answer)
    own = replace(trial, machine=replace(trial.machine, sandbox=sandbox))
    proven = prove_with_pip(own, tmp_path / "envs" / "1")
    assert proven.facts == {"pip": "pip 26.3"}
    assert [(problem.code, problem.message.partition(":")[0]) for problem in proven.problems] == [
        (Code.DISAGREES, "twig")
    ]


@pytest.fixture
def installed(trial: Trial, bundle: Path, tmp_path: Path) -> Trial:
    """The bundle to damage on a machine with a Python, which stands for an installed environment's."""
    (tmp_path / "tmp").mkdir()
    machine = replace(trial.machine, base=Path(sys.executable), python=lambda _: Path(sys.executable))
    return replace(trial, root=bundle, machine=machine, folder=tmp_path / "trial")


def test_the_pylock_is_read_from_another_folder_by_both_tools(installed: Trial, tmp_path: Path) -> None:
    proven = prove_pylock(installed, tmp_path)
    assert (proven.problems, proven.not_tried) == ((), ())
    assert len(proven.facts["pylock"]) == 2
    assert " (copy)/pylock" in installed.log.read_text("utf-8")


def test_a_wheel_that_is_not_the_locks_is_found_by_both_tools(installed: Trial, tmp_path: Path) -> None:
    (wheel,) = (installed.root / "wheelhouse").glob("twig-*")
    data = wheel.read_bytes()
    wheel.unlink()
    wheel.write_bytes(data.replace(b"twig", b"twog", 1))
    proven = prove_pylock(installed, tmp_path)
    assert [problem.message.partition(":")[0] for problem in proven.problems] == [
        "uv does not install from the pylock",
        "pip would not install from the pylock",
    ]
    assert all("twig" in problem.message for problem in proven.problems)


def test_only_the_smallest_wheels_of_a_large_lock_are_read(
    installed: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pylock_proof, "_MOST", 1)
    proven = prove_pylock(installed, tmp_path)
    assert proven.problems == ()
    assert all("1 of the 4 wheels" in text for text in proven.facts["pylock"])
    monkeypatch.setattr(pylock_proof, "_WOULD_INSTALL", re.compile(r"^ \+ (tw\S+?)==(\S+)", re.MULTILINE))
    proven = prove_pylock(replace(installed, folder=tmp_path / "again"), tmp_path)
    assert "uv would install leaf (nothing), the lock has 1.5" in {one.message for one in proven.problems}


def test_what_the_carried_tools_cannot_do_is_said(installed: Trial, tmp_path: Path) -> None:
    old = replace(installed.entry, pip="tools/pip-26.0.1-py3-none-any.whl", uv="")
    proven = prove_pylock(replace(installed, entry=old), tmp_path)
    assert (proven.problems, proven.facts) == ((), {"pylock": []})
    assert proven.not_tried == (
        "the pylock with uv: the bundle carries none",
        "the pylock with pip: the bundle's pip is 26.0.1, and 26.1 is the first that reads such files",
    )
