"""The installer on this machine, with bundles that it installs in a second or two."""

import hashlib
import json
import os
import platform
import pty
import random
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL
import pytest

import clients
from clients import HERE, PYTHON, one_python, pack_client_bundle
from datasets import make_voc
from effort import SEED, trials
from extensions import extension
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.system.files import sha256_file

KILLS = trials(3, 100)
Pack = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Pack:
    def pack_as(name: str, **options: object) -> Path:
        return pack_client_bundle(tmp_path / name, tools, located, **options)  # type: ignore[arg-type]

    return pack_as


@pytest.fixture
def stick(pack: Pack) -> Path:
    """A bundle in a folder whose name has a space and a letter beyond ASCII."""
    return pack("st ück", files={"data.bin": b"cargo"})


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "Prüf stand"


@pytest.fixture
def client(tmp_path: Path) -> "Client":
    return Client(tmp_path)


class Client:
    """A client's machine as far as a test can be one: a HOME and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary = folder / "home", folder / "temporary"
        self.home.mkdir()
        self.temporary.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LANG",) if name in os.environ}
        return {**kept, "PATH": one_python(), "HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def start(self, stick: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["sh", str(stick / "install.sh"), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            start_new_session=True,
        )

    def install(
        self, stick: Path, *arguments: str | Path, status: int = 0, environ: Mapping[str, str] | None = None
    ) -> str:
        """Run install.sh; returns what it printed, both streams in one."""
        return run(["sh", stick / "install.sh", *arguments], {**self.environment, **(environ or {})}, status)

    def json(self, stick: Path, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
        """Run install.sh with --json; returns the document."""
        command = ["sh", str(stick / "install.sh"), "--json", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == status, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def manage(self, prefix: Path, *arguments: str, status: int = 0) -> str:
        """Run the launcher that looks after an installation."""
        return run([prefix / "wheelferry", *arguments], self.environment, status)

    def python(self, prefix: Path, code: str, status: int = 0) -> str:
        """Run code in the installed environment."""
        return run([prefix / "python", "-c", code], self.environment, status)


def run(command: Sequence[str | Path], environment: Mapping[str, str], status: int) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
        check=False,
    )
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}"
    return done.stdout


def files_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, links as what they point to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = sha256_file(path)
    return found


def receipt_of(prefix: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((prefix / "current" / "receipt.json").read_text("utf-8"))
    return document


CARGO = "import cargo, sys; cargo.main(); print(sys.prefix)"


def test_one_command_gives_a_working_environment(client: Client, stick: Path, prefix: Path) -> None:
    before = files_of(stick)
    said = client.install(stick, "--prefix", prefix, "--yes")
    assert "2 passed" in said
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"
    assert (prefix / "current").resolve() == (prefix / "envs" / "1").resolve()
    receipt = receipt_of(prefix)
    assert receipt["target"] == HERE.name
    assert receipt["installer"]["kind"] == "uv"
    assert receipt["suite"]["smoke"]["passed"] == 2
    assert files_of(stick) == before
    assert list(client.home.iterdir()) == []
    assert list(client.temporary.iterdir()) == []
    assert list(prefix.glob(".tmp-*")) == []


def test_the_installed_script_runs_and_a_script_file_too(
    client: Client, stick: Path, prefix: Path, tmp_path: Path
) -> None:
    client.install(stick, "--prefix", prefix, "--yes")
    script = tmp_path / "a script.py"
    script.write_text("import sys, cargo; print(sys.argv[1:])", "utf-8")
    assert run([prefix / "python", script, "ä b"], client.environment, 0) == "['ä b']\n"
    assert run([prefix / "current" / "bin" / "cargo"], client.environment, 0) == "cargo 1.1\n"


def test_data_sets_are_examined_beside_the_installation(
    client: Client, stick: Path, prefix: Path, tmp_path: Path
) -> None:
    """With the environment's Python: here it has no Pillow, which is said, until there is one."""
    make_voc(tmp_path / "set")
    client.install(stick, "--prefix", prefix, "--yes")
    assert "NOT EXAMINED" in client.manage(prefix, "data", "check", str(tmp_path / "set"))
    convert = ["data", "convert", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    assert "needs Pillow" in client.manage(prefix, *convert, status=3)
    site = Path(client.python(prefix, "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in ("PIL", "pillow.libs"):
        (site / name).symlink_to(Path(PIL.__file__).parents[1] / name)
    assert "0 errors, 0 warnings, 0 notes" in client.manage(prefix, *convert)
    assert (tmp_path / "out/val/annotations.json").is_file()


def test_uv_and_pip_install_the_same(client: Client, stick: Path, prefix: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    client.install(stick, "--prefix", prefix, "--yes", "--verify", "none")
    client.install(stick, "--prefix", other, "--yes", "--verify", "none", "--installer", "pip")
    assert receipt_of(other)["installer"]["kind"] == "pip"
    one, two = (_comparable(folder / "envs" / "1") for folder in (prefix, other))
    assert one == two
    for folder in (prefix, other):
        assert run([folder / "envs" / "1" / "bin" / "cargo"], client.environment, 0) == "cargo 1.1\n"
    assert _recorded(prefix) == _recorded(other)
    assert any(name.endswith("cargo/data.bin") for name in one)


def _recorded(prefix: Path) -> set[str]:
    """The paths in all RECORDs, without the installer's own notes."""
    records = (prefix / "envs" / "1").glob("lib/*/site-packages/*.dist-info/RECORD")
    names = {row.split(",")[0] for record in records for row in record.read_text("utf-8").splitlines()}
    return {name for name in names if not name.endswith(("/INSTALLER", "/REQUESTED", "/uv_cache.json"))}


def _comparable(env: Path) -> dict[str, str]:
    """An environment's files without what names its place, its installer or the time."""
    apart = (
        "/INSTALLER", "/RECORD", "/REQUESTED", "/uv_cache.json", "receipt.json", "files.txt", "pyvenv.cfg",
    )  # fmt: skip
    found = {
        name: sha256
        for name, sha256 in files_of(env).items()
        if not name.endswith(apart) and "__pycache__" not in name and name != ".lock"
    }
    return {name: "a script" if name.startswith("bin/") else sha256 for name, sha256 in found.items()}


def test_without_a_uv_that_runs_pip_does_it(
    client: Client, pack: Pack, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients._OTHER_UV", "#!/nonexistent/interpreter\n")
    said = client.install(pack("stick"), "--prefix", prefix, "--yes")
    assert "WARNING: installing with pip, which is slower: uv does not run here" in said
    assert receipt_of(prefix)["installer"]["kind"] == "pip"


# Answers, puts half of a package into the environment, and then fails as under a virus scanner.
WITHHELD_UV = """#!/bin/sh
[ "$1" = --version ] && { echo "uv 9.9"; exit 0; }
while [ "$1" != --python ]; do shift; done
site=$("$2" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/leaf" "$site/leaf-1.5.dist-info"
echo 'half of it' > "$site/leaf/__init__.py"
echo 'Name: leaf' > "$site/leaf-1.5.dist-info/METADATA"
echo 'error: Failed to install: leaf-1.5-py3-none-any.whl (leaf==1.5)'
echo '  Caused by: failed to rename: Access is denied. (os error 5)'
exit 2
"""


@pytest.mark.parametrize("place", ["--prefix", "--into"])
def test_where_a_scanner_stops_uv_pip_begins_anew(
    client: Client, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("clients._OTHER_UV", WITHHELD_UV)
    stick, folder = pack("stick"), tmp_path / "place"
    if place == "--into":
        venv.create(folder, with_pip=False)
    said = client.install(stick, place, folder, "--yes")
    assert "WARNING: uv failed, so pip does it: Caused by: failed to rename: Access is denied" in said
    assert "2 passed" in said
    said = client.install(stick, place, folder, "--yes", "--reinstall", "--installer", "uv", status=5)
    assert "mostly a virus scanner" in said


def test_an_upgrade_takes_over_what_is_unchanged_and_can_be_rolled_back(
    client: Client, pack: Pack, prefix: Path
) -> None:
    old, new = pack("old", files={"a": b"1"}), pack("new", files={"a": b"1", "b": b"2"})
    client.install(old, "--prefix", prefix, "--yes")
    before = files_of(prefix / "envs" / "1")
    said = client.install(new, "--prefix", prefix, "--yes")
    assert "(4 taken over)" in said
    receipt = receipt_of(prefix)
    assert receipt["taken_over"] == ["leaf", "tiny", "torch", "twig"]
    assert client.python(prefix, CARGO).splitlines() == ["cargo 1.2", str(prefix / "envs" / "2")]
    assert {k: v for k, v in files_of(prefix / "envs" / "1").items() if "__pycache__" not in k} == {
        k: v for k, v in before.items() if "__pycache__" not in k
    }
    site = Path("lib") / f"python{PYTHON}" / "site-packages" / "leaf" / "__init__.py"
    assert (prefix / "envs/1" / site).stat().st_ino == (prefix / "envs/2" / site).stat().st_ino
    client.manage(prefix, "--rollback")
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"
    client.manage(prefix, "--rollback")
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.2"


def test_a_third_installation_keeps_two(client: Client, pack: Pack, prefix: Path) -> None:
    for number in (1, 2, 3):
        stick = pack(f"stick{number}", files={str(n): b"x" for n in range(number)})
        client.install(stick, "--prefix", prefix, "--yes", "--verify", "none")
    assert sorted(path.name for path in (prefix / "envs").iterdir()) == ["2", "3"]


def test_what_was_changed_by_hand_is_not_taken_over(client: Client, pack: Pack, prefix: Path) -> None:
    old, new = pack("old", files={"a": b"1"}), pack("new", files={"a": b"1", "b": b"2"})
    client.install(old, "--prefix", prefix, "--yes")
    leaf = prefix / "envs/1/lib" / f"python{PYTHON}" / "site-packages" / "leaf" / "__init__.py"
    leaf.write_text("changed = True\n", "utf-8")
    assert "(3 taken over)" in client.install(new, "--prefix", prefix, "--yes")
    assert client.python(prefix, "import leaf; print(hasattr(leaf, 'changed'))") == "False\n"


def test_a_second_run_says_that_it_is_there_and_proves_it_again(
    client: Client, stick: Path, prefix: Path
) -> None:
    client.install(stick, "--prefix", prefix, "--yes")
    said = client.install(stick, "--prefix", prefix, "--yes")
    assert "environment 1 is complete already" in said
    assert "2 passed" in said
    assert [path.name for path in (prefix / "envs").iterdir()] == ["1"]
    client.install(stick, "--prefix", prefix, "--yes", "--reinstall")
    assert (prefix / "current").resolve().name == "2"


def test_a_failing_check_leaves_the_old_environment_in_use(
    client: Client, pack: Pack, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.install(pack("old", files={"a": b"1"}), "--prefix", prefix, "--yes")
    monkeypatch.setattr("clients.CHECKS", BROKEN_CHECKS)
    said = client.install(pack("new", files={"a": b"1", "b": b"2"}), "--prefix", prefix, "--yes", status=1)
    assert "never works: AssertionError: broken on purpose" in said
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"
    assert [path.name for path in (prefix / "envs").iterdir()] == ["1"]
    assert "broken on purpose" in (prefix / "install.log").read_text("utf-8")


BROKEN_CHECKS = """
from harness import check, expect

@check("never works")
def never(context):
    expect(False, "broken on purpose")
"""


def test_uninstall_removes_its_own_files_and_nothing_else(client: Client, stick: Path, prefix: Path) -> None:
    client.install(stick, "--prefix", prefix, "--yes")
    client.python(prefix, "import leaf, twig")
    mine = [prefix / "notes.txt", prefix / "envs" / "1" / "mine" / "model.pkl"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", "utf-8")
    said = client.manage(prefix, "--uninstall", "--yes")
    assert "envs/1/mine/model.pkl" in said
    assert [path for path in sorted(prefix.rglob("*")) if path.is_file()] == sorted(mine)
    for path in mine:
        path.unlink()
    shutil.rmtree(prefix)
    client.install(stick, "--prefix", prefix, "--yes")
    assert "removed" in client.manage(prefix, "--uninstall", "--yes")
    assert not prefix.exists()


def test_check_changes_nothing(client: Client, stick: Path, prefix: Path) -> None:
    document = client.json(stick, "--check", "--prefix", prefix)
    assert document["target"] == HERE.name
    assert {finding["code"] for finding in document["findings"]} >= {"platform", "python", "space"}
    assert not prefix.exists()
    assert list(client.home.iterdir()) == []


def test_damaged_files_are_all_named_before_anything_is_done(
    client: Client, stick: Path, prefix: Path
) -> None:
    wheels = sorted((stick / "wheelhouse").glob("*.whl"))
    damaged, gone = wheels[0], wheels[1]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.unlink()
    damaged.write_bytes(data)
    gone.unlink()
    (stick / "README.txt").write_text("other", "utf-8")
    document = client.json(stick, "--prefix", prefix, status=4)
    assert f"wheelhouse/{damaged.name} has other content" in str(document["error"])
    assert f"wheelhouse/{gone.name} is missing" in str(document["error"])
    assert "README.txt has" in str(document["error"])
    assert not (prefix / "current").exists()
    assert not (prefix / "envs").exists()


def test_a_changed_manifest_and_a_damaged_installer_are_refused(
    client: Client, stick: Path, prefix: Path
) -> None:
    manifest = stick / "bundle.json"
    text = manifest.read_text("utf-8")
    manifest.write_text(text.replace('"release": "1.0"', '"release": "1.1"'), "utf-8")
    assert "altered or damaged" in client.install(stick, "--prefix", prefix, "--yes", status=4)
    manifest.write_text(text, "utf-8")
    installer = stick / "install.pyz"
    installer.write_bytes(installer.read_bytes()[:-7] + b"damaged")
    assert "install.pyz is damaged" in client.install(stick, "--prefix", prefix, "--yes", status=4)


def test_hostile_variables_are_neutralised_and_told(client: Client, stick: Path, prefix: Path) -> None:
    hostile = {
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": "/nonexistent",
        "LD_LIBRARY_PATH": "/nonexistent",
        "PIP_NO_BINARY": ":all:",
        "PIP_TARGET": str(client.home),
        "UV_NO_BINARY": "1",
        "UV_INDEX_URL": "https://user:secret@index.example/simple",
        "VIRTUAL_ENV": str(client.home),
    }
    said = client.install(stick, "--prefix", prefix, "--yes", environ=hostile)
    for name in hostile:
        assert f"{name}=" in said
    assert "secret" not in said
    assert "secret" not in (prefix / "current" / "receipt.json").read_text("utf-8")
    broken = {**client.environment, "PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent"}
    assert run([prefix / "python", "-c", "import cargo"], broken, 0) == ""


def test_a_folder_with_other_things_is_refused(client: Client, stick: Path, prefix: Path) -> None:
    prefix.mkdir()
    (prefix / "thesis.tex").write_text("x", "utf-8")
    assert "thesis.tex" in client.install(stick, "--prefix", prefix, "--yes", status=2)
    assert [path.name for path in prefix.iterdir()] == ["thesis.tex"]


def test_nobody_to_ask_is_an_error_and_not_a_guess(client: Client, stick: Path) -> None:
    said = client.install(stick, status=2)
    assert "nobody to ask" in said
    assert list(client.home.iterdir()) == []


def test_a_person_is_asked_for_the_folder_and_may_change_it(
    client: Client, stick: Path, tmp_path: Path
) -> None:
    said, status = converse(client, stick, [("which folder?", f"{tmp_path}/ö 2\n"), ("Install", "\n")])
    assert status == 0, said
    assert f"[{client.home}/.local/share/wheelferry/tiny]" in said
    assert client.python(tmp_path / "ö 2", CARGO).splitlines()[0] == "cargo 1.1"


def test_a_person_may_say_no(client: Client, stick: Path) -> None:
    said, status = converse(client, stick, [("which folder?", "\n"), ("Install", "no\n")])
    assert status == 130
    assert "nothing was changed" in said
    assert list(client.home.iterdir()) == []


def converse(client: Client, stick: Path, answers: list[tuple[str, str]]) -> tuple[str, int]:
    """Run install.sh on a terminal and answer its questions; returns what was shown, and the exit status."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["sh", str(stick / "install.sh")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=client.environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    waiting = list(answers)
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the terminal is gone: the program has ended
            break
        shown += piece.decode("utf-8", "replace")
        if waiting and waiting[0][0] in shown.rpartition("\n")[2]:
            os.write(ours, waiting.pop(0)[1].encode())
    os.close(ours)
    return shown, process.wait()


def test_what_a_killed_run_left_counts_as_free_space(prefix: Path) -> None:
    from wheelferry.client.installer.prefix import Prefix

    for number in ("1", "2"):
        (prefix / "envs" / number).mkdir(parents=True)
    (prefix / ".lock").touch()
    (prefix / "envs" / "2" / "incomplete").touch()
    for number in ("1", "2"):
        (prefix / "envs" / number / "own").write_bytes(b"x" * 1000)
    (prefix / "envs/1/receipt.json").write_text('{"x": 1}', "utf-8")
    (prefix / "envs/1/shared").write_bytes(b"x" * 500)
    (prefix / "envs/2/shared").hardlink_to(prefix / "envs/1/shared")
    (prefix / ".tmp-x").mkdir()
    (prefix / ".tmp-x/twice").write_bytes(b"x" * 70)
    (prefix / "envs/2/twice").hardlink_to(prefix / ".tmp-x/twice")
    assert Prefix(str(prefix)).leftover_bytes() == 1070


def test_two_installers_at_once_take_turns(client: Client, stick: Path, prefix: Path) -> None:
    both = [client.start(stick, "--prefix", prefix, "--yes") for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting for it" in text for text in said) == 1
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"


def test_an_interrupted_installer_says_so_and_leaves_nothing_half_done(
    client: Client, pack: Pack, prefix: Path
) -> None:
    stick = pack("stick", files={f"{n}.bin": os.urandom(2000) for n in range(3000)})
    process = client.start(stick, "--prefix", prefix, "--yes")
    deadline = time.monotonic() + 600
    while not (prefix / "envs" / "1" / "bin").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate()[0]
    assert process.returncode in (130, 143), said
    assert not (prefix / "envs" / "1").exists()
    assert list(prefix.glob(".tmp-*")) == []


def test_killed_at_any_moment_a_rerun_completes(client: Client, pack: Pack, prefix: Path) -> None:
    """The environment in use stays whole until the switch, and nothing but prefix and temp is touched."""
    sticks = [
        pack(f"stick {n}", files={f"{i}.bin": bytes([n]) * 3000 for i in range(1500 + n)}) for n in range(2)
    ]
    shipped = [files_of(stick) for stick in sticks]
    started = time.monotonic()
    client.install(sticks[0], "--prefix", prefix, "--yes")
    whole = time.monotonic() - started
    chance = random.Random(SEED)
    for attempt in range(KILLS):
        stick = sticks[(attempt + 1) % 2]
        process = client.start(stick, "--prefix", prefix, "--yes", "--reinstall")
        time.sleep(chance.uniform(0, 1.1 * whole))
        if chance.random() < 0.5:
            os.killpg(
                process.pid, signal.SIGKILL
            )  # install.sh and the installer; uv has a session of its own
        else:
            process.kill()
        process.communicate()
        current = (prefix / "current").resolve()
        assert (current / "receipt.json").is_file()
        assert client.python(prefix, CARGO).startswith("cargo 1.")
        client.install(stick, "--prefix", prefix, "--yes")
        assert client.python(prefix, CARGO).splitlines()[0] == f"cargo 1.{1500 + (attempt + 1) % 2}"
        assert list(prefix.glob(".tmp-*")) == []
        assert {path.name for path in prefix.iterdir()} == LEFT
        assert all((env / "receipt.json").is_file() for env in (prefix / "envs").iterdir())
        assert len(list((prefix / "envs").iterdir())) <= 2
    assert [files_of(stick) for stick in sticks] == shipped
    assert list(client.home.iterdir()) == []


LEFT = {
    ".lock", ".wheelferry.json", "current", "envs", "install.log", "install.pyz", "python", "wheelferry",
}  # fmt: skip


def test_into_an_existing_environment_and_out_again(client: Client, stick: Path, tmp_path: Path) -> None:
    env = tmp_path / "my env"
    venv.create(env, with_pip=False)
    before = files_of(env)
    said = client.install(stick, "--into", env, "--yes")
    assert "2 passed" in said
    assert run([env / "bin" / "python", "-c", "import cargo"], client.environment, 0) == ""
    receipt = json.loads((env / "wheelferry" / "receipt.json").read_text("utf-8"))
    assert {item["name"] for item in receipt["packages"]} == {"cargo", "leaf", "tiny", "torch", "twig"}
    assert f"removed from {env}" in client.install(stick, "--into", env, "--uninstall", "--yes")
    assert {name: sha for name, sha in files_of(env).items() if name != ".lock"} == before


def without_records(env: Path) -> dict[str, str]:
    """The files of an environment but those that the installer keeps of its work, and uv's lock."""
    return {n: sha for n, sha in files_of(env).items() if not n.startswith("wheelferry/") and n != ".lock"}


def test_a_checkout_that_hides_what_is_installed_is_told(
    client: Client, stick: Path, prefix: Path, tmp_path: Path
) -> None:
    client.install(stick, "--prefix", prefix, "--yes")
    checkout = tmp_path / "check out"
    (checkout / "leaf").mkdir(parents=True)
    (checkout / "leaf" / "__init__.py").write_text("mine = True\n", "utf-8")
    (checkout / "mine.py").write_text("import leaf\n", "utf-8")
    say = "import leaf; print(hasattr(leaf, 'mine'))"

    def started(*arguments: str | Path, folder: Path = checkout, **values: str) -> tuple[str, str]:
        done = subprocess.run(
            [prefix / "python", *arguments],
            cwd=folder, env={**client.environment, **values}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip(), done.stderr

    out, err = started("-c", say)
    assert out == "True"
    assert "note: . has a leaf of its own, which hides the installed one" in err
    assert f"note: {checkout} has a leaf of its own" in started(checkout / "mine.py", folder=tmp_path)[1]
    assert started("-c", say, folder=tmp_path) == ("False", "")
    assert started("-c", say, PYTHONSAFEPATH="1") == ("False", "")
    assert started("-c", say, WHEELFERRY_KEEP_ENV="1")[1] == ""


def add_traces(site: Path) -> None:
    """Packages of other versions as they are found in environments, in the names of the bundle's own."""
    for name in ("leaf", "twig", "tiny"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("old = True\n", "utf-8")
        (site / name / "gone.py").write_text("", "utf-8")
    stale = site / "leaf-9.9.dist-info"  # of an installation that was killed: no RECORD
    stale.mkdir()
    (stale / "METADATA").write_text("Metadata-Version: 2.1\nName: leaf\nVersion: 9.9\n", "utf-8")
    # as Debian's distutils and conda wrote it: one file, and no list of the package's files
    (site / "twig-0.1.egg-info").write_text("Metadata-Version: 1.0\nName: twig\nVersion: 0.1\n", "utf-8")
    old = site / "tiny-0.5.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 0.5\n", "utf-8")
    names = ["tiny/__init__.py", "tiny/gone.py", f"{old.name}/METADATA", f"{old.name}/RECORD"]
    (old / "RECORD").write_text("".join(f"{name},,\n" for name in names), "utf-8")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_into_an_environment_with_a_past(client: Client, stick: Path, tmp_path: Path, installer: str) -> None:
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    site = env / "lib" / f"python{PYTHON}" / "site-packages"
    add_traces(site)
    said = client.install(stick, "--into", env, "--yes", "--installer", installer)
    assert "2 passed" in said
    metadata = sorted(path.name.split("-")[0] for path in site.glob("*-info"))
    assert metadata == ["cargo", "leaf", "tiny", "torch", "twig"]  # of each one, and no other version of it
    assert not (site / "tiny" / "gone.py").exists()  # its own list named it
    assert not (env / "wheelferry" / ".replaced").exists()


def test_what_fails_leaves_an_environment_as_it_was(
    client: Client, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the bytes of packages that were replaced, and nothing of those that were brought."""
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    add_traces(env / "lib" / f"python{PYTHON}" / "site-packages")
    before = files_of(env)
    failing = '@check("it works")\ndef works(context):\n    expect(False, "it does not")\n'
    monkeypatch.setattr("clients.CHECKS", f"{clients.CHECKS}\n{failing}")
    stick = pack("stick")
    said = client.install(stick, "--into", env, "--yes", status=1)
    assert f"{env} is what it was before" in said
    assert without_records(env) == before
    assert not (env / "wheelferry" / ".replaced").exists()


def test_a_kill_while_an_environment_is_changed(client: Client, stick: Path, tmp_path: Path) -> None:
    """What was set aside is put back by the next run, whenever the kill came."""
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    add_traces(env / "lib" / f"python{PYTHON}" / "site-packages")
    before = files_of(env)
    started = time.monotonic()
    client.install(stick, "--into", env, "--yes", "--check")
    client.install(stick, "--into", env, "--yes")
    whole = time.monotonic() - started
    shutil.rmtree(env)
    chance = random.Random(SEED)
    for _ in range(KILLS):
        venv.create(env, with_pip=False)
        add_traces(env / "lib" / f"python{PYTHON}" / "site-packages")
        process = client.start(stick, "--into", env, "--yes")
        time.sleep(chance.uniform(0, whole))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        bad = tmp_path / "bad"
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(stick, bad)
        wheel = next(bad.glob("wheelhouse/leaf-*.whl"))
        wheel.write_bytes(b"damaged")
        complete = (env / "wheelferry" / "receipt.json").exists()
        client.install(bad, "--into", env, "--yes", status=4)
        assert complete or without_records(env) == before
        shutil.rmtree(env)


def test_a_conda_environment_comes_with_its_caveats(client: Client, stick: Path, tmp_path: Path) -> None:
    env = tmp_path / "conda"
    venv.create(env, with_pip=False)
    (env / "conda-meta").mkdir()
    assert "conda does not know" in client.install(stick, "--into", env, "--yes")


def test_the_wrong_python_for_an_existing_environment(client: Client, pack: Pack, tmp_path: Path) -> None:
    other = "3.12" if PYTHON != "3.12" else "3.11"
    stick = pack("stick", target=replace(HERE, python=other))
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    said = client.install(stick, "--into", env, "--yes", status=3)
    assert f"the target is for Python {other}" in said


def free_threaded(env: Path) -> Path:
    """Let the Python of the environment `env` say that it is a free-threaded build; its program."""
    (site,) = env.glob("lib/python*/site-packages")
    (site / "a.pth").write_text(
        "import sysconfig; sysconfig.get_config_var = lambda name, asked=sysconfig.get_config_var: "
        "1 if name == 'Py_GIL_DISABLED' else asked(name)\n"
    )
    return env / "bin" / "python"


def test_a_free_threaded_python_is_refused_with_the_reason(
    client: Client, stick: Path, prefix: Path, tmp_path: Path
) -> None:
    env = tmp_path / "env"
    venv.create(env, with_pip=False)
    program = free_threaded(env)
    ways: list[list[str | Path]] = [["--into", env], ["--prefix", prefix, "--python", program]]
    for options in ways:
        said = client.install(stick, *options, "--yes", status=3)
        assert "it is a free-threaded build, for which there are other wheels" in said
        assert "Traceback" not in said
    assert not prefix.exists() or list(prefix.glob("envs/*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_of_somebody_else_is_refused_before_anything_is_touched(
    client: Client, stick: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o755)
    for parent in [tmp_path, *tmp_path.parents][:4]:  # pytest's own folders, and that of an xdist process
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # the system's own temporary folder is one that anybody may write
    home = {**client.environment, "HOME": "/nonexistent", "TMPDIR": "/tmp"}  # noqa: S108
    said = run([*nobody, "sh", stick / "install.sh", "--prefix", mine / "p", "--yes"], home, 3)
    assert "cannot be written to" in said
    assert list(mine.iterdir()) == []


def test_the_tool_installs_with_the_same_code(client: Client, stick: Path, prefix: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "wheelferry",
        "install",
        stick,
        prefix,
        "--yes",
        "--json",
    ]
    assert '"target"' in run(command, client.environment, 0)
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"
    said = run([sys.executable, "-m", "wheelferry", "install", "--help"], client.environment, 0)
    assert "--rollback" in said


@pytest.mark.parametrize("python", ["3.7", "3.8", "3.13"])
def test_the_installer_itself_runs_on_old_and_new_pythons(
    client: Client, stick: Path, prefix: Path, python: str
) -> None:
    program = _find_python(python)
    if program is None:
        pytest.skip(f"no Python {python} here")
    options: list[str | Path] = ["--prefix", prefix, "--yes", "--python", sys.executable]
    command = [program, "-I", stick / "install.pyz", *options]
    assert "2 passed" in run(command, client.environment, 0)
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"


def _find_python(version: str) -> Path | None:
    from wheelferry.errors import MissingError
    from wheelferry.system.interpreters import find_interpreter
    from wheelferry.system.process import run as run_process

    try:
        return find_interpreter(version, run_process).path
    except MissingError:
        return None


def test_packages_that_share_a_file_are_taken_over(client: Client, pack: Pack, prefix: Path) -> None:
    """As the wheels of CUDA 12 do, each of which brings the __init__.py of their namespace."""
    shared = {"../leaf/__init__.py": b""}
    old, new = pack("old", files={"a": b"1", **shared}), pack("new", files={"a": b"1", "b": b"2", **shared})
    client.install(old, "--prefix", prefix, "--yes")
    client.install(new, "--prefix", prefix, "--yes")
    client.install(new, "--prefix", prefix, "--yes", "--reinstall")
    third = pack("third", files={"a": b"1", "b": b"2", "c": b"3", **shared})
    client.install(third, "--prefix", prefix, "--yes")
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.4"


def test_an_environment_that_was_torn_is_made_anew(client: Client, stick: Path, prefix: Path) -> None:
    """As a disk may leave it that lied about what it had written."""
    client.install(stick, "--prefix", prefix, "--yes")
    site = prefix / "envs" / "1" / "lib" / f"python{PYTHON}" / "site-packages"
    (site / "cargo" / "__init__.py").write_bytes(b"")
    shutil.rmtree(site / "cargo" / "__pycache__")
    said = client.install(stick, "--prefix", prefix, "--yes")
    assert "environment 1 fails now, so a new one is made" in said
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.1"


def test_files_that_are_not_in_the_manifest_are_not_used(client: Client, stick: Path, prefix: Path) -> None:
    (stick / "smoke" / "traceback.py").write_text("raise SystemExit('foreign')", "utf-8")
    client.install(stick, "--prefix", prefix, "--yes")
    assert not (prefix / "current" / "smoke" / "traceback.py").exists()


def test_from_a_read_only_stick_and_out_again(client: Client, stick: Path, prefix: Path) -> None:
    for path in sorted(stick.rglob("*")):
        path.chmod(0o555 if path.is_dir() or path.suffix == ".sh" else 0o444)
    client.install(stick, "--prefix", prefix, "--yes")
    assert (prefix / "current" / "smoke").stat().st_mode & 0o200
    client.manage(prefix, "--uninstall", "--yes")
    assert not prefix.exists()
    for path in sorted(stick.rglob("*")):
        path.chmod(0o755)


def test_an_altered_installer_is_noticed_by_the_tool_too(client: Client, stick: Path, prefix: Path) -> None:
    (stick / "install.pyz").write_bytes(b"altered")
    command: list[str | Path] = [sys.executable, "-m", "wheelferry", "install", stick, prefix, "--yes"]
    assert "install.pyz has" in run(command, client.environment, 4)
    assert not (prefix / "install.pyz").exists()


def test_files_of_a_person_in_the_prefix_stay(client: Client, pack: Pack, prefix: Path) -> None:
    client.install(pack("old", files={"a": b"1"}), "--prefix", prefix, "--yes")
    mine = [prefix / "movie.part", prefix / "tmp" / "results.csv", prefix / "x.part" / "y"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", "utf-8")
    client.install(pack("new", files={"a": b"1", "b": b"2"}), "--prefix", prefix, "--yes")
    client.manage(prefix, "--verify", "smoke")
    client.manage(prefix, "--uninstall", "--yes")
    assert [path for path in sorted(prefix.rglob("*")) if path.is_file()] == sorted(mine)


def test_uninstalling_out_of_an_environment_leaves_what_was_there(
    client: Client, stick: Path, tmp_path: Path
) -> None:
    env = tmp_path / "env"
    venv.create(env, with_pip=True)
    pip: list[str | Path] = [env / "bin" / "python", "-m", "pip", "install", "-q", "--no-index"]
    run([*pip, "--no-deps", *stick.glob("wheelhouse/leaf-*.whl")], client.environment, 0)
    client.install(stick, "--into", env, "--yes")
    client.install(stick, "--into", env, "--yes")
    said = client.install(stick, "--into", env, "--uninstall", "--yes")
    assert "leaf stays: it was there before" in said
    run([env / "bin" / "python", "-c", "import leaf, pip"], client.environment, 0)
    assert "No module" in run([env / "bin" / "python", "-c", "import cargo"], client.environment, 1)


@pytest.mark.parametrize("name", ["a#b", "a,b", "a b$c'd", "-dash", "back\\slash"])
def test_odd_names_of_folders(client: Client, pack: Pack, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    stick = pack(f"in/{name}", files={"a": b"1"})
    prefix = tmp_path / "out" / name
    client.install(stick, "--prefix", prefix, "--yes")
    assert client.python(prefix, CARGO).splitlines() == ["cargo 1.1", str(prefix / "envs" / "1")]
    client.manage(prefix, "--uninstall", "--yes")
    assert not prefix.exists()


def test_prefixes_that_cannot_be(client: Client, stick: Path, tmp_path: Path) -> None:
    said = client.install(stick, "--prefix", tmp_path / "a:b", "--yes", status=3)
    assert "has a colon" in said
    assert "--prefix is empty" in client.install(stick, "--prefix", "", "--yes", status=2)


def test_a_manifest_that_leads_outside_is_refused(client: Client, pack: Pack, prefix: Path) -> None:
    stick = pack("stick")
    path = stick / "bundle.json"
    document = json.loads(path.read_text("utf-8"))
    document["files"][0]["path"] = "../outside"
    del document["digest"]
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    document["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
    assert "paths outside of the bundle" in client.install(stick, "--prefix", prefix, "--yes", status=4)


def test_a_rollback_to_what_does_not_start_is_refused(client: Client, pack: Pack, prefix: Path) -> None:
    client.install(pack("old", files={"a": b"1"}), "--prefix", prefix, "--yes")
    client.install(pack("new", files={"a": b"1", "b": b"2"}), "--prefix", prefix, "--yes")
    (prefix / "envs" / "1" / "bin" / "python").unlink()
    assert "does not start any more" in client.manage(prefix, "--rollback", status=3)
    assert client.python(prefix, CARGO).splitlines()[0] == "cargo 1.2"


def test_a_killed_uninstallation_is_completed_by_the_next(
    client: Client, pack: Pack, prefix: Path, tmp_path: Path
) -> None:
    stick = pack("stick", files={f"{n}.bin": b"x" for n in range(2000)})
    chance = random.Random(SEED)
    for _ in range(trials(2, 20)):
        client.install(stick, "--prefix", prefix, "--yes", "--verify", "none")
        process = subprocess.Popen([prefix / "wheelferry", "--uninstall", "--yes"], env=client.environment)
        time.sleep(chance.uniform(0.1, 0.8))
        process.kill()
        process.wait()
        if prefix.exists():
            client.install(stick, "--prefix", prefix, "--uninstall", "--yes")
        assert not prefix.exists()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction is that of x86-64")
def test_a_package_that_this_processor_does_not_run(
    client: Client, pack: Pack, prefix: Path, tmp_path: Path
) -> None:
    """UD2 is what no processor runs. What was in use before is in use still."""
    client.install(pack("sound", files={"a.bin": b"1", "b.bin": b"2"}), "--prefix", prefix, "--yes")
    before = (prefix / "current").readlink()
    module = f"_u{sysconfig.get_config_var('EXT_SUFFIX')}"
    files = {module: extension("_u", "ud2", tmp_path), "__init__.py": b"from cargo import _u\n", "c": b""}
    bad = pack("bad", files=files)
    said = client.install(bad, "--prefix", prefix, "--yes", status=1)
    assert (
        f"import cargo ({module} of cargo) ended Python with an illegal instruction; this processor is"
        in said
    )
    assert "--verify none installs all the same" in said
    assert (prefix / "current").readlink() == before
    client.install(bad, "--prefix", prefix, "--yes", "--verify", "none")
    assert "ended Python with an illegal instruction" in client.manage(prefix, "--verify", "smoke", status=1)
