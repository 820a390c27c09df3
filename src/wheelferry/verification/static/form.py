"""The form of a wheel: what pip and uv stop at, and what they install though nobody can use it. No I/O.

Tried with pip 26.3 and uv 0.13.9.
"""

import re
from collections.abc import Iterable, Iterator

from packaging.utils import canonicalize_name

from wheelferry.models.problems import Code, Note, Problem
from wheelferry.models.targets import Target
from wheelferry.models.wheel_info import WheelInfo, entry_point_scripts

_SCHEMES = frozenset(("data", "headers", "platlib", "purelib", "scripts"))
# What a module's name says of the Python and the system that it is for.
_TAGGED = re.compile(r"(?P<module>.+?)\.(?P<tag>cpython-\w[\w-]*|cp\d+t?-\w+)\.(so|pyd)")
_LIBRARY = re.compile(r"\.(so|dll|pyd)(\.|$)")
_NAMED = 3


def check_form(path: str, info: WheelInfo, target: Target) -> Iterator[Problem | Note]:
    """What keeps a wheel from being installed, or what it has from being used."""
    refused = "neither pip nor uv installs it"
    if info.wheel_version.partition(".")[0] != "1":
        message = f"{refused}: it is in version {info.wheel_version} of the wheel format"
        yield Problem(code=Code.METADATA, file=path, message=message)
    if info.dist_info and not canonicalize_name(info.dist_info).startswith(info.name):
        message = f"{refused}: its metadata lie in {info.dist_info}, which is not named for {info.name}"
        yield Problem(code=Code.NAME, file=path, message=message)
    nowhere = [name for name in info.files if _is_for_nowhere(name)]
    if nowhere:
        message = f"{refused}: {_listed(nowhere)} is for a place that installers do not know"
        yield Problem(code=Code.METADATA, file=path, message=message)
    for name in filter(_leads_out, _scripts(info)):
        message = f"{refused}: its script {name} would lie outside of the folder for scripts"
        yield Problem(code=Code.SCRIPT, file=path, message=message)
    yield from _check_addresses(path, info, target)
    yield from _check_links(path, info)
    if info.stamp is None:  # what is built here must have modules that are known by name
        yield from _check_modules(path, info, target)


def _is_for_nowhere(member: str) -> bool:
    folder, _, rest = member.partition("/")
    return folder.endswith(".data") and rest.partition("/")[0] not in _SCHEMES


def _scripts(info: WheelInfo) -> Iterable[str]:
    try:
        return entry_point_scripts(info.entry_points)
    except ValueError:  # `checks.check_metadata` tells
        return ()


def _leads_out(script: str) -> bool:
    return script.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", script)


def _check_addresses(path: str, info: WheelInfo, target: Target) -> Iterator[Problem]:
    """Requirements that name an address: pip and uv fetch it, whatever the lock and the wheelhouse have."""
    for requirement in info.requires:
        marker = requirement.marker
        if requirement.url and (
            marker is None or marker.evaluate({**target.marker_environment, "extra": ""})
        ):
            message = (
                f"requires {requirement.name} from {requirement.url}, where pip and uv look for it on the "
                "client too: without a network they need --no-deps"
            )
            yield Problem(code=Code.REQUIREMENT, file=path, message=message)


def _check_links(path: str, info: WheelInfo) -> Iterator[Problem | Note]:
    """Symbolic links: pip and uv install a text file with the name that they lead to."""
    if info.links:
        message = f"{_listed(info.links)} is a symbolic link, of which pip and uv make a file with its text"
        if any(_LIBRARY.search(name) for name in info.links):
            yield Problem(code=Code.LIBRARY, file=path, message=f"{message}: it cannot be loaded")
        else:
            yield Note(file=path, message=message)


def _check_modules(path: str, info: WheelInfo, target: Target) -> Iterator[Problem | Note]:
    """Modules whose names say another Python or system: the target's Python does not look for them."""
    own = _own_tag(target)
    tags: dict[str, set[str]] = {}
    for name in info.files:
        if match := _TAGGED.fullmatch(name):
            tags.setdefault(match["module"], set()).add(match["tag"])
    foreign = {module: found for module, found in tags.items() if own not in found}
    lost = [
        module
        for module in foreign
        if not any(f"{module}{ending}" in info.files for ending in (".py", ".abi3.so", ".so", ".pyd"))
    ]
    if not lost:
        return
    stated = ", ".join(sorted({tag for module in lost for tag in foreign[module]})[:_NAMED])
    message = f"{_listed(lost)}: compiled for {stated} alone, and the target's Python looks for {own}"
    if len(lost) == len(tags):
        yield Problem(code=Code.PYTHON, file=path, message=message)
    else:
        yield Note(file=path, message=message)


def _own_tag(target: Target) -> str:
    if target.is_windows:
        return f"{target.interpreter}-{target.platform}"
    system = "darwin" if target.is_macos else f"{target.processor}-linux-gnu"
    version = target.python.replace(".", "")
    # until 3.7 a letter told how CPython allocates memory (PEP 3149)
    return f"cpython-{version}{'m' if version == '37' else ''}-{system}"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_NAMED]) + (f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else "")
