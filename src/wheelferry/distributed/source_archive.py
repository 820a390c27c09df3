"""Source archives: a release's source as bytes, for machines that cannot reach where it lies here."""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelferry.cache.source import UNREADABLE, Source, has_commit
from wheelferry.cache.store import Store
from wheelferry.errors import InputError, IntegrityError
from wheelferry.system.files import remove_tree, rename, sha256_file, tree_hash
from wheelferry.system.process import CommandRunner


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceArchive:
    """A source and its bytes: the sdist itself, or an archive of the clone or folder."""

    kind: Literal["git", "folder", "sdist"]
    identity: str
    epoch: int
    sha256: str
    data: bytes


def pack_source(source: Source) -> SourceArchive:
    """The source as one value; raises InputError for one with git submodules, which it would lack."""
    if source.submodules:
        raise InputError(
            f"the source has git submodules ({', '.join(source.submodules)}), which stay here",
            hint="leave --scheduler out, and build on this one",
        )
    data = source.location.read_bytes() if source.kind == "sdist" else _archive(source)
    return SourceArchive(
        kind=source.kind,
        identity=source.identity,
        epoch=source.epoch,
        sha256=hashlib.sha256(data).hexdigest(),
        data=data,
    )


def unpack_source(packed: SourceArchive, store: Store, run: CommandRunner) -> Source:
    """The source that was packed, put into the store unless it is there.

    Raises IntegrityError when the bytes are not those that were packed, or not that commit or folder.
    """
    if hashlib.sha256(packed.data).hexdigest() != packed.sha256:
        raise IntegrityError(f"the source {packed.identity} was damaged on its way", hint="run it again")
    place = _place(packed, store)
    with store.lock(f"source-{packed.identity}"):
        if not _is_there(packed, place, run):
            with store.workspace("source") as work:
                if packed.kind == "sdist":
                    (work / "sdist").write_bytes(packed.data)
                    store.add(work / "sdist", expected=packed.identity)
                else:
                    _unpack(packed, work / "tree", place, run)
    return Source(location=place, identity=packed.identity, epoch=packed.epoch, kind=packed.kind)


def _archive(source: Source) -> bytes:
    """All files below the source's folder; what links lead to goes in their place, as in a copy."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        # byte code is no part of a folder's hash, hooks are no part of a clone
        skipped = "__pycache__" if source.kind == "folder" else "hooks"
        return None if Path(member.name).name == skipped and member.isdir() else member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", dereference=True) as archive:
        archive.add(source.location, arcname=".", filter=wanted)
    return buffer.getvalue()


def _place(packed: SourceArchive, store: Store) -> Path:
    if packed.kind == "sdist":
        return store.path(packed.identity)
    return store.sources / f"{packed.identity}.{'git' if packed.kind == 'git' else 'tree'}"


def _is_there(packed: SourceArchive, place: Path, run: CommandRunner) -> bool:
    """Whether the store has the source, whole."""
    if packed.kind == "git":
        return has_commit(place, packed.identity, run)
    if packed.kind == "sdist":
        return place.is_file() and sha256_file(place) == packed.identity
    return place.is_dir() and tree_hash(place) == packed.identity


def _unpack(packed: SourceArchive, folder: Path, place: Path, run: CommandRunner) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(packed.data)) as archive:
            archive.extractall(folder, filter="data")
    except UNREADABLE as error:
        raise IntegrityError(f"the source {packed.identity} cannot be unpacked: {error}") from None
    if not _is_there(packed, folder, run):
        raise IntegrityError(f"what came as the source {packed.identity} is something else")
    if place.exists():
        remove_tree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    rename(folder, place)
