"""Split: a bundle as volumes for media that are too small for it, each of which can be checked by itself."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from wheelferry.cache.tools import Tools
from wheelferry.client.common.documents import seal
from wheelferry.client.common.errors import Stop
from wheelferry.client.common.sizes import human_size
from wheelferry.client.transfer.trees import Unreadable, pieces
from wheelferry.client.transfer.volumes import FORMAT, NAME, open_index
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import File, Manifest
from wheelferry.system.files import folder_aside, require_space
from wheelferry.transfer.payload import (
    Payload,
    open_payload,
    require_replaceable,
    write_companions,
)
from wheelferry.transfer.sources import require_apart
from wheelferry.transfer.volumes import Member, archive, cut, folder_name, volume_name

_REMEDY = "every medium has the same one: start that of another"
_FOLDER = re.compile(r"0*[1-9]\d*-of-\d+")
_NO_HASH = "0" * 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Volumes:
    """What was made: the volumes in order, each by its path in `out`, and the bundle that they hold."""

    out: Path
    manifest: Manifest
    volumes: tuple[File, ...]


def split(bundle: Path, limit: int, out: Path, tools: Tools) -> Volumes:
    """Write `bundle` to `out` as folders of less than `limit` bytes each; earlier volumes are replaced.

    Each folder has a volume, an index of all of them, and what joins them on a client. Every file is compared
    with the manifest while it is read.
    """
    require_apart(out, (bundle,))
    _check_output(out)
    tools.progress.stage(f"split {bundle} into {out}")
    payload = open_payload(bundle)
    members, end = archive(sorted(payload.sizes.items()))
    last = members[-1]
    total = last.begins + last.size + last.padding + len(end)
    with folder_aside(out) as work:
        companions = write_companions(work, "join", NAME, remedy=_REMEDY, readme=_readme(payload.manifest))
        beside = sum(file.size for file in companions)
        cuts = cut(
            total, limit, lambda count: beside + _index_size(payload, members, companions, limit, count)
        )
        require_space(work, total + len(cuts) * (limit // 1000 + beside), purpose="a set of volumes")
        folders = [work / folder_name(number, len(cuts)) for number in range(1, len(cuts) + 1)]
        hashes: dict[str, str] = {}
        with tools.progress.task("write volumes", unit="bytes") as task:
            task.total(total)
            stream = _stream(payload, members, end, hashes, task.advance)
            volumes = _write(stream, [size for _, size in cuts], folders)
        payload.require_content(hashes)
        text = _index(payload, members, hashes, volumes, companions)
        for folder in folders:
            (folder / NAME).write_text(text, "ascii", newline="\n")
            for file in companions:
                (folder / file.path).write_bytes((work / file.path).read_bytes())
            (folder / "join.sh").chmod(0o755)
        for file in companions:
            (work / file.path).unlink()
    placed = (
        File(path=f"{folder.name}/{volume.path}", size=volume.size, sha256=volume.sha256)
        for folder, volume in zip(folders, volumes, strict=True)
    )
    return Volumes(out=out, manifest=payload.manifest, volumes=tuple(placed))


def _check_output(out: Path) -> None:
    """Raise InputError unless `out` may be written: absent, empty, or earlier volumes and nothing else."""
    ours: set[str] = set()
    for folder in sorted(out.glob("*-of-*")) if out.is_dir() else ():
        if not _FOLDER.fullmatch(folder.name):
            continue
        try:
            index = open_index(str(folder))
        except Stop as error:
            raise InputError(str(error), hint="choose another --out, or remove that folder") from None
        if index is not None:
            ours |= {f"{folder.name}/{name}" for name in (NAME, *index.companions, *index.volumes)}
    require_replaceable(out, ours, "volumes")


def _stream(
    payload: Payload,
    members: Sequence[Member],
    end: bytes,
    hashes: dict[str, str],
    on_bytes: Callable[[int], None],
) -> Iterator[memoryview]:
    """The archive's bytes, piece by piece; `hashes` gets the SHA-256 of each file that was read."""
    for member in members:
        yield memoryview(member.header)
        digest = hashlib.sha256()
        path = payload.root / member.path
        left = member.size
        try:
            for piece in pieces(str(path)):
                left -= len(piece)
                if left < 0:
                    break
                digest.update(piece)
                on_bytes(len(piece))
                yield piece
        except Unreadable as error:
            raise IntegrityError(f"{path} {error}", hint="copy the bundle again") from None
        if left:
            raise IntegrityError(f"{path} changed its size while it was read", hint="try again")
        hashes[member.path] = digest.hexdigest()
        yield memoryview(bytes(member.padding))
    yield memoryview(end)


