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


class TransientFiles:
    """The large files that came into a store since it was opened; see `discard_afterwards`."""

    def __init__(self, store: Store, note: Path) -> None:
        self._store, self._note = store, note
        self._kept = frozenset(json.loads(note.read_text("ascii")))

    def discard(self) -> int:
        """Remove them, but those that a bundle links to; the bytes freed. None while another run has some."""
        if any(is_alive(self._store, note) for note in notes(self._store) if note != self._note):
            return 0
        return self._store.discard(keep=self._kept, larger_than=LARGE)


@contextlib.contextmanager
def discard_afterwards(store: Store) -> Iterator[TransientFiles]:
    """What comes into the store within the context; it goes at the end, with what killed runs left.

    Of several runs at once the last one to end removes what came for all of them.
    """
    token = new_token()
    with hold(store.lock_file(f"transient-{token}")):
        earlier = notes(store)
        kept = store.object_names()
        for note in earlier:
            kept &= frozenset(json.loads(note.read_text("ascii")))
        own = store.root / "transient" / f"{token}.json"
        write_atomic(own, json.dumps(sorted(kept)))
        for note in earlier:
            if not is_alive(store, note):
                note.unlink(missing_ok=True)
                store.lock_file(f"transient-{note.stem}").unlink(missing_ok=True)
        files = TransientFiles(store, own)
        try:
            yield files
        finally:
            files.discard()
            own.unlink()


def notes(store: Store) -> list[Path]:
    """The notes of all runs that are under way, or were killed."""
    return sorted((store.root / "transient").glob("[!.]*.json"))


def is_alive(store: Store, note: Path) -> bool:
    """Whether the process that wrote the note still runs."""
    return not is_leftover(store.lock_file(f"transient-{note.stem}"), exists=True)
