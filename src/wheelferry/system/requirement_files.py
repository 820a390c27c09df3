"""Requirement files as pip has them, with the files that they name."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from wheelferry.errors import InputError, raise_all
from wheelferry.models.planning.requirements import (
    Include,
    UserRequirement,
    declared_encoding,
    expand_variables,
    logical_lines,
    parse_line,
)
from wheelferry.system.texts import read_given_text

# Files of other tools that say the same in another language, and how they are had as pip reads them.
_OTHERS = {
    ".yml": "`pip list --format=freeze` in that environment",
    ".yaml": "`pip list --format=freeze` in that environment",
    ".toml": "`uv pip compile FILE`, or `uv export` of the project",
    ".lock": "`uv export`, `poetry export` or `pipenv requirements`",
    ".json": "`pip list --format=freeze` in that environment",
}
_REMEDY = "save the file as UTF-8, or name its encoding in the first line, as in # -*- coding: latin-1 -*-"


def read_requirement_files(files: Iterable[Path]) -> list[UserRequirement]:
    """The requirements and constraints in `files` and in the files that these name, in order.

    Raises InputError that tells of every line that cannot be taken, with its file and number.
    """
    found: list[UserRequirement] = []
    errors: list[InputError] = []
    for item in (item for file in files for item in _read(file, is_constraint=False, above=())):
        if isinstance(item, InputError):
            errors.append(item)
        else:
            found.append(item)
    raise_all(errors)
    return found


_Read = Iterator[UserRequirement | InputError]


def _read(file: Path, *, is_constraint: bool, above: tuple[Path, ...]) -> _Read:
    """What the lines of `file` give, or why a line cannot be taken; `above` are the files that led here."""
    other = _OTHERS.get(file.suffix.lower())
    if other is not None:
        yield InputError(f"{file} is not a requirements file", hint=f"have one written: {other}")
        return
    try:
        text = read_given_text(file, encoding_of=declared_encoding, remedy=_REMEDY)
    except InputError as error:
        yield error
        return
    for number, line in logical_lines(text):
        place = f"{file}:{number}"
        try:
            item = parse_line(expand_variables(line, place, os.environ), place, is_constraint=is_constraint)
            if isinstance(item, UserRequirement):
                yield item
            else:
                yield from _read_included(item, file, place, above=(*above, file))
        except InputError as error:
            yield error


def _read_included(item: Include, file: Path, place: str, *, above: tuple[Path, ...]) -> _Read:
    """What the file that `place` names gives; its path is relative to the folder of `file`."""
    named = file.parent / item.file
    if not named.exists():
        raise InputError(
            f"{place}: there is no {named}", hint=f"its path is relative to the folder of {file}"
        )
    if named.resolve() in [one.resolve() for one in above]:
        way = " → ".join(map(str, (*above, named)))
        raise InputError(f"{place}: the file includes itself: {way}", hint="take out one of these lines")
    yield from _read(named, is_constraint=item.is_constraint, above=above)
