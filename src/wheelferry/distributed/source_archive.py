"""Parcels: a release's source as bytes, for machines that cannot reach where it lies here."""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wheelferry.cache.source import UNREADABLE, Source, has_commit
from wheelferry.cache.store import Store
from wheelferry.errors import IntegrityError
from wheelferry.system.files import remove_tree, rename, sha256_file, tree_hash
from wheelferry.system.process import Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """A source and its bytes: the sdist itself, or an archive of the clone or folder."""

    kind: Literal["git", "folder", "sdist"]
    identity: str
    epoch: int
    sha256: str
    data: bytes


def pack_source(source: Source) -> Parcel:
    """The source as one value."""
    data = source.location.read_bytes() if source.kind == "sdist" else _archive(source)
    return Parcel(
        kind=source.kind,
        identity=source.identity,
        epoch=source.epoch,
        sha256=hashlib.sha256(data).hexdigest(),
        data=data,
    )


def unpack_source(parcel: Parcel, store: Store, run: Runner) -> Source:
    """The source in the parcel, put into the store unless it is there.

    Raises IntegrityError when the bytes are not those that were packed, or not that commit or folder.
    """
    if hashlib.sha256(parcel.data).hexdigest() != parcel.sha256:
        raise IntegrityError(f"the source {parcel.identity} was damaged on its way", hint="run it again")
    place = _place(parcel, store)
    with store.lock(f"source-{parcel.identity}"):
        if not _is_there(parcel, place, run):
            with store.workspace("source") as work:
                if parcel.kind == "sdist":
                    (work / "sdist").write_bytes(parcel.data)
                    store.add(work / "sdist", expected=parcel.identity)
                else:
                    _unpack(parcel, work / "tree", place, run)
    return Source(location=place, identity=parcel.identity, epoch=parcel.epoch, kind=parcel.kind)


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


def _place(parcel: Parcel, store: Store) -> Path:
    if parcel.kind == "sdist":
        return store.path(parcel.identity)
    return store.sources / f"{parcel.identity}.{'git' if parcel.kind == 'git' else 'tree'}"


def _is_there(parcel: Parcel, place: Path, run: Runner) -> bool:
    """Whether the store has the source, whole."""
    if parcel.kind == "git":
        return has_commit(place, parcel.identity, run)
    if parcel.kind == "sdist":
        return place.is_file() and sha256_file(place) == parcel.identity
    return place.is_dir() and tree_hash(place) == parcel.identity


def _unpack(parcel: Parcel, folder: Path, place: Path, run: Runner) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(parcel.data)) as archive:
            archive.extractall(folder, filter="data")
    except UNREADABLE as error:
        raise IntegrityError(f"the source {parcel.identity} cannot be unpacked: {error}") from None
    if not _is_there(parcel, folder, run):
        raise IntegrityError(f"what came as the source {parcel.identity} is something else")
    if place.exists():
        remove_tree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    rename(folder, place)