def _write(stream: Iterator[memoryview], sizes: Sequence[int], folders: Sequence[Path]) -> list[File]:
    """Write the stream's bytes to one volume after the other; returns them with their SHA-256."""
    volumes = []
    rest = memoryview(b"")
    for number, (size, folder) in enumerate(zip(sizes, folders, strict=True), start=1):
        folder.mkdir()
        with (folder / volume_name(number)).open("wb") as sink:
            sha256, rest = _write_one(rest, stream, size, sink)
        volumes.append(File(path=volume_name(number), size=size, sha256=sha256))
    return volumes


def _write_one(
    rest: memoryview, stream: Iterator[memoryview], size: int, sink: IO[bytes]
) -> tuple[str, memoryview]:
    """Write `size` bytes, `rest` first; returns their SHA-256 and what is left of the last piece."""
    digest = hashlib.sha256()
    left = size
    while left:
        piece = rest or next(stream)
        taken = piece[:left]
        digest.update(taken)
        sink.write(taken)
        left -= len(taken)
        rest = piece[len(taken) :]
    return digest.hexdigest(), rest


def _index(
    payload: Payload,
    members: Sequence[Member],
    hashes: dict[str, str],
    volumes: Sequence[File],
    companions: Sequence[File],
) -> str:
    """The text of the index, the same beside every volume."""
    files: list[dict[str, Any]] = [
        {"path": one.path, "size": one.size, "sha256": hashes[one.path], "begins": one.begins}
        for one in members
    ]
    manifest = payload.manifest
    text: str = seal(
        {
            "format": FORMAT,
            "bundle": {
                "recipe": manifest.recipe, "release": manifest.release, "digest": manifest.digest,
            },
            "files": files,
            "volumes": [asdict(volume) for volume in volumes],
            "companions": [asdict(file) for file in companions],
        }
    )  # fmt: skip
    return text


def _index_size(
    payload: Payload, members: Sequence[Member], companions: Sequence[File], limit: int, count: int
) -> int:
    """The most bytes that the index of `count` volumes can have: every hash is as long as another."""
    hashes = dict.fromkeys(payload.sizes, _NO_HASH)
    volumes = [File(path=volume_name(n), size=limit, sha256=_NO_HASH) for n in range(1, count + 1)]
    return len(_index(payload, members, hashes, volumes, companions))


def _readme(manifest: Manifest) -> str:
    size = human_size(sum(file.size for file in manifest.files))
    return f"""\
One of several volumes of the bundle {manifest.title} ({size}). The folder's name
says which of how many; volumes.json lists all. Copy each such folder to a medium of its own, or several
together.

On the other side, from this folder:

    sh join.sh --out BUNDLE                 on Linux
    .\\join.cmd --out BUNDLE                 on Windows

joins what lies here and in the folders beside this one. With one medium at a time, give the same command
from each: it says what is still missing. `sh join.sh DIR... --out BUNDLE` takes the folders by name.
Nothing here is changed.

It needs a Python 3.7 or newer. Where there is none, the volumes in order are one tar archive:

    cat */bundle.tar.* | tar -xf -               on Linux, in the folder that holds all of them
    copy /b 1-of-2\\bundle.tar.001+2-of-2\\bundle.tar.002 b.tar
                                                 on Windows, and then: tar -xf b.tar

That does not check anything; the bundle's own install.sh, or install.cmd, hashes what it reads.
"""
