"""Delta: what a client that has one bundle lacks of another, in a folder that makes the other there."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wheelferry.bundle.reader import open_untouched
from wheelferry.cache.tools import Tools
from wheelferry.client.common.documents import seal
from wheelferry.client.common.errors import Stop
from wheelferry.client.transfer.delta import DELTA, FILES, FORMAT, NAME, OLD, open_delta
from wheelferry.client.transfer.trees import Tree, fill
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import File, Manifest
from wheelferry.system.files import folder_aside, require_space, sha256_file
from wheelferry.system.threads import in_threads
from wheelferry.transfer.payload import (
    Payload,
    open_payload,
    require_replaceable,
    write_companions,
)
from wheelferry.transfer.sources import require_apart

_REMEDY = "copy the delta again from where it was made"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A delta: how many files of the new bundle it brings and in how many bytes, and the new bundle's own."""

    out: Path
    old: Manifest
    new: Manifest
    brought: int
    bytes: int
    bytes_new: int


def make_delta(old: Path, new: Path, out: Path, tools: Tools) -> Made:
    """Write to `out` what makes the bundle `new` of the bundle `old`; a delta that is there is replaced.

    Of `old` only the manifest is read. What has the same bytes there is not brought, whatever its name; the
    manifest of `new`, its signature and its report always are, so that the result is `new`, byte for byte.
    """
    require_apart(out, (old, new))
    _check_output(out)
    tools.progress.stage(f"delta {out}: from {old} to {new}")
    base = open_untouched(old)
    payload = open_payload(new)
    hashes = _hash(payload, tools)
    items = list(_items(base, payload, hashes))
    brought = {
        item["source"]: (item["size"], item["sha256"], item["path"])
        for item in items
        if item["from"] == DELTA
    }
    size = sum(one for one, _, _ in brought.values())
    require_space(out.parent, size, purpose="the delta")
    with folder_aside(out) as work:
        tree = Tree(str(work), {source: (one, sha256) for source, (one, sha256, _) in brought.items()})
        for source in brought:
            (work / source).parent.mkdir(parents=True, exist_ok=True)
        with tools.progress.task("copy files", unit="bytes") as task:
            task.total(size)
            sources = {source: str(new / path) for source, (_, _, path) in brought.items()}
            problems = fill(tree, sources, task.advance)
        if problems:
            raise IntegrityError("\n".join(problems), hint="did somebody change it just now? try again")
        companions = write_companions(work, "apply", NAME, remedy=_REMEDY, readme=_readme(base, payload))
        document = {
            "format": FORMAT,
            "old": _identity(base),
            "new": _identity(payload.manifest),
            "files": items,
            "companions": [asdict(file) for file in companions],
        }
        (work / NAME).write_text(seal(document), "ascii", newline="\n")
    return Made(
        out=out,
        old=base,
        new=payload.manifest,
        brought=sum(item["from"] == DELTA for item in items),
        bytes=size,
        bytes_new=sum(payload.sizes.values()),
    )


def _check_output(out: Path) -> None:
    """Raise InputError unless `out` may be written: absent, empty, or an earlier delta and nothing else."""
    ours: set[str] = set()
    if (out / NAME).is_file():
        try:
            earlier = open_delta(str(out))
        except Stop as error:
            raise InputError(str(error), hint="choose another --out, or remove that folder") from None
        ours = {NAME, *earlier.companions, *earlier.carried}
    require_replaceable(out, ours, "a delta")


def _hash(payload: Payload, tools: Tools) -> dict[str, str]:
    """The SHA-256 of every file that is shipped; IntegrityError where it is not the manifest's."""
    with tools.progress.task("hash files", unit="bytes") as task:
        task.total(sum(payload.sizes.values()))

        def hashed(name: str) -> str:
            return sha256_file(payload.root / name, on_bytes=task.advance)

        names = sorted(payload.sizes, key=lambda name: -payload.sizes[name])
        hashes = dict(zip(names, in_threads(hashed, names, workers=tools.jobs), strict=True))
    payload.require_content(hashes)
    return hashes


def _items(base: Manifest, payload: Payload, hashes: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Every file of the new bundle, and where a client that has the old one finds it."""
    there = {file.path: (file.size, file.sha256) for file in base.files}
    by_content: dict[tuple[int, str], str] = {}
    for file in sorted(base.files, key=lambda file: file.path):
        by_content.setdefault((file.size, file.sha256), file.path)
    brought: dict[tuple[int, str], str] = {}
    for name in sorted(payload.sizes):
        content = payload.sizes[name], hashes[name]
        item: dict[str, Any] = asdict(File(path=name, size=content[0], sha256=content[1]))
        if content in by_content:
            yield {**item, "from": OLD, "source": name if there.get(name) == content else by_content[content]}
        else:
            yield {**item, "from": DELTA, "source": brought.setdefault(content, f"{FILES}/{name}")}


def _identity(manifest: Manifest) -> dict[str, str]:
    return {"recipe": manifest.recipe, "release": manifest.release, "digest": manifest.digest}


def _readme(base: Manifest, payload: Payload) -> str:
    new = payload.manifest
    return f"""\
This makes the bundle {new.recipe}@{new.release} ({new.digest[:12]})
of the bundle {base.recipe}@{base.release} ({base.digest[:12]}), which must be at hand. From this folder:

    sh apply.sh OLD --out NEW               on Linux
    .\\apply.cmd OLD --out NEW               on Windows

OLD is the folder of that bundle, NEW a folder to make. Neither OLD nor this folder is changed. It needs a
Python 3.7 or newer; that of an installation does as well: DIR/python apply.pyz OLD --out NEW
"""
