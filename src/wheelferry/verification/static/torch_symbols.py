"""Whether the torch of a lock has what the binaries of all wheels want of it."""

import re
from collections.abc import Iterable, Iterator, Mapping

from packaging.utils import NormalizedName

from wheelferry.binaries.dynamic import Dynamic
from wheelferry.binaries.symbols import readable
from wheelferry.models.problems import Code, Problem
from wheelferry.models.wheel_info import WheelInfo

TORCH = NormalizedName("torch")
_LIBRARY = re.compile(r"lib(torch|c10|caffe2|shm)(_\w+)?\.(so|dylib)|(torch|c10)(_\w+)?\.dll", re.IGNORECASE)
_NAMED = 3


def check_torch_symbols(
    infos: Mapping[NormalizedName, WheelInfo],
    paths: Mapping[NormalizedName, str],
    files: Mapping[NormalizedName, Mapping[str, Dynamic]],
) -> Iterator[Problem]:
    """Symbols of torch that a wheel's modules want, and neither torch nor another wheel has.

    `files` are those that the target's processor runs. Nothing is said of a file that needs a library of
    torch which is not there, for that is told already, and of one whose like in the same wheel, told apart
    by numbers alone, finds all that it wants: some wheels bring a module for each of several releases.
    """
    if TORCH not in files:
        return
    libraries = {name.rsplit("/", 1)[-1] for name in files[TORCH]}
    had = frozenset[str]().union(*(f.torch_names.had for found in files.values() for f in found.values()))
    for name, found in files.items():
        if name == TORCH:
            continue
        wanting = {member: facts for member, facts in found.items() if facts.torch_names.wanted}
        missing = {
            member: facts.torch_names.wanted - had
            for member, facts in wanting.items()
            if all(library in libraries for library in facts.needed if is_torchs(library))
        }
        yield from name_missing(name, paths[name], missing, infos)


def name_missing(
    name: NormalizedName,
    path: str,
    missing: Mapping[str, frozenset[str]],
    infos: Mapping[NormalizedName, WheelInfo],
) -> Iterator[Problem]:
    """A problem where modules of the wheel `name` do not find all that they want of torch.

    `missing` has what each module does not find, empty for one that finds all: see `check_torch_symbols`.
    """
    served = {_kind(member) for member, names in missing.items() if not names}
    lacking = {m: names for m, names in missing.items() if names and _kind(m) not in served}
    if lacking:
        symbols = sorted(set().union(*lacking.values()))
        yield Problem(code=Code.SYMBOLS, file=path, message=_message(lacking, symbols, infos, name))


def is_torchs(library: str) -> bool:
    """Whether a library's or a DLL's name is that of one of torch's own."""
    return _LIBRARY.fullmatch(library) is not None


def _kind(member: str) -> str:
    return re.sub(r"\d+", "", member)


def _message(
    members: Iterable[str],
    symbols: Iterable[str],
    infos: Mapping[NormalizedName, WheelInfo],
    name: NormalizedName,
) -> str:
    wanted = list(dict.fromkeys(map(readable, symbols)))
    return missing_text(list(members), wanted, name=name, torch=str(infos[TORCH].version))


def missing_text(members: list[str], functions: list[str], *, name: str, torch: str) -> str:
    """What is told of modules that want functions which torch does not have."""
    return (
        f"{_listed(members, 1)} {'wants' if len(members) == 1 else 'want'} what torch {torch} does not have: "
        f"{_listed(functions, _NAMED)}. It was compiled with another torch: require the release of {name} "
        f"that was made for torch {torch} (--with {name}==VERSION), choose its torch with --torch, or give a "
        "wheel that was built with this one (--wheel)"
    )


def _listed(names: list[str], count: int) -> str:
    more = f" (and {len(names) - count} more)" if len(names) > count else ""
    return ", ".join(names[:count]) + more
