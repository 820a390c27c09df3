"""Large files that come into a store for a while and go again, also when the process is killed meanwhile.

Each run notes which large files were there before it. The note and a lock beside it tell a later run, after a
kill, what came in between; and runs at the same time what is not theirs to remove.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from wheelferry.cache.store import Store
from wheelferry.system.files import write_atomic
from wheelferry.system.leftovers import hold, is_leftover, new_token

# Of this size is torch, or one of the libraries that it brings.
LARGE = 50_000_000


class Guests:
    """The large files that came into a store since it was opened; see `receive`."""

    def __init__(self, store: Store, note: Path) -> None:
        self._store, self._note = store, note
        self._kept = frozenset(json.loads(note.read_text("ascii")))

    def see_off(self) -> int:
        """Remove them, but those that a bundle links to; the bytes freed. Waits while others have guests."""
        if any(is_alive(self._store, note) for note in notes(self._store) if note != self._note):
            return 0
        return self._store.discard(keep=self._kept, larger_than=LARGE)


@contextlib.contextmanager
def receive(store: Store) -> Iterator[Guests]:
    """The guests of a store for the length of the context; at its end they go, and those of killed runs.

    Where several have guests at once, the last one to end removes those of all.
    """
    token = new_token()
    with hold(store.lock_file(f"guests-{token}")):
        earlier = notes(store)
        kept = store.object_names()
        for note in earlier:
            kept &= frozenset(json.loads(note.read_text("ascii")))
        own = store.root / "guests" / f"{token}.json"
        write_atomic(own, json.dumps(sorted(kept)))
        for note in earlier:
            if not is_alive(store, note):
                note.unlink(missing_ok=True)
                store.lock_file(f"guests-{note.stem}").unlink(missing_ok=True)
        guests = Guests(store, own)
        try:
            yield guests
        finally:
            guests.see_off()
            own.unlink()


def notes(store: Store) -> list[Path]:
    """The notes of all who have guests, or were killed while they had."""
    return sorted((store.root / "guests").glob("[!.]*.json"))


def is_alive(store: Store, note: Path) -> bool:
    """Whether the process that wrote the note still runs."""
    return not is_leftover(store.lock_file(f"guests-{note.stem}"), exists=True)
