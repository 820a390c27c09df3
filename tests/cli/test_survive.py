"""Kills at random moments, several processes on one store, full disks: nothing is lost, a rerun completes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clients import PYTHON
from conftest import write_wheel
from effort import SEED, trials
from wheelferry.system.files import sha256_file
from yard import Yard

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="kills by signal, and looks into /proc"),
]

KILLS = trials(2, 50)
PROCESSES = trials(2, 8)
STAGES = ("installers", "fetch", "prepare", "build", "lock", "populate", "pack", "verify")
JOB = [
    "bundle",
    "./tiny.toml@1.0",
    "--python",
    PYTHON,
    "--torch",
    "2.13.0",
    "--without-ops",
    "--level",
    "static",
]


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a bundle but those of the report, which has a date."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: sha256_file(path) for name, path in found.items() if not name.startswith("report/")}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*.part*") if "cache" not in path.parts]


def kill(process: "subprocess.Popen[str]", chance: random.Random) -> None:
    """The program, and half of the times whatever it started in its own session, too."""
    if chance.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "y ard ü")


# A backend that tells the metadata beforehand, and builds no wheel before the dependency is in the store.
_WAITS = """
import os, pathlib, time

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    info = pathlib.Path(directory, "tiny-1.0.dist-info")
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: tiny", "Version: 1.0", "Requires-Dist: leaf>=1", ""]
    (info / "METADATA").write_text(chr(10).join(lines))
    asked = pathlib.Path({asked})
    if asked.exists():
        for path in {vanishing}:
            os.unlink(path)
    asked.touch()
    return info.name

at_once = build_wheel

def build_wheel(*arguments, **options):
    leaf = pathlib.Path(os.environ["WHEELFERRY_CACHE"], "objects", "{sha256:.2}", "{sha256}")
    deadline = time.monotonic() + {patience}
    while not leaf.exists():
        assert time.monotonic() < deadline, "it was not fetched meanwhile"
        time.sleep(0.05)
    return at_once(*arguments, **options)
