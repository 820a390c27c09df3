"""The scripts in findings/ have the form that CONTRIBUTING.md says; docs/findings.md agrees with them."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))
PAGE = ROOT / "docs/findings.md"
PINNED = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*")


def rows() -> dict[str, tuple[str, str]]:
    """The versions and the date that the page gives for each script."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[-1].startswith("`"):
            _, _, versions, date, script = cells
            assert script.strip("`") not in found
            found[script.strip("`")] = versions, date
    return found


def header(script: Path) -> str:
    """The comment at the top of a script, without its marks."""
    lines = script.read_text("utf-8").split("\nset -eu\n")[0].splitlines()
    assert lines[0] == "#!/bin/sh"
    return "\n".join(line.removeprefix("# ") for line in lines[1:])


def test_each_row_has_a_script_and_each_script_a_row() -> None:
    assert sorted(rows()) == [script.name for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.stem))
class TestScript:
    def test_the_header_says_what_was_guessed_and_seen(self, script: Path) -> None:
        seen = r"Seen on \d{4}-\d\d-\d\d \(CPython \d+\.\d+\.\d+\): "
        for start in ("Guess: ", seen, "Why it matters: "):
            assert len(re.findall(f"(?m)^{start}", header(script))) == 1, start

    def test_the_page_has_its_date_and_versions(self, script: Path) -> None:
        versions, date = rows()[script.name]
        assert f"Seen on {date} " in header(script)
        pins = re.findall(PINNED, script.read_text("utf-8"))
        for version in versions.split(", "):
            assert version.replace(" ", "==") in pins
            assert version.split()[1] in header(script)

    def test_it_installs_nothing_unpinned(self, script: Path) -> None:
        text = script.read_text("utf-8").replace("\\\n", " ")
        # what else is installed in a script it has made itself, and finds with --no-index or by a lock
        installed = re.findall(r'(?m)^"\$folder/env/bin/(?:pip|uv" pip)"? install -q (.*)$', text)
        assert installed
        for word in shlex.split(" ".join(installed).replace('--python "$folder/env/bin/python"', "")):
            assert word in ("--no-cache", "--no-deps") or re.fullmatch(PINNED, word), word

    def test_it_says_when_the_behaviour_has_changed(self, script: Path) -> None:
        text = script.read_text("utf-8")
        assert "\nset -eu\n" in text
        assert 'echo "this has changed: ' in text

    def test_it_is_a_script_for_sh(self, script: Path) -> None:
        subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ("echo as seen", 0, "holds"),
        ('echo "this has changed: better now"; exit 1', 1, "no longer holds"),
        ('echo "no network"; exit 1', 0, "could not run"),
    ],
)
def test_run_all_tells_what_no_longer_holds_from_what_could_not_run(
    tmp_path: Path, body: str, status: int, word: str
) -> None:
    (tmp_path / "one.sh").write_text(f"set -eu\n{body}\n")
    (tmp_path / "two.sh").write_text("set -eu\necho as ever\n")
    ran = subprocess.run(
        ["sh", ROOT / "findings/run-all", "-j", "2", tmp_path / "one.sh", tmp_path / "two.sh"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == status, ran
    said = sorted(line.split(".sh: ")[0] for line in ran.stdout.splitlines())
    assert said == sorted([f"{word:16} one", f"{'holds':16} two"])
