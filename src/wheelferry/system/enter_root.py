"""Started inside a mount namespace: lays out the root of another system, and becomes a command in it.

``enter_root.py SPEC COMMAND…``, standard library only; run as a file, not imported. SPEC is a JSON file:

* ``place``: an empty folder, on which the new root is mounted;
* ``root``: the folder with the other system's files; ``writable``: whether the command may change them;
* ``folders``: paths of this machine that are there under the same names;
* ``files``: what stands in for files, by their paths there;
* ``register``: a line for binfmt_misc, after which the kernel starts the other system's programs; or null.

Ends with status 119 where the kernel does not start the command because it is for another processor.
"""

import ctypes
import errno
import json
import os
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

CANNOT_START = 119
_REGISTRY = Path("/proc/sys/fs/binfmt_misc")
# sys/mount.h
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _NOATIME, _NODIRATIME = 1, 2, 4, 8, 32, 1024, 2048
_BIND, _REC, _RELATIME = 4096, 16384, 1 << 21
_KEPT = _NOSUID | _NODEV | _NOEXEC | _NOATIME | _NODIRATIME  # of the same values in statvfs
_ST_RELATIME = 4096
# What every system has of its kernel, and what is empty when it starts.
_KERNEL = ("/dev", "/proc", "/sys")
_EMPTY = ("run", "tmp")


def mount(source: str | Path, target: Path, kind: str = "", flags: int = 0) -> None:
    """mount(2); raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def register(line: str) -> str | None:
    """Have the kernel start other programs in this user namespace as `line` says; why it does not, if so."""
    if Path("/proc/self/uid_map").read_text("ascii").split()[-1] == "4294967295":
        return "there is no user namespace to register QEMU in"
    try:
        mount("binfmt_misc", _REGISTRY, "binfmt_misc")
        (_REGISTRY / "register").write_bytes(os.fsencode(line))
    except OSError as error:
        return f"it lets nobody register QEMU in a user namespace, as Linux 6.7 does ({error.strerror})"
    return None


def show(source: Path, target: Path, *, writable: bool) -> None:
    """The file or folder `source` at `target`, a link as the link that it is; no sockets and such."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    elif source.is_file():
        target.touch()
    else:
        return
    mount(source, target, flags=_BIND | _REC)
    if not writable:
        has = os.statvfs(target).f_flag
        # a user namespace may not take away what the mount had
        kept = (has & _KEPT) | (_RELATIME if has & _ST_RELATIME else 0)
        mount("", target, flags=_BIND | _REMOUNT | _RDONLY | kept)


def lay_out(
    system: Path | None,
    place: Path,
    wanted: Mapping[str, Sequence[str]],
    *,
    writable: bool,
    empty: Collection[str] = (),
) -> None:
    """Show in the folder `place` what the folder `system` has, and the `wanted` paths of this machine.

    Each of them has the names that are left on the way to it. What the system has in their places is not
    seen, nor what is in its folders named in `empty`.
    """
    ways: dict[str, dict[str, Sequence[str]]] = defaultdict(dict, {name: {} for name in empty})
    for path, names in wanted.items():
        ways[names[0]][path] = names[1:]
    for entry in system.iterdir() if system else ():
        if entry.name not in ways:
            show(entry, place / entry.name, writable=writable)
    for name, behind in ways.items():
        whole = [path for path, rest in behind.items() if not rest]
        if whole:
            show(Path(whole[0]), place / name, writable=True)
            continue
        within = system / name if system and name not in empty else None
        if within and within.is_symlink():
            raise OSError(errno.ELOOP, f"{within} is a link; this lies below it", next(iter(behind)))
        (place / name).mkdir()
        if name in empty:
            (place / name).chmod(0o1777)
        inner = within if within and within.is_dir() else None
        lay_out(inner, place / name, behind, writable=writable)


def find(name: str) -> str:
    """The program `name` on PATH; os.execvp would import what this Python no longer finds in another root."""
    places = [""] if "/" in name else [f"{folder}/" for folder in os.environ["PATH"].split(":")]
    return next((place + name for place in places if os.access(place + name, os.X_OK)), name)


def main() -> None:
    """``enter_root.py SPEC COMMAND…``."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    command, here = sys.argv[2:], Path.cwd()
    unregistered = register(spec["register"]) if spec["register"] else "QEMU is not registered as needed"
    place = Path(spec["place"])
    mount("tmpfs", place, "tmpfs")
    wanted = {path: Path(path).parts[1:] for path in (*_KERNEL, *spec["folders"])}
    lay_out(Path(spec["root"]), place, wanted, writable=spec["writable"], empty=_EMPTY)
    for path, source in spec["files"].items():
        mount(source, Path(f"{place}{path}"), flags=_BIND)
    os.chroot(place)
    os.chdir(here if here.is_dir() else "/")
    try:
        os.execv(find(command[0]), command)  # noqa: S606
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        print(f"this kernel does not start {command[0]}: {unregistered}", flush=True)
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
