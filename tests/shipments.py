"""Pairs of bundles that differ as updates do, and the clients' side of delta and split as real processes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET, locked, pack_bundle, write_wheel
from effort import SEED, trials
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import MissingError
from wheelferry.models.lock import LockedWheel
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.process import run as run_process

KILLS = trials(3, 100)
CHANGES = trials(40, 1000)
OLDER_TORCH = replace(TARGET, torch="2.12.0")
OTHER_PYTHON = replace(TARGET, python="3.12")


def recipe_of_two(located: LocatedRecipe) -> LocatedRecipe:
    """The tests' recipe with a second torch and a second release."""
    table, release = RECIPE.index("[[torch]]"), RECIPE.index("[releases.")
    end = RECIPE.index("[smoke]")
    torch = RECIPE[table:release].replace("2.13.0", "2.12.0")
    another = RECIPE[release:end].replace('"1.0"', '"1.1"').replace("0" * 64, "1" * 64)
    text = RECIPE[:release] + torch + RECIPE[release:end] + another + RECIPE[end:]
    return replace(located, recipe=parse_recipe(text, file="tiny.toml"))


class Yard:
    """Packs bundles that a client can be given, with a report, a signature and cargo of some bytes."""

    def __init__(self, folder: Path, tools: Tools, located: LocatedRecipe) -> None:
        self.folder, self.tools, self.located = folder, tools, recipe_of_two(located)

    def cargo(self, name: str, size: int, seed: int = 0) -> LockedWheel:
        """A wheel of so many random bytes, the same ones for the same seed."""
        data = random.Random(f"{name} {seed}").randbytes(size)
        wheel = write_wheel(self.folder / f"cargo-{seed}", name, "1.0", files={f"{name}/data.bin": data})
        return locked(wheel, self.tools.store)

    def pack(
        self,
        name: str,
        targets: Iterable[Target] = (TARGET,),
        release: str = "1.0",
        more: Iterable[LockedWheel] = (),
        signature: bytes = b"signed",
    ) -> Path:
        """A bundle in a folder whose name has a blank and a letter beyond ASCII."""
        out = self.folder / f"{name} ü"
        made = self.folder / f"{name}-made"
        pack_bundle(out, made, self.tools, self.located, targets, more=more, release=release)
        (out / "bundle.json.sig").write_bytes(signature)
        (out / "report" / "cp311").mkdir(parents=True)
        (out / "report" / "report.json").write_text(f'{{"of": "{name}"}}\n', "utf-8")
        (out / "report" / "cp311" / "ähnlich.png").write_bytes(b"picture")
        (out / "report" / "empty.log").write_bytes(b"")
        return out


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder; the folders themselves end in a slash, links are followed by nothing."""
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        assert not path.is_symlink()
        if path.is_dir():
            found[f"{name}/"] = b""
        else:
            found[name] = path.read_bytes()
    return found


def start(*command: str | Path, cwd: Path | None = None) -> "subprocess.Popen[str]":
    """A process of its own group, with no more of our environment than it needs."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )


def run(*command: str | Path, status: int = 0, cwd: Path | None = None) -> str:
    """Run a command to its end; returns both its streams in one."""
    process = start(*command, cwd=cwd)
    said = process.communicate()[0]
    assert process.returncode == status, f"exit {process.returncode}\n{said}"
    return said


def ferry(*arguments: str | Path, status: int = 0) -> str:
    """Run the program itself, as `run` does."""
    return run(sys.executable, "-m", "wheelferry", *arguments, status=status)


def flip(path: Path, chance: random.Random) -> int:
    """Change one byte of a file, whose bytes are nobody else's afterwards; returns where."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)
    mode = path.stat().st_mode
    path.unlink()
    path.write_bytes(data)
    path.chmod(mode)
    return place


def python_of(version: str) -> Path:
    """An interpreter of that version; the test is skipped where there is none."""
    try:
        return find_interpreter(version, run_process).path
    except MissingError:
        pytest.skip(f"no Python {version} here")


def kill_and_repeat(command: list[str | Path], out: Path, wanted: dict[str, bytes]) -> int:
    """Kill a command that makes `out` at random moments, then let it complete, several times.

    Nothing half-made may be in place, and the result must be `wanted`. Returns how often it was killed at
    work.
    """
    chance = random.Random(SEED)
    aside = out.parent / f".{out.name}.part"
    started = time.monotonic()
    run(*command)
    seconds = time.monotonic() - started
    assert contents(out) == wanted
    at_work = tried = 0
    while tried < KILLS or (at_work == 0 and tried < 100):  # few may all come too early or too late
        tried += 1
        shutil.rmtree(out)
        for _ in range(chance.choice([1, 1, 2])):
            process = start(*command)
            time.sleep(chance.uniform(0, 1.1 * seconds))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            at_work += aside.exists()
            assert not out.exists() or contents(out) == wanted
        run(*command)
        assert contents(out) == wanted
        assert not aside.exists()
    return at_work
