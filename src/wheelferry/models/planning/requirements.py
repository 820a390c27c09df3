"""What the user wants in a bundle beside the project: a requirement, as pip writes it in files and options.

This and system.requirement_files read what pip reads, in our own words: pip's reader is private to it. Of the
libraries for it, requirements-parser 0.13 stumbles over continued lines and byte order marks and follows a
file into itself without end; pip-requirements-parser 32.0.1 knows no ``${NAME}``, follows no ``-r``, and has
had no release since 2022.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry.errors import InputError
from wheelferry.models.targets import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRequirement:
    """A requirement that the user gave at `place`, an option or the line of a file.

    A constraint asks for nothing; it limits what others require. With `hashes`, only files of the project
    with one of these SHA-256 may be taken. With `must_apply`, its marker has to be true for some target.
    """

    requirement: Requirement
    place: str
    hashes: frozenset[str] = frozenset()
    is_constraint: bool = False
    must_apply: bool = False

    @property
    def name(self) -> NormalizedName:
        """The project that is required."""
        return canonicalize_name(self.requirement.name)

    def applies(self, target: Target) -> bool:
        """Whether its marker, if it has one, is true for the target."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(target.marker_environment)


@dataclass(frozen=True, kw_only=True, slots=True)
class Include:
    """A line that names another file: of requirements (``-r``), or of constraints (``-c``)."""

    file: str
    is_constraint: bool


def given_with(text: str) -> UserRequirement:
    """The requirement of the option ``--with``; raises InputError for anything else."""
    place = f"--with {text!r}"
    item = parse_line(text, place, must_apply=True)
    if isinstance(item, Include):
        raise InputError(f"{place} names a file", hint=f"-r {item.file} reads it")
    return item


def allowed_hashes(given: Iterable[UserRequirement]) -> Mapping[NormalizedName, frozenset[str]]:
    """By project the SHA-256 that its file must have one of; who says it twice means what both say."""
    allowed: dict[NormalizedName, frozenset[str]] = {}
    for one in given:
        if one.hashes:
            allowed[one.name] = allowed.get(one.name, one.hashes) & one.hashes
    return allowed


_COMMENT = re.compile(r"(?:^|\s)#.*$")
_DECLARED = re.compile(rb"coding[:=]\s*([-\w.]+)")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


