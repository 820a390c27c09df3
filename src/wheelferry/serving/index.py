"""Index: the wheels of one or many bundles as a simple index in plain files, for any web server."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wheelferry.bundle.pack import requirements_name
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.lock import with_wheels_in
from wheelferry.models.wheel_info import filename_parts
from wheelferry.serving.pages import project_page, projects_page
from wheelferry.serving.simple_api import (
    FILES,
    METADATA,
    PAGES,
    ServedWheel,
    by_project,
    project_json,
    projects_json,
)
from wheelferry.system.files import (
    check_folder,
    copy_aside,
    files_below,
    folder_aside,
    link_or_copy,
    write_atomic,
)
from wheelferry.system.threads import in_threads
from wheelferry.transfer.sources import Intact, Part, join, open_intact, require_apart, require_room
from wheelferry.wheels.read import read_metadata, read_wheel

# What the folder says of itself: the bundles it was made of, and every file that belongs to it.
LISTING = "served.json"
_LOCKS = "locks"
# Clients whose pip is too old for what is served, or who have no uv, get both here too.
_WHEEL_FOLDERS = ("wheelhouse", "tools")
# Of a recipe's and a release's name, what is not plain in a URL and in a Windows path.
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """What came of it. `locks` are paths below `out`, with forward slashes."""

    out: Path
    wheels: tuple[ServedWheel, ...]
    locks: tuple[str, ...]

    @property
    def projects(self) -> int:
        """How many projects the index has."""
        return len({wheel.name for wheel in self.wheels})


def index(roots: Sequence[Path], out: Path, tools: Tools) -> Indexed:
    """Write a simple index over the bundles in `roots` to the folder `out`, which it replaces as a whole.

    The result does not depend on the order of `roots`. Wheels are hard links where the file system can.
    Raises InputError for an `out` that something would be lost from, IntegrityError for altered bundles
    and for files of one name that differ.
    """
    require_apart(out, roots)
    _check_output(out)
    tools.progress.stage(f"index into {out}: {', '.join(map(str, roots))}")
    bundles = [open_intact(root, tools) for root in roots]
    wheels = _join_wheels(bundles)
    locks = join({bundle.root: dict(_locks(bundle)) for bundle in bundles})
    _require_distinct({**wheels, **locks})
    require_room(out, wheels, purpose="the index")
    with folder_aside(out) as work:
        served = _write_wheels(work, wheels, tools)
        _write_locks(work, locks)
        _write_pages(work, served)
        _write_listing(work, bundles)
        _let_read(work)
    return Indexed(out=out, wheels=served, locks=tuple(locks))


def _check_output(out: Path) -> None:
    """Raise InputError unless `out` is absent, an empty folder, or an earlier index and nothing else."""
    if not out.is_dir():
        check_folder(out, option="--out")
        return
    names = {path.relative_to(out).as_posix() for path in files_below(out)}
    foreign = sorted(names - _listed(out / LISTING))
    if foreign:
        raise InputError(
            f"{out} holds {', '.join(foreign[:5])}, which no earlier index put there and which would be lost",
            hint="move these files away, or choose another --out",
        )


def _listed(listing: Path) -> set[str]:
    """The files that an earlier index says are its own; none when it cannot be read."""
    try:
        return {str(name) for name in json.loads(listing.read_text("utf-8"))["files"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()


def _join_wheels(bundles: Iterable[Intact]) -> dict[str, Part]:
    """The wheels of all bundles by file name; IntegrityError for those of one name that differ."""
    folders: dict[Path, dict[str, Part]] = {}
    for bundle in bundles:
        for path, sha256 in bundle.hashes.items():
            folder, _, name = path.rpartition("/")
            if folder in _WHEEL_FOLDERS and name.endswith(".whl"):
                root = bundle.root / folder
                folders.setdefault(root, {})[name] = Part(root=root, path=root / name, sha256=sha256)
    return join(folders)


def _require_distinct(parts: Mapping[str, Part]) -> None:
    """Raise IntegrityError for two names that are one where file systems do not know upper case."""
    plain: dict[str, str] = {}
    for name, part in parts.items():
        first = plain.setdefault(name.casefold(), name)
        if first != name:
            raise IntegrityError(
                f"{parts[first].path} and {part.path}: {first} and {name} differ only in case",
                hint="a file system may keep only one of them; leave one of the bundles out",
            )


def _locks(bundle: Intact) -> Iterator[tuple[str, Part]]:
    """A bundle's lock files, by the names that they have in the index."""
    manifest = bundle.manifest
    folder = _NOT_PLAIN.sub("-", "-".join(f"{one.recipe}-{one.release}" for one in manifest.projects))
    for entry in manifest.targets:
        for name, served in (
            (entry.requirements, requirements_name(entry.target, single=False)),
            (entry.pylock, f"pylock.{entry.target.name}.toml"),
        ):
            part = Part(root=bundle.root, path=bundle.root / name, sha256=bundle.hashes[name])
            yield f"{_LOCKS}/{folder}/{served}", part


