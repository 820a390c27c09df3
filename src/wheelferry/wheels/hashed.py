"""A file that is hashed while it is read, whatever is read of it and in which order."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from wheelferry.system.files import CHUNK

# Bytes that are read at once: they are hashed and unpacked while the processor's cache still has them.
PIECE = 1 << 17


class HashedFile:
    """A file whose bytes are hashed as they are read, each once; `on_bytes` hears of those bytes.

    What was read last is kept, so that the small members of an archive cost no call of the system each.
    """

    def __init__(self, path: Path, *, on_bytes: Callable[[int], None] | None = None) -> None:
        self._file = path.open("rb", buffering=0)
        self._digest = hashlib.sha256()
        self._on_bytes = on_bytes
        self._untold = 0
        # the last bytes that were hashed, and where they begin
        self._kept = b""
        self._start = 0

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def _hashed(self) -> int:
        return self._start + len(self._kept)

    def read_at(self, position: int, size: int) -> bytes:
        """The `size` bytes at `position`, fewer where the file ends."""
        if position < self._start:
            return self._read_again(position, size)
        self._go_on(position)
        while self._hashed < position + size:
            kept, start = self._kept[position - self._start :], position
            if not self._read_on(max(PIECE, position + size - self._hashed)):
                break
            self._kept, self._start = kept + self._kept, start
        return self._kept[position - self._start :][:size]

    def some_at(self, position: int, most: int) -> bytes:
        """Of the bytes at `position` as many as can be had without copying them; none at its end."""
        if position < self._start:
            return self._read_again(position, most)
        self._go_on(position)
        if self._hashed == position and most:
            self._read_on(min(most, PIECE))
        return self._kept[position - self._start :][:most]

    def hexdigest(self) -> str:
        """The SHA-256 of the whole file."""
        while self._read_on(CHUNK):
            pass
        self._tell(0)
        return self._digest.hexdigest()

    def _go_on(self, position: int) -> None:
        """Read what lies before `position` and was not read yet."""
        while self._hashed < position and self._read_on(min(CHUNK, position - self._hashed)):
            pass

    def _read_on(self, size: int) -> bool:
        """Read the next `size` bytes, which replace those that were kept; False where the file ends."""
        start = self._hashed
        self._file.seek(start)
        data = self._file.read(size)
        if not data:
            return False
        self._digest.update(data)
        self._kept, self._start = data, start
        self._tell(len(data))
        return True

    def _read_again(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        found = b""
        while len(found) < size and (data := self._file.read(size - len(found))):
            found += data
        return found

    def _tell(self, size: int) -> None:
        """Say that more bytes were read, not more often than once for each `CHUNK`; all of them for 0."""
        self._untold += size
        if self._on_bytes and (size == 0 or self._untold >= CHUNK):
            self._on_bytes(self._untold)
            self._untold = 0
