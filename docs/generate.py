"""The pages of the documentation that are generated from the code."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wheelferry import errors
from wheelferry.catalog import shipped_downloads
from wheelferry.cli.app import app
from wheelferry.client.data.kinds import KINDS, LEVELS
from wheelferry.models import manifest, report
from wheelferry.models.problems import Code
from wheelferry.models.recipes.file import schema

# Their options are those of a client, where there is no typer: their own --help is shown.
ON_CLIENTS = ("install", "apply", "join")


def write_reference(folder: Path) -> None:
    """Write the generated pages to `folder`, those that have changed."""
    pages = {
        "commands": commands(),
        "recipe": recipe(),
        "codes": codes(),
        "formats": formats(),
        "data": data(),
        "downloads": downloads(),
    }
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def commands() -> str:
    """Every command with its help and its options."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError("the program has no commands")
    return "# Commands\n\n" + "\n".join(_command(name, one) for name, one in _flat(group.commands))


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in found.items():
        if isinstance(command, TyperGroup):
            yield from _flat(command.commands, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, command: TyperCommand) -> str:
    if name in ON_CLIENTS:
        said = subprocess.run(
            [sys.executable, "-m", "wheelferry", name, "--help"], capture_output=True, text=True, check=True
        )
        return f"## {name}\n\n```\n{said.stdout.strip()}\n```\n"
    context = typer.Context(command, info_name=f"wheelferry {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    rows = [row for one in command.params if (row := one.get_help_record(context))]
    table = _table(("option", "meaning"), ((_code(option), text) for option, text in rows))
    return f"## {name}\n\n```\n{usage}\n```\n\n{_prose(command.help)}\n\n{table}\n"


def _prose(text: str | None) -> str:
    """Help as Markdown: what is indented there is an example."""
    return re.sub(r"(?m)^  (?=\S)", "    ", inspect.cleandoc(text or "")).replace("\b\n", "\n")


def recipe() -> str:
    """The keys of a recipe, from its schema."""
    document = json.loads(schema())
    parts = [
        "# Recipe keys\n\nA recipe is a TOML file with these keys; its JSON Schema is printed by "
        "`wheelferry recipes --schema`.\n",
        _keys("The recipe", document),
    ]
    parts += [
        _keys(name.lstrip("_"), part) for name, part in document["$defs"].items() if "properties" in part
    ]
    return "\n".join(parts)


def _keys(title: str, part: dict[str, Any]) -> str:
    required = part.get("required", ())
    rows = (
        (_code(key), _type(value), "yes" if key in required else "", value.get("description", ""))
        for key, value in part["properties"].items()
    )
    table = _table(("key", "type", "required", "meaning"), rows)
    return f"## {title}\n\n{part.get('description', '')}\n\n{table}\n"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2].lstrip("_")
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(_type(one) for one in value[key])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"table of {_type(value['additionalProperties'])}"
    return str(value.get("type", "any"))


def codes() -> str:
    """Exit codes, and the problems that verification names."""
    raised = [one for _, one in inspect.getmembers(errors, inspect.isclass) if hasattr(one, "exit_code")]
    meanings = {one.exit_code: inspect.getdoc(one) for one in raised if one is not errors.WheelferryError}
    rows = {0: "Done.", 1: "Verification found problems.", **meanings}
    problems = _table(("problem", "meaning"), ((_code(code.name), code.value) for code in Code))
    return (
        "# Exit codes and problems\n\n## Exit codes\n\n"
        + _table(("code", "meaning"), ((str(code), text or "") for code, text in sorted(rows.items())))
        + f"\n## Problems that `verify` names\n\n{problems}"
    )


def data() -> str:
    """Every kind of thing that an examination of a data set names."""
    rows = sorted(KINDS.values(), key=lambda kind: LEVELS.index(kind.level))
    table = _table(
        ("kind", "level", "meaning", "on conversion"),
        ((_code(kind.code), kind.level, kind.meaning, kind.done) for kind in rows),
    )
    return (
        "# What is wrong with a data set\n\n`wheelferry data check` names these kinds: errors first, then "
        "warnings, then notes. The last column is what `data convert` does about one; the data set itself is "
        "never altered.\n\n" + table
    )


def downloads() -> str:
    """Every package that is known to download something later."""
    table = _table(
        ("package", "fetches", "from", "when", "instead", "seen with"),
        (
            (_code(row.package), row.what, ", ".join(map(_code, row.hosts)), row.when, row.instead, row.seen)
            for row in shipped_downloads()
        ),
    )
    return (
        "# Packages that download something later\n\nWhat these packages fetch is on no index, so no bundle "
        "has it by itself: [what to do](../how-to/downloads.md).\n\n" + table
    )


def formats() -> str:
    """The fields of the documents that other programs read."""
    parts = [
        "# Report and manifest\n\n`report/report.json` and `bundle.json` are JSON. Fields are as the classes "
        "of the program have them.\n"
    ]
    for module, classes in (
        (report, ("Report", "TargetResult", "LevelResult", "Check")),
        (manifest, ("Manifest", "TargetEntry", "File")),
    ):
        for name in classes:
            one = getattr(module, name)
            rows = ((_code(field.name), _code(_type_name(field.type))) for field in dataclasses.fields(one))
            parts.append(f"## {name}\n\n{inspect.getdoc(one)}\n\n{_table(('field', 'type'), rows)}")
    return "\n".join(parts)


def _type_name(found: object) -> str:
    """As an annotation has it, without the names of modules."""
    return found.__name__ if isinstance(found, type) else re.sub(r"\b[a-z_]\w*\.", "", str(found))


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