def _write_wheels(work: Path, wheels: Mapping[str, Part], tools: Tools) -> tuple[ServedWheel, ...]:
    """Put every wheel, and its metadata beside it, into the folder of files."""
    (work / FILES).mkdir()

    with tools.progress.task("link wheels", total=len(wheels)) as task:

        def write(part: Part) -> ServedWheel:
            destination = work / FILES / part.path.name
            metadata = read_metadata(part.path)
            write_atomic(destination.with_name(destination.name + METADATA), metadata)
            _place(part.path, destination)
            task.advance()
            return _describe(part, metadata)

        return tuple(in_threads(write, wheels.values(), workers=tools.jobs))


def _describe(part: Part, metadata: bytes) -> ServedWheel:
    name, version, _ = filename_parts(part.path.name)
    info = read_wheel(part.path)
    if (info.name, info.version) != (name, version):
        raise IntegrityError(
            f"{part.path}: its metadata says {info.name} {info.version}",
            hint=f"wheelferry verify {part.root.parent} --level static says more",
        )
    return ServedWheel(
        filename=part.path.name,
        name=name,
        version=version,
        sha256=part.sha256,
        size=part.path.stat().st_size,
        requires_python=info.requires_python,
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
    )


def _place(source: Path, destination: Path) -> None:
    """A link to what everybody may read, as a web server must; else a copy that everybody may read."""
    place = link_or_copy if source.stat().st_mode & stat.S_IROTH else copy_aside
    place(source, destination)
    if not destination.stat().st_mode & stat.S_IROTH:
        destination.chmod(0o644)


def _write_locks(work: Path, locks: Mapping[str, Part]) -> None:
    """The lock of every target: the requirements as they are, the pylock with the way to the files."""
    for name, part in locks.items():
        data = part.path.read_bytes()
        if name.endswith(".toml"):
            try:
                data = with_wheels_in(data.decode("utf-8"), f"../../{FILES}").encode()
            except (ValueError, KeyError, TypeError) as error:
                raise IntegrityError(
                    f"{part.path} is not a lock as bundles have it ({type(error).__name__}: {error})",
                    hint=f"wheelferry verify {part.root} --level static says more",
                ) from None
        write_atomic(work / name, data)


def _write_pages(work: Path, wheels: Iterable[ServedWheel]) -> None:
    projects = by_project(wheels)
    pages = work / PAGES
    write_atomic(pages / "index.html", projects_page(projects))
    write_atomic(pages / "index.json", projects_json(projects))
    for name, offered in projects.items():
        write_atomic(pages / name / "index.html", project_page(name, offered))
        write_atomic(pages / name / "index.json", project_json(name, offered))


def _write_listing(work: Path, bundles: Iterable[Intact]) -> None:
    made_of = {
        bundle.manifest.digest: {
            "recipe": bundle.manifest.recipe,
            "release": bundle.manifest.release,
            "targets": [entry.target.name for entry in bundle.manifest.targets],
            "locks": sorted(name for name, _ in _locks(bundle)),
        }
        for bundle in bundles
    }
    files = sorted([LISTING, *(path.relative_to(work).as_posix() for path in files_below(work))])
    document = {"bundles": made_of, "files": files}
    write_atomic(work / LISTING, json.dumps(document, indent=1, sort_keys=True) + "\n")


def _let_read(work: Path) -> None:
    """Folders that everybody may read, whatever this user's umask is."""
    for folder, _, _ in os.walk(work):
        Path(folder).chmod(0o755)
