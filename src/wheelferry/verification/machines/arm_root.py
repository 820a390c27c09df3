"""The system that 64-bit Arm bundles are tried in: a given one, or one of the distribution's own packages.

Debian's packages for 64-bit Arm are got by this machine's apt, from the mirrors and with the keys that it is
set up for, in folders of their own: nothing of this machine's packages changes, and nobody needs to be root.
They are unpacked, and what their own scripts would set up is left out but for a few lines.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wheelferry.cache.tools import Tools
from wheelferry.client.common.archives import unpack_archive
from wheelferry.errors import InputError, MissingError
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.targets import Target
from wheelferry.system.files import folder_aside

_FORMAT = 2  # raise it when the same packages would be put together in another way
# What install.sh and Python need: of a bare server, and nothing for a screen.
_PACKAGES = (
    "base-files", "coreutils", "dash", "grep", "gzip", "libc6", "libc-bin", "libgcc-s1", "libstdc++6", "sed",
    "tar",
)  # fmt: skip
# Links into /usr on every Debian since 12, whatever the packages have.
_MERGED = ("bin", "lib", "sbin")
# `dpkg-deb -x` would put folders in their places, and wants to give files to others, as no container lets it.
_UNPACK = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner --keep-directory-symlink'
# Their packages would make these; Python asks who it is.
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
_PLACES = ("usr/local/bin", "usr/bin", "bin")
_OTHER = "carry a Python in the bundle with --runtime, or give a system that has it with --arm-root DIR|FILE"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmRoot:
    """A system for 64-bit Arm in the folder `root`, its Python by its path there, and where that comes from.

    `python` of None is one that the bundle carries.
    """

    root: Path
    python: Path | None
    origin: str


# Sets up a new root by programs of its own, which can write there; the second is its Python, if it has one.
Finish = Callable[[Path, Path | None], None]


def bring_arm_root(
    entry: TargetEntry, given: Path | None, work: Path, tools: Tools, *, finish: Finish
) -> ArmRoot:
    """The system for one target: `given` by the user, else made of Debian's packages and kept in the store.

    An archive is unpacked below `work`. Raises InputError for one without the target's Python, MissingError
    when the packages cannot be had.
    """
    if given is not None:
        root = given.resolve() if given.is_dir() else _unpack(given, work, tools)
        python = None if entry.runtime else find_python(root, entry.target, given)
        return ArmRoot(root=root, python=python, origin="given with --arm-root")
    python = None if entry.runtime else Path(f"/usr/bin/python{entry.target.python}")
    root = _of_packages(entry.target.python if python else None, tools, finish)
    version = (root / "etc" / "debian_version").read_text("utf-8").strip()
    return ArmRoot(root=root, python=python, origin=f"packages of Debian {version}")


def find_python(root: Path, target: Target, given: Path) -> Path:
    """The target's Python in the system at `root`, as a path there; InputError where it is not."""
    for place in _PLACES:
        inside = Path("/", place, f"python{target.python}")
        # a link in it leads to a place in that system, not in this one
        if os.path.lexists(root / place / inside.name):
            return inside
    raise InputError(
        f"--arm-root {given}: there is no python{target.python} in {', '.join(_PLACES)}",
        hint=f"{target.name} needs it: install it there, or carry one in the bundle with --runtime",
    )


def check_arm_root(given: Path) -> None:
    """Raise InputError unless `given` by the user can be a system for 64-bit Arm.

    Of an archive is only seen that it is there.
    """
    if given.is_dir():
        if not (given / "usr").is_dir():
            raise InputError(
                f"--arm-root {given}: it has no folder usr", hint="give the root of a file system"
            )
    elif not given.is_file():
        raise InputError(f"--arm-root {given}: no such file or folder")


def _unpack(archive: Path, work: Path, tools: Tools) -> Path:
    """The files of a root in a tar archive, such as an exported container, without its devices."""
    folder = work / "arm-root"
    folder.mkdir()
    options = ["--no-same-owner", "--exclude=dev/*", "--exclude=./dev/*"]
    with tools.progress.task(f"unpack {archive.name}"):
        tools.run(
            ["tar", "-xf", archive.resolve(), "-C", folder, *options],
            step=f"unpack {archive}",
            error=InputError,
            hint="give a tar archive of a root file system, or a folder",
        )
    check_arm_root(folder)
    return folder


def unpack_runtime(root: Path, entry: TargetEntry, work: Path, tools: Tools) -> Path:
    """The program of the Python that the bundle in `root` carries, unpacked below `work`."""
    assert entry.runtime is not None  # noqa: S101 -- asked for where there is one
    folder = work / "arm-python"
    with tools.progress.task("unpack the bundle's Python"):
        unpack_archive(str(root / entry.runtime.path), str(folder))
    return folder / entry.runtime.program


def _of_packages(python: str | None, tools: Tools, finish: Finish) -> Path:
    """A root of the distribution's packages with `python`; from the store after the first time."""
    packages = _PACKAGES + ((f"python{python}", f"python{python}-venv") if python else ())
    release = _release_here()
    identity = hashlib.sha256(repr((_FORMAT, packages, release, os.getuid())).encode()).hexdigest()[:8]
    root = tools.store.machines / f"arm64-{f'python{python}' if python else 'bare'}-{identity}"
    with tools.store.lock(root.name):
        if root.is_dir():
            return root
        with tools.store.workspace("arm-root") as work, folder_aside(root) as aside:
            with tools.progress.task("download Debian's packages for 64-bit Arm"):
                archives = _download(packages, work, tools)
            with tools.progress.task("unpack them", total=len(archives)) as task:
                for name in _MERGED:
                    (aside / "usr" / name).mkdir(parents=True)
                    (aside / name).symlink_to(f"usr/{name}")
                for archive in archives:
                    command: list[str | Path] = ["sh", "-c", _UNPACK, "sh", archive, aside]
                    tools.run(command, step=f"unpack {archive.name}", error=MissingError)
                    task.advance()
                for place, text in _ACCOUNTS.items():
                    (aside / place).write_text(text, "utf-8")
            with tools.progress.task("set them up"):
                finish(aside, Path(f"/usr/bin/python{python}") if python else None)
    return root


def _release_here() -> str:
    """What this machine's apt has packages of: bookworm, say."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def _download(packages: Iterable[str], work: Path, tools: Tools) -> list[Path]:
    """The packages and what they depend on, got by apt as if nothing were installed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingError(
            "apt-get and dpkg-deb, which make a system for 64-bit Arm of packages, are not here",
            hint="give one with --arm-root DIR|FILE, such as an exported container image",
        )
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    values = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false", "Debug::NoLocking": "true",
        "Dir::State": work, "Dir::State::lists": work / "lists", "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache", "Dir::Log": work,
    }  # fmt: skip
    options = [word for key, value in values.items() for word in ("-o", f"{key}={value}")]
    apt = ["apt-get", "-q", "-y", *options]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    log = tools.store.log_path("arm-root")
    other = f"do this machine's apt sources have it for 64-bit Arm? Else {_OTHER}"
    tools.run(
        [*apt, "update"],
        step="apt-get update for arm64",
        env=environment,
        log=log,
        error=MissingError,
        hint=other,
    )
    tools.run(
        [*apt, "--download-only", "install", *packages],
        step="apt-get install --download-only for arm64",
        env=environment,
        log=log,
        error=MissingError,
        hint=other,
    )
    return sorted((work / "cache" / "archives").glob("*.deb"))
