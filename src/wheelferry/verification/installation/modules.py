"""The modules at the top of distributions: which are imported, and which failures count."""

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.catalog import shipped_system_libraries
from wheelferry.client.installer.distributions import distributions

_PART_OF_NO_PACKAGE = re.compile(r"tests?|docs?|examples?|benchmarks?|setup|conftest", re.IGNORECASE)
_COMPILED = re.compile(r"\.(?:cpython-[\w-]+\.so|abi3\.so|(?:cp\d+\w*-win_amd64\.)?pyd)$")
_NOT_FOUND = re.compile(r"No module named '([^'.]+)")
_CANNOT_OPEN = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
# Gone with Python 3.12 and 3.13: who still wants them is too old for the target.
_REMOVED = {
    "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr",
    "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr",
    "spwd", "sunau", "telnetlib", "uu", "xdrlib",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TopModules:
    """What an environment's distributions have at their top.

    `owners` has the distribution of each module that is to be imported, by the module's name; `all` are all
    names that ``import`` could find there.
    """

    owners: Mapping[str, NormalizedName]
    all: frozenset[str]


def packages_folder(env: Path) -> Path:
    """Where an environment has its packages."""
    return [*env.glob("lib/python3*/site-packages"), env / "Lib" / "site-packages"][0]


def top_modules(env: Path) -> TopModules:
    """Read the RECORDs of an environment's distributions."""
    owners: dict[str, NormalizedName] = {}
    names: set[str] = set()
    for name, distribution in sorted(distributions(str(packages_folder(env))).items()):
        paths = [row[0] for row in distribution.rows()]
        names |= {path.split("/")[0].split(".")[0] for path in paths}
        for module in importable(paths):
            owners.setdefault(module, canonicalize_name(name))
    return TopModules(owners=owners, all=frozenset(names))


def importable(paths: Iterable[str]) -> Iterator[str]:
    """The modules and packages among files relative to site-packages, each once.

    Without private ones (``_x``), and without the tests, documentation and build scripts that some
    distributions leave there. A package without ``__init__.py`` runs nothing when it is imported.
    """
    found = dict.fromkeys(filter(None, map(_module, paths)))
    for name in found:
        if name.startswith("_") or not name.isidentifier() or keyword.iskeyword(name):
            continue
        if not _PART_OF_NO_PACKAGE.fullmatch(name):
            yield name


def _module(path: str) -> str | None:
    first, _, rest = path.partition("/")
    if rest:
        return first if rest == "__init__.py" else None
    if first.endswith(".py"):
        return first.removesuffix(".py")
    return first[: match.start()] if (match := _COMPILED.search(first)) else None


def not_brought(trace: str, there: frozenset[str]) -> str | None:
    """The module for want of which an import failed, where no wheel has it; None for any other failure.

    All that a distribution requires without condition is in the bundle, so it is an optional one. `trace` is
    the whole traceback: some say in an ImportError of their own what to install, as black's server does.
    `there` is what the environment has.
    """
    if not trace.strip().rpartition("\n")[2].startswith(("ImportError", "ModuleNotFoundError")):
        return None
    missing = [name for name in _NOT_FOUND.findall(trace) if name not in there | _REMOVED]
    return missing[0] if missing else None


def remedy(message: str, distribution: str) -> str:
    """What would help where a library of the system is missing; nothing for another `message`."""
    match = _CANNOT_OPEN.search(message)
    table = shipped_system_libraries()
    if match is None or match[1] not in table.packages:
        return ""
    instead = table.headless.get(canonicalize_name(distribution))
    other = f"; {instead} does without" if instead else ""
    return f" (Debian's package {table.packages[match[1]]} has it{other})"