"""


def waiting(folder: Path, patience: int, *, vanishes: bool = False) -> Yard:
    """A place whose project waits with its build for `leaf`, which only the lock names.

    With `vanishes` the index loses it when the metadata are asked for a second time: what is required was
    found before the build, and is not there to be fetched.
    """
    leaf = Yard(folder / "first").index / "leaf-1.5-py3-none-any.whl"
    backend = _WAITS.replace("{sha256:.2}", sha256_file(leaf)[:2]).replace("{sha256}", sha256_file(leaf))
    vanishing = [str(folder / "y ard ü" / "index" / leaf.name)] if vanishes else []
    backend = backend.replace("{patience}", str(patience)).replace("{vanishing}", repr(vanishing))
    backend = backend.replace("{asked}", repr(str(folder / "asked")))
    yard = Yard(folder / "y ard ü", backend=backend)
    shutil.copyfile(leaf, yard.index / leaf.name)
    return yard


def test_what_will_ship_is_fetched_while_the_wheel_is_built(tmp_path: Path) -> None:
    yard = waiting(tmp_path, patience=300)
    yard.run(*JOB, "--out", "whole")
    assert list((yard.folder / "whole" / "wheelhouse").glob("leaf-*.whl"))
    assert list((yard.cache / "work").iterdir()) == []


def test_a_build_that_fails_ends_what_was_fetched_meanwhile(tmp_path: Path) -> None:
    """The dependency left the index after it was resolved: the reason is told, and nothing is left."""
    yard = waiting(tmp_path, patience=1, vanishes=True)
    process = yard.start(*JOB, "--out", "whole")
    said = process.communicate()[0]
    assert process.returncode == 5, said
    assert "it was not fetched meanwhile" in said
    assert "not fetched ahead for" in said
    assert not (yard.folder / "whole").exists()
    assert list((yard.cache / "work").iterdir()) == []


def test_ctrl_c_ends_what_is_fetched_meanwhile_too(tmp_path: Path) -> None:
    yard = waiting(tmp_path, patience=3000, vanishes=True)
    process = yard.start(*JOB, "--out", "whole")
    assert process.stdout is not None
    for line in process.stdout:
        if "not fetched ahead for" in line:
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate()[0]
    assert process.returncode == 130, said
    assert list((yard.cache / "work").iterdir()) == []


def test_killed_in_any_stage_a_rerun_gives_the_same_bytes(yard: Yard) -> None:
    yard.run(*JOB, "--out", "whole")
    whole = files_of(yard.folder / "whole")
    shutil.rmtree(yard.cache)
    chance = random.Random(SEED)
    for number in range(KILLS):
        process = yard.start(*JOB, "--out", "out")
        assert process.stdout is not None
        stage = chance.choice(STAGES)
        for line in process.stdout:
            if line.startswith(stage):
                break
        time.sleep(chance.uniform(0, 0.4))
        kill(process, chance)
        if (yard.folder / "out").exists():
            # a report under way lies beside the bundle's own files until it is whole; the rerun takes it away
            found = files_of(yard.folder / "out")
            assert {name: data for name, data in found.items() if not name.startswith(".report.")} == whole
        if number % 4 == 3:
            yard.run(*JOB, "--out", "out")
            assert files_of(yard.folder / "out") == whole
            assert leftovers(yard.folder) == []
            shutil.rmtree(chance.choice([yard.cache, yard.folder / "out"]))
    yard.run(*JOB, "--out", "out")
    assert files_of(yard.folder / "out") == whole
    assert leftovers(yard.folder) == []


def test_processes_on_one_store_share_the_work(yard: Yard) -> None:
    both = [yard.start(*JOB, "--out", f"out-{number}") for number in range(PROCESSES)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0] * PROCESSES, said
    first, *others = [files_of(yard.folder / f"out-{number}") for number in range(PROCESSES)]
    assert others == [first] * (PROCESSES - 1)
    assert len(list((yard.cache / "logs").glob("*-build-tiny-*"))) == 1


POPULATE = """
import json, sys
from pathlib import Path
from packaging.version import Version
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.system.interpreters import Interpreter
from wheelferry.models.lock import Choice
from wheelferry.system.process import run
from wheelferry.progress import Silent
from wheelferry.cache.uv import Uv
from wheelferry.build.populate import populate
from wheelferry.cache.store import Store
from wheelferry.models.targets import Target
from wheelferry.cache.tools import Tools

store, wanted = Store(Path(sys.argv[1])), json.loads(sys.argv[2])
index = IndexSettings()
tools = Tools(run=run, store=store, index=index, uv=Uv(program=Path("uv"), run=run, index=index),
              progress=Silent(), jobs=2)
target = Target(python="3.11", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="cpu")
python = Interpreter(path=Path(sys.executable), version="3.11.0", headers=Path("include"))
choices = [Choice(name=item["name"], version=Version("1.0"), filename=item["url"].rpartition("/")[2],
                  url=item["url"], sha256=item["sha256"], is_sdist=False) for item in wanted]
for wheel in populate(choices, target, python, tools):
    print(wheel.filename, wheel.sha256, wheel.size)
