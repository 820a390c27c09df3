"""Code of a wheel that runs whenever Python starts in the environment, whoever starts it and for whatever."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.utils import NormalizedName

from wheelferry.binaries.pe import DLL_HOOK
from wheelferry.models.wheel_info import WheelInfo, installed_path
from wheelferry.wheels.archive import LARGEST_TEXT
from wheelferry.wheels.read import read_members

# On Windows the folder is Lib; which letters are large does not matter there.
_IN_PACKAGES = re.compile(r"lib/(?:python[^/]*/)?site-packages/(.+)", re.IGNORECASE)
# Modules that site.py imports if they are there: a file, or a folder.
_CUSTOMIZE = re.compile(r"(?:site|user)customize(?:/__init__)?(?:\.[^/]+)?\.(?:py|pyc|so|pyd)")
# A namespace package in the lines that setuptools wrote: ('google', 'cloud').
_NAMESPACE = re.compile(r"\*\(((?:'\w+'(?:, |,)?)+)\)")
_SHOWN = 100  # characters of a line


@dataclass(frozen=True, kw_only=True, slots=True)
class StartupCode:
    """A file of a wheel that is run, or a line in it; and why that does no harm, where it is known.

    `line` is empty for sitecustomize and usercustomize, which are run as a whole.
    """

    file: str
    line: str
    harmless: str = ""

    def __str__(self) -> str:
        what = f"{self.file} runs code whenever Python starts"
        if self.harmless:
            return f"{what} (harmless: {self.harmless})"
        shown = self.line if len(self.line) <= _SHOWN else f"{self.line[:_SHOWN]}…"
        return f"{what}: {shown}" if shown else what


def startup_code(wheel: Path, info: WheelInfo) -> tuple[StartupCode, ...]:
    """The code that `wheel` has Python run at its start, in the order of its files.

    That are lines of .pth files which start with ``import``, all lines of .start files (PEP 829, from Python
    3.15 on), and sitecustomize and usercustomize. A virtual environment runs no usercustomize; others do.
    Raises IntegrityError for a wheel that cannot be read.
    """
    names = {name: found[1] for name in info.files if (found := _IN_PACKAGES.fullmatch(_placed(name)))}
    lists = [name for name, place in names.items() if "/" not in place and place.endswith((".pth", ".start"))]
    contents = read_members(wheel, lists, limit=LARGEST_TEXT) if lists else {}
    return tuple(
        code
        for name, place in names.items()
        for code in (
            _lines(name, contents[name], info.name)
            if name in contents
            else [StartupCode(file=name, line="")] * bool(_CUSTOMIZE.fullmatch(place))
        )
    )


def _placed(member: str) -> str:
    return installed_path(member, windows=False)


def _lines(name: str, content: bytes, package: NormalizedName) -> Iterator[StartupCode]:
    """The lines of a .pth or .start file that are code, as site.py reads them; each once."""
    text = content.decode("utf-8-sig", "replace")
    for line in dict.fromkeys(text.splitlines()):
        is_code = line.startswith(("import ", "import\t"))
        if name.endswith(".start"):
            is_code = bool(line.strip()) and not line.startswith("#")
        if is_code:
            yield StartupCode(file=name, line=line.strip(), harmless=_harmless(line.strip(), package))


def _harmless(line: str, package: NormalizedName) -> str:
    """Why a line of `package` does no harm, as far as it is known."""
    if line == DLL_HOOK.strip():
        return "it tells Windows where the runtime of Visual C++ lies; wheelferry wrote it"
    digest = hashlib.sha256(_without_namespace(line).encode()).hexdigest()
    owner, reason = _known().get(digest, (None, ""))
    return reason if owner in (None, package) else ""


def _without_namespace(line: str) -> str:
    """A line with numbers in the place of the namespace package that it is about, and of its two parts."""
    found = _NAMESPACE.search(line)
    if found is None:
        return line
    name = ".".join(re.findall(r"\w+", found[1]))
    parent, _, child = name.rpartition(".")
    line = line.replace(found[0], "*(0)").replace(f"'{name}'", "'1'")
    return line.replace(f"'{parent}'", "'2'").replace(f"'{child}'", "'3'") if parent else line


@cache
def _known() -> Mapping[str, tuple[str | None, str]]:
    """By the hash of a line: the package that it counts for, None for any, and why it does no harm."""
    entries = tomllib.loads(Path(__file__).with_name("startup.toml").read_text("utf-8"))["harmless"]
    return {
        digest: (entry.get("package"), f"{entry['reason']}; read in {entry['seen']}")
        for entry in entries
        for digest in entry["sha256"]
    }
