"""What lock writes and prints."""

from collections.abc import Iterable
from pathlib import Path

from wheelferry.cli.console import print_json, print_line
from wheelferry.models.lock import Lock, pylock_text, requirements_text
from wheelferry.system.files import write_atomic


def show_locks(out: Path, locks: Iterable[Lock], *, as_json: bool) -> None:
    """Write lock files and say where."""
    written = []
    for lock in locks:
        for name, text in (
            (f"requirements.{lock.target.name}.txt", requirements_text(lock)),
            (f"pylock.{lock.target.name}.toml", pylock_text(lock, created_by="wheelferry")),
        ):
            write_atomic(out / name, text)
            written.append(str(out / name))
    if as_json:
        print_json({"files": written})
        return
    for name in written:
        print_line(name)