"""


class SlowIndex:
    """Serves a folder in small pieces, ranges included, and counts who asks for what."""

    def __init__(self, folder: Path, *, pieces: int, pause: float) -> None:
        self.asked: list[tuple[str, str]] = []
        self.tells_size = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                if outer.tells_size:
                    self.begin(200, 0, (folder / self.path[1:]).stat().st_size)
                else:
                    self.send_error(405)

            def do_GET(self) -> None:
                outer.asked.append((self.path[1:], self.headers.get("Range", "all")))
                data = (folder / self.path[1:]).read_bytes()
                start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
                self.begin(206 if start else 200, start, len(data))
                for place in range(start, len(data), len(data) // pieces):
                    self.wfile.write(data[place : place + len(data) // pieces])
                    time.sleep(pause)

            def begin(self, status: int, start: int, size: int) -> None:
                self.send_response(status)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
                self.send_header("Content-Length", str(size - start))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass  # the client was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.wanted = [
            {
                "name": path.name.partition("-")[0],
                "url": f"http://127.0.0.1:{self.server.server_port}/{path.name}",
                "sha256": sha256_file(path),
            }
            for path in sorted(folder.iterdir())
        ]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def populate(self, store: Path, around: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """Start the stage with everything that is served; `around` is the command that starts it."""
        return subprocess.Popen(
            [*around, sys.executable, "-c", POPULATE, str(store), json.dumps(self.wanted)],
            cwd=store.parent,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def slow_index(tmp_path: Path) -> Iterator[SlowIndex]:
    for name in ("one", "two", "three", "four"):
        write_wheel(tmp_path / "served", name, "1.0", files={f"{name}/data": os.urandom(400_000)})
    made = SlowIndex(tmp_path / "served", pieces=20, pause=0.03)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_populate_killed_at_any_moment_recovers_to_the_same_bytes(
    slow_index: SlowIndex, tmp_path: Path
) -> None:
    begun = time.monotonic()
    process = slow_index.populate(tmp_path / "whole")
    expected = process.communicate()[0]
    assert process.returncode == 0, expected
    whole = time.monotonic() - begun
    objects = files_of(tmp_path / "whole" / "objects")
    assert len(objects) == len(slow_index.wanted)
    chance = random.Random(SEED + 1)
    resumed = number = 0
    while number < KILLS or (resumed == 0 and number < 50):  # few may all come too early or too late
        number += 1
        store = tmp_path / f"store-{number}"
        process = slow_index.populate(store)
        time.sleep(chance.uniform(0.2, 1) * whole)
        kill(process, chance)
        slow_index.asked.clear()
        again = slow_index.populate(store)
        assert again.communicate()[0] == expected
        assert again.returncode == 0
        assert files_of(store / "objects") == objects
        assert list((store / "partial").iterdir()) == []
        resumed += sum(wanted != "all" for _, wanted in slow_index.asked)
    assert resumed > 0


def test_eight_processes_download_each_file_once(slow_index: SlowIndex, tmp_path: Path) -> None:
    all_of_them = [slow_index.populate(tmp_path / "store") for _ in range(8)]
    said = {process.communicate()[0] for process in all_of_them}
    assert [process.returncode for process in all_of_them] == [0] * 8, said
    assert len(said) == 1
    assert sorted(slow_index.asked) == sorted(
        (item["url"].rpartition("/")[2], "all") for item in slow_index.wanted
    )


def test_merge_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, bundle: Path) -> None:
    yard_environment = {**os.environ, "WHEELFERRY_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "wheelferry", "merge", str(bundle), "--out", str(tmp_path / "out")]

    def merge() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, env=yard_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    begun = time.monotonic()
    process = merge()
    said = process.communicate()[0]
    assert process.returncode == 0, said
    taken = time.monotonic() - begun
    whole = files_of(tmp_path / "out")
    chance = random.Random(SEED + 2)
    for _ in range(2 * KILLS):
        process = merge()
        time.sleep(chance.uniform(0.5, 1.05) * taken)
        kill(process, chance)
        assert not (tmp_path / "out").exists() or files_of(tmp_path / "out") == whole
    process = merge()
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert files_of(tmp_path / "out") == whole
    assert [path.name for path in tmp_path.glob(".*")] == []


def in_small_disk(yard: Yard, script: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script where the folder ``disk`` is a file system of its own, of 1 MB at first."""
    disk = yard.folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size=1m tmpfs '{disk}'"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a small file system")
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", f"{mount}\n{script}"],
        cwd=yard.folder, env=yard.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


