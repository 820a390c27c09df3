"""The pylock as others use it: from a bundle that was moved and renamed, with the uv and the pip it carries.

What each tool really does there decides what is asked of it (pip 26.3, uv 0.13.9; `test_installers.py`):
pip's dry run hashes every file, twice, which takes as long as the dry run from requirements.txt that is made
anyway; uv's looks whether each file is there and has the lock's size, and hashes none. So uv goes through the
whole lock, and both take the smallest wheels by the lock's own entries: uv installs them, pip hashes them.
"""

import json
import re
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from wheelferry.client.common.sizes import human_size
from wheelferry.models.lock import PinnedFile, parse_pylock
from wheelferry.models.problems import Code, Problem
from wheelferry.models.wheel_info import filename_parts
from wheelferry.verification.installation.install import Proven, Trial, same_version, versions_in
from wheelferry.verification.installation.pip_install import FIRST_WITH_PYLOCK, pip_of

# A name that a folder gets on a client's disk, and that only careful programs take.
_PLACE = "the bundle, moved (copy)"
# Bytes of wheels that are installed from the lock, the smallest first.
_MOST = 32_000_000
_WOULD_INSTALL = re.compile(r"^ \+ (\S+?)==(\S+)", re.MULTILINE)

_Files = Mapping[NormalizedName, PinnedFile]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moved:
    """The lock in another place, beside it a lock of its smallest wheels, and what the two name."""

    lock: Path
    files: _Files
    small_lock: Path
    small: _Files
    small_bytes: int

    @property
    def described(self) -> str:
        """How many wheels the smaller lock names, and their size."""
        return f"{len(self.small)} of the {len(self.files)} wheels ({human_size(self.small_bytes)})"


def prove_pylock(trial: Trial, env: Path) -> Proven:
    """Have uv and pip read the pylock in another folder than the bundle's, whose name has blanks.

    The folder has a copy of the lock and a link to the wheels, and the tools are started in a third one: a
    path in the lock that is not relative to it leads nowhere. Nothing but the smallest wheels is unpacked.
    """
    place = (trial.machine.installations or trial.folder) / _PLACE
    place.mkdir(parents=True)
    wheels = place / "wheelhouse"
    try:
        wheels.symlink_to(trial.root.resolve() / "wheelhouse", target_is_directory=True)
        list(wheels.iterdir())  # Windows also makes links that it does not follow
    except OSError as error:  # and lets few accounts make them
        return Proven(
            not_tried=(f"the pylock in another folder: no link to the wheels can be made ({error})",)
        )
    with trial.tools.progress.task("read the pylock from another folder"):
        moved = _move(trial, place)
        uv, pip = _prove_with_uv(trial, env, moved), _prove_with_pip(trial, env, moved)
    said = [*uv.facts.get("said", ()), *pip.facts.get("said", ())]
    return Proven(
        problems=(*uv.problems, *pip.problems),
        facts={"pylock": said},
        not_tried=(*uv.not_tried, *pip.not_tried),
    )


def _move(trial: Trial, place: Path) -> _Moved:
    root = trial.root.resolve()
    lock = place / trial.entry.pylock
    text = (root / trial.entry.pylock).read_text("utf-8")
    lock.write_text(text, "utf-8")
    files = parse_pylock(text)
    sizes = {name: (root / file.path).stat().st_size for name, file in files.items()}
    chosen = _smallest(sizes)
    document = tomllib.loads(text)
    document["packages"] = [one for one in document["packages"] if canonicalize_name(one["name"]) in chosen]
    small_lock = place / "pylock.smallest.toml"
    small_lock.write_text(tomli_w.dumps(document), "utf-8")
    return _Moved(
        lock=lock,
        files=files,
        small_lock=small_lock,
        small={name: file for name, file in files.items() if name in chosen},
        small_bytes=sum(sizes[name] for name in chosen),
    )


def _smallest(sizes: Mapping[NormalizedName, int]) -> frozenset[NormalizedName]:
    """The smallest wheels that are not more than `_MOST` bytes together, and at least one."""
    chosen: list[NormalizedName] = []
    total = 0
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        total += sizes[name]
        if chosen and total > _MOST:
            break
        chosen.append(name)
    return frozenset(chosen)


