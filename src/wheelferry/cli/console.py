"""Results on stdout, errors on stderr. rich is imported when it is used, for that takes time."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def print_error(message: str, hint: str | None) -> None:
    """An error on stderr: what failed, and what to do."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/bold red] {escape(message)}", soft_wrap=True)
    if hint:
        console.print(f"[bold]what to do:[/bold] {escape(hint)}", soft_wrap=True)


def print_json(document: Mapping[str, Any]) -> None:
    """The one JSON document of ``--json``."""
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout; whole words, never cut off, also in a pipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def print_line(text: str) -> None:
    """A line of a result on stdout."""
    sys.stdout.write(text + "\n")
