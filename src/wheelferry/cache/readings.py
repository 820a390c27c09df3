"""What was read out of wheels earlier, by the SHA-256 of the wheel: equal bytes are not unpacked again."""

import datetime as dt
import functools
import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wheelferry.binaries
import wheelferry.wheels
from wheelferry.cache.store import Store
from wheelferry.client.common import archives
from wheelferry.models.tables import processors
from wheelferry.wheels.contents import Contents

KIND = "contents"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a wheel's files are, the day on which they were read, and the code that did it (`reader`)."""

    contents: Contents
    date: dt.date
    reader: str


def recall_reading(store: Store, sha256: str) -> Reading | None:
    """What was read of a wheel with this hash; None if it was not, or by other code than today's."""
    from pydantic import TypeAdapter, ValidationError

    # the hash may be what a bundle says, and is part of a file's name
    text = store.recall_text(KIND, sha256) if _SHA256.fullmatch(sha256) else None
    if text is None:
        return None
    try:
        reading = TypeAdapter(Reading).validate_json(text)
    except ValidationError:  # another version's
        return None
    return reading if reading.reader == _reader() else None


def remember_reading(store: Store, sha256: str, contents: Contents) -> None:
    """Keep what was read of a wheel, if nothing is wrong with it: what is wrong is looked at every time."""
    from pydantic import TypeAdapter

    if contents.sound:
        reading = Reading(contents=contents, date=dt.datetime.now(dt.UTC).date(), reader=_reader())
        store.remember_text(KIND, sha256, TypeAdapter(Reading).dump_json(reading).decode())


@functools.cache
def _reader() -> str:
    """A hash of the code that reads wheels: what another version of it found does not count."""
    digest = hashlib.sha256(version("pefile").encode())
    packages = (wheelferry.wheels, wheelferry.binaries)
    modules = [path for package in packages for path in sorted(Path(package.__path__[0]).glob("*.py"))]
    for path in [*modules, Path(archives.__file__), Path(processors.__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