def _prove_with_uv(trial: Trial, env: Path, moved: _Moved) -> Proven:
    """A dry run of the whole lock; its smallest wheels installed."""
    if not (trial.entry.uv or trial.entry.present):
        return Proven(not_tried=("the pylock with uv: the bundle carries none",))
    uv = _bring_uv(trial)
    sandbox, log = trial.machine.sandbox, trial.log
    version = sandbox([uv, "--version"], step="ask uv", log=log, check=False)
    if version.returncode != 0:
        return Proven(not_tried=("the pylock with uv: the bundle's uv does not start here",))
    packages = moved.lock.with_name("packages")
    command: list[str | Path] = [
        uv, "pip", "install", "--offline", "--no-index", "--no-config", "--no-cache",
        "--python", trial.machine.python(env), "--target", packages,
    ]  # fmt: skip
    tried = sandbox([*command, "--dry-run", "-r", moved.lock], step="uv: dry run", log=log, check=False)
    if tried.returncode != 0:
        return Proven(problems=(_problem(trial, "uv would not install the pylock", tried.output),))
    would = dict(_WOULD_INSTALL.findall(tried.output))
    problems = _differences(trial, "uv would install", moved.files, would)
    done = sandbox([*command, "-r", moved.small_lock], step="uv: smallest wheels", log=log, check=False)
    if done.returncode != 0:
        problems.append(_problem(trial, "uv does not install from the pylock", done.output))
        return Proven(problems=tuple(problems))
    problems += _differences(trial, "uv installed", moved.small, versions_in(packages))
    name = " ".join(version.output.split()[:2])
    said = (
        f"{name} found the {len(moved.files)} wheels of the pylock from another folder, each with its size, "
        f"and would install the same; it installed {moved.described} and checked their hashes"
    )
    return Proven(problems=tuple(problems), facts={"said": (said,)})


def _bring_uv(trial: Trial) -> Path:
    """The program in the bundle's wheel of uv, unpacked; for a thin bundle, without one, this machine's."""
    if not trial.entry.uv:
        return trial.tools.uv.program
    program = trial.folder / ("uv.exe" if trial.entry.target.is_windows else "uv")
    with zipfile.ZipFile(trial.root / trial.entry.uv) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(f"/scripts/{program.name}")]
        program.write_bytes(archive.read(member))
    program.chmod(0o700)
    return program


def _prove_with_pip(trial: Trial, env: Path, moved: _Moved) -> Proven:
    """A dry run of the smallest wheels: their paths lead to files with the lock's hashes."""
    if not (trial.entry.pip or trial.entry.present):
        return Proven(not_tried=("the pylock with pip: the bundle carries none",))
    sandbox, pip = trial.machine.sandbox, pip_of(trial, env)
    version = _version_of(trial, pip)
    if version < FIRST_WITH_PYLOCK:
        reason = f"the bundle's pip is {version}, and {FIRST_WITH_PYLOCK} is the first that reads such files"
        return Proven(not_tried=(f"the pylock with pip: {reason}",))
    report = trial.folder / "report" / "pylock.json"
    tried = sandbox(
        [
            *pip, "install", "--dry-run", "--ignore-installed",
            "--no-index", "--no-deps", "-r", moved.small_lock, "--report", report,
        ],
        step="pip: dry run of the pylock",
        log=trial.log,
        check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        return Proven(problems=(_problem(trial, "pip would not install from the pylock", tried.output),))
    items = json.loads(report.read_text("utf-8"))["install"]
    would = {item["metadata"]["name"]: item["metadata"]["version"] for item in items}
    problems = _differences(trial, "pip would install", moved.small, would)
    taken = {unquote(urlsplit(item["download_info"]["url"]).path).rsplit("/", 1)[-1] for item in items}
    named = {PurePosixPath(file.path).name for file in moved.small.values()}
    if taken != named:
        message = f"pip would take other files from the pylock: {', '.join(sorted(taken ^ named))}"
        problems.append(_problem(trial, message))
    said = (
        f"pip {version} would install {moved.described} from the pylock in another folder: their hashes fit"
    )
    return Proven(problems=tuple(problems), facts={"said": (said,)})


def _version_of(trial: Trial, pip: Sequence[str | Path]) -> Version:
    if trial.entry.pip:
        return filename_parts(PurePosixPath(trial.entry.pip).name)[1]
    said = trial.machine.sandbox([*pip, "--version"], step="ask pip", log=trial.log).output
    return Version(said.split()[1])


def _differences(trial: Trial, what: str, files: _Files, seen: Mapping[str, str]) -> list[Problem]:
    """A problem for each package that a tool takes in another version than the lock's, or only one has."""
    found = {canonicalize_name(name): version for name, version in seen.items()}
    problems = []
    for name in sorted(files.keys() | found.keys()):
        locked = files[name].version if name in files else None
        if locked is None or not same_version(found.get(name), locked):
            message = f"{what} {name} {found.get(name, '(nothing)')}, the lock has {locked or 'none'}"
            problems.append(_problem(trial, message))
    return problems


def _problem(trial: Trial, message: str, output: str = "") -> Problem:
    tail: Sequence[str] = output.strip().splitlines()[-12:]
    text = "\n".join([f"{message}:", *tail]) if tail else message
    return Problem(code=Code.DISAGREES, file=trial.entry.pylock, message=text)