def declared_encoding(data: bytes) -> str:
    """The encoding that a comment in the first two lines names, as Python's own sources do, else UTF-8."""
    for line in data.split(b"\n")[:2]:
        declared = _DECLARED.search(line) if line.startswith(b"#") else None
        if declared:
            return declared[1].decode("ascii", "replace")
    return "utf-8"


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something: the number of the first, counted from 1, and the text without comments.

    A backslash at the very end continues a line; a line of comment ends it.
    """
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        start = start if joined else number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            joined += line[:-1]
            continue
        said = _COMMENT.sub("", joined + ("" if is_comment else line)).strip()
        joined = ""
        if said:
            yield start, said
    if joined.strip():
        yield start, joined.strip()


def expand_variables(line: str, place: str, environ: Mapping[str, str]) -> str:
    """The line with the value of each ``${NAME}``; raises InputError for a variable that is not set."""

    def value(variable: re.Match[str]) -> str:
        if not environ.get(variable[1]):
            raise InputError(
                f"{place}: the environment variable {variable[1]} is not set",
                hint=f"set {variable[1]}, or write what it stands for",
            )
        return environ[variable[1]]

    return _VARIABLE.sub(value, line)


def parse_line(
    line: str, place: str, *, is_constraint: bool = False, must_apply: bool = False
) -> UserRequirement | Include:
    """What one line says; raises InputError, with `place`, for anything that a bundle cannot use.

    Of the options, ``--hash`` behind a requirement and ``-r`` and ``-c`` count.
    """
    text, options = _without_options(line, place)
    if not text:
        return _include(options, place)
    requirement = _requirement(text, place)
    if is_constraint and requirement.extras:
        raise InputError(f"{place}: a constraint cannot have extras", hint="require them with -r or --with")
    return UserRequirement(
        requirement=requirement,
        place=place,
        hashes=_hashes(options, place),
        is_constraint=is_constraint,
        must_apply=must_apply,
    )


def _without_options(line: str, place: str) -> tuple[str, list[tuple[str, str]]]:
    """What stands before the first option, and the options: name and value."""
    start = re.search(r"(?:^|\s)-", line)
    text = line[: start.start()] if start else line
    try:
        words = iter(shlex.split(line[len(text) :]))
    except ValueError as error:
        raise InputError(f"{place}: {error}", hint="close the quotation") from None
    options = []
    for word in words:
        if not word.startswith("-"):
            raise InputError(
                f"{place}: {word!r} is one word too many",
                hint="write each option on a line of its own, and a name with blanks in quotation marks",
            )
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if name in _REFUSED or name not in ("-r", "-c", "--requirement", "--constraint", "--hash"):
            hint = f"instead of {name}: {_REFUSED.get(name, _UNKNOWN)}"
            raise InputError(f"{place}: {name} is not for a bundle", hint=hint)
        options.append((name, value or ("" if equals else next(words, ""))))
    return text.strip(), options


_UNKNOWN = "nothing; the options that count are --hash, -r FILE and -c FILE"
_PIP = "wheelferry goes to the index that pip is configured for: pip config set global."
_OWN_WHEEL = "make a wheel of it (pip wheel), give that with --wheel FILE, and require it by its name"
_PRE = "name the pre-release itself, as in scipy>=1.15rc1"
_WHEELS_FIRST = "nothing: of a release that has a wheel for the target, the wheel is taken"
_REFUSED = {
    "-i": f"{_PIP}index-url URL; for torch alone: --torch-index URL",
    "--index-url": f"{_PIP}index-url URL; for torch alone: --torch-index URL",
    "--pypi-url": f"{_PIP}index-url URL; for torch alone: --torch-index URL",
    "--extra-index-url": f"{_PIP}extra-index-url URL",
    "--no-index": f"{_PIP}no-index true",
    "-f": f"{_PIP}find-links DIR; for single wheels: --wheel FILE",
    "--find-links": f"{_PIP}find-links DIR; for single wheels: --wheel FILE",
    "--trusted-host": f"{_PIP}trusted-host HOST",
    "-e": f"{_OWN_WHEEL}; for the project's own source: --source PATH",
    "--editable": f"{_OWN_WHEEL}; for the project's own source: --source PATH",
    "--no-binary": _OWN_WHEEL,
    "--config-settings": _OWN_WHEEL,
    "-C": _OWN_WHEEL,
    "--global-option": _OWN_WHEEL,
    "--only-binary": _WHEELS_FIRST,
    "--prefer-binary": _WHEELS_FIRST,
    "--pre": _PRE,
    "--all-releases": _PRE,
    "--only-final": "nothing: a pre-release is taken only where a requirement names one",
    "--require-hashes": "nothing: hashes that are given are held to, and the lock of a bundle has all",
    "--use-feature": "nothing: it is a setting of pip's own",
}


def _include(options: list[tuple[str, str]], place: str) -> Include:
    if len(options) != 1 or options[0][0] == "--hash" or not options[0][1]:
        raise InputError(
            f"{place}: it requires nothing",
            hint="write a requirement, as in 'scipy>=1.14'; or -r FILE or -c FILE, each on a line of its own",
        )
    ((name, file),) = options
    if "://" in file:
        raise InputError(
            f"{place}: {name} is given by an address", hint="download the file, and name the copy"
        )
    return Include(file=file, is_constraint=name in ("-c", "--constraint"))


def _hashes(options: list[tuple[str, str]], place: str) -> frozenset[str]:
    """The SHA-256 among the hashes, in lower case."""
    found = set()
    for name, value in options:
        algorithm, _, digest = value.partition(":")
        if name != "--hash":
            raise InputError(
                f"{place}: {name} follows a requirement on the same line", hint="give it a line of its own"
            )
        if algorithm == "sha256" and re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            found.add(digest.lower())
        elif algorithm not in ("sha384", "sha512"):
            raise InputError(
                f"{place}: {value[:80]!r} is not a hash that can be compared",
                hint="write --hash=sha256:DIGEST, as `pip hash FILE` says it",
            )
    if options and not found:
        raise InputError(
            f"{place}: there is no SHA-256 among the hashes",
            hint="add --hash=sha256:DIGEST, as `pip hash FILE` says it",
        )
    return frozenset(found)


_ADDRESS = re.compile(r"(?:[\w.-]+\s*(?:\[[^\]]*\])?\s*@\s*)?(?P<scheme>file|[A-Za-z][\w+.-]+(?=://)):")
_PATH = re.compile(r"[.~/\\]|[A-Za-z]:[/\\]|[\w.+-]+[/\\]|\S+\.(?:whl|zip|tgz|tar\.\w+)(?:\s|\[|$)")
_AS_CONDA = re.compile(r"(?P<name>[\w.-]+)=(?P<version>[\w.!+]+)(?:=\w+)?$")
_NOT_ON_INDEX = {
    "python": "--python X.Y chooses the target's, and --runtime carries one",
    "pytorch": "on the index it is called torch, and --torch VERSION chooses it",
}


def _requirement(text: str, place: str) -> Requirement:
    address = _ADDRESS.match(text)
    if address and address["scheme"] != "file":
        raise _from_elsewhere(f"{place}: it comes from an address ({address['scheme']}:)")
    if address or _PATH.match(text):
        raise _from_elsewhere(f"{place}: it comes from a path, which other machines do not have")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        conda = _AS_CONDA.match(text)
        hint = f"write {conda['name']}=={conda['version']}" if conda else "write it as in 'scipy>=1.14'"
        # the other lines repeat the text, in which a variable may have put a password
        raise InputError(f"{place} is not a requirement: {str(error).splitlines()[0]}", hint=hint) from None
    if requirement.url:
        raise _from_elsewhere(f"{place}: it comes from no package index")
    if requirement.name.lower() in _NOT_ON_INDEX:
        raise InputError(
            f"{place}: {requirement.name} does not come from a package index",
            hint=_NOT_ON_INDEX[requirement.name.lower()],
        )
    return requirement


def _from_elsewhere(message: str) -> InputError:
    """The error of a path or an address, which `message` does not repeat: there may be a password in it."""
    return InputError(
        message,
        hint="write NAME==VERSION (`pip list --format=freeze` says it, also where conda's pip freeze says a "
        "path); or make a wheel (pip wheel), give it with --wheel FILE, and write NAME",
    )