FERRY = f"'{sys.executable}' -m wheelferry"


@pytest.mark.parametrize("what", ["cache", "out"])
def test_a_full_disk_is_said_and_more_room_continues(yard: Yard, what: str) -> None:
    out = "disk/out" if what == "out" else "out"
    cache = "export WHEELFERRY_CACHE=disk/cache" if what == "cache" else ":"
    job = " ".join([FERRY, *JOB, "--out", out])
    done = in_small_disk(
        yard,
        f"{cache}\nset +e\n{job}\necho first $?\nls -A disk\nmount -o remount,size=3g disk\n"
        f"{job}\necho second $?\ncp -r {out} kept\nls -A disk",
    )
    assert "first 3\n" in done.stdout, done.stdout + done.stderr
    assert "second 0\n" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    yard.run(*JOB, "--out", "whole")
    assert files_of(yard.folder / "kept") == files_of(yard.folder / "whole")


def test_merge_onto_a_full_disk_leaves_nothing(yard: Yard) -> None:
    yard.run(*JOB, "--out", "whole")
    done = in_small_disk(
        yard, f"set +e\n{FERRY} merge whole --out disk/out\necho status $?\nls -A disk | wc -l"
    )
    assert "status 3\n0\n" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("mount -t tmpfs -o size=1m tmpfs store", "No space left on device"),
        ("ulimit -S -f 400", "File too large"),  # 200 kB, as FAT32 has 4 GB
    ],
)
def test_a_disk_that_fills_up_on_the_way_keeps_what_arrived(
    slow_index: SlowIndex, tmp_path: Path, limit: str, said: str
) -> None:
    """Nobody knew the sizes, or somebody else writes to the disk, too."""
    slow_index.tells_size = False
    (tmp_path / "store").mkdir()
    unshare = ["unshare", "-m", "sh", "-ec"]
    if subprocess.run([*unshare, limit], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a small file system")
    script = f'{limit}; set +e; "$@"; status=$?; ulimit -S -f unlimited; cp -r store kept; exit $status'
    process = slow_index.populate(tmp_path / "store", [*unshare, script, "sh"])
    output = process.communicate()[0]
    assert process.returncode == 1, output
    assert "MissingError: cannot write" in output
    assert said in output
    assert not list((tmp_path / "kept" / "objects").rglob("*.part"))
    again = slow_index.populate(tmp_path / "kept")
    assert again.communicate()[0].count("\n") == len(slow_index.wanted)
    assert any(wanted != "all" for _, wanted in slow_index.asked)


@pytest.fixture
def upstream(yard: Yard) -> str:
    """The project as a git repository; the recipe takes it from there."""
    project = yard.folder / "tiny" / "project"
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    recipe = yard.folder / "tiny.toml"
    lines = [
        f'source = {{ kind = "git", url = "{project.as_uri()}" }}' if line.startswith("source")
        else f'tag = "v1"\ncommit = "{commit}"' if line.startswith("tree")
        else line
        for line in recipe.read_text("utf-8").splitlines()
    ]  # fmt: skip
    recipe.write_text("\n".join(lines) + "\n", "utf-8")
    return commit


def test_a_damaged_clone_is_never_built_from(yard: Yard, upstream: str) -> None:
    yard.run(*JOB, "--out", "whole")
    whole = files_of(yard.folder / "whole")
    clone = yard.cache / "sources" / f"{upstream}.git"
    chance = random.Random(3)
    for victim in ("objects/pack/*.pack", "HEAD"):
        (path,) = clone.glob(victim)
        data = bytearray(path.read_bytes())
        data[chance.randrange(12, len(data) - 1) if len(data) > 13 else 0] ^= 0x55
        path.chmod(0o644)
        path.write_bytes(data)
        shutil.rmtree(yard.cache / "keys" / "build")  # so that it is built again
        yard.run(*JOB, "--out", "again")
        assert files_of(yard.folder / "again") == whole
