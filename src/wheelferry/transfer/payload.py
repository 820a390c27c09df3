"""What is shipped of a bundle: what its manifest lists, the manifest, its signature, and the report."""

from dataclasses import dataclass
from pathlib import Path

from wheelferry.bundle.reader import open_untouched
from wheelferry.bundle.zipapp import write_transfer
from wheelferry.client.common.files import list_files
from wheelferry.client.common.paths import find_faults
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.manifest import NAME, REPORT, SIGNATURE, File, Manifest
from wheelferry.system.files import check_folder, sha256_file

README = "README.txt"
_VERIFY = "wheelferry verify {} --level static says more"


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """A bundle's folder, its manifest, and the size in bytes of each file that is shipped, by its path."""

    root: Path
    manifest: Manifest
    sizes: dict[str, int]

    def require_content(self, hashes: dict[str, str]) -> None:
        """Raise IntegrityError that names every file whose SHA-256 is not the manifest's."""
        problems = [
            f"{self.root / file.path} has other content than was packed"
            for file in self.manifest.files
            if hashes[file.path] != file.sha256
        ]
        if problems:
            raise IntegrityError("\n".join(problems), hint=_VERIFY.format(self.root))


def open_payload(root: Path) -> Payload:
    """What is to be shipped of the bundle in `root`, which has all files of its manifest and no others.

    Raises IntegrityError for any difference that shows without reading the files, InputError for links
    and for names that not every system can have.
    """
    manifest = open_untouched(root)
    names = list_files(str(root))
    links = [name for name in names if (root / name).is_symlink()]
    faults = [f"{name} is a link" for name in links] + find_faults(names)
    if faults:
        raise InputError(
            "\n".join(f"{root}: {fault}" for fault in faults),
            hint="a bundle that travels so has plain files, with names that every system can have",
        )
    sizes = {name: (root / name).stat().st_size for name in names}
    problems = [
        f"{root / file.path} has {sizes[file.path]} bytes instead of {file.size}"
        if file.path in sizes
        else f"{root / file.path} is missing"
        for file in manifest.files
        if sizes.get(file.path) != file.size
    ]
    listed = {file.path for file in manifest.files} | {NAME, SIGNATURE}
    problems += [
        f"{root / name} is not in the manifest"
        for name in names
        if name not in listed and not name.startswith(f"{REPORT}/")
    ]
    if problems:
        raise IntegrityError("\n".join(problems), hint=_VERIFY.format(root))
    return Payload(root=root, manifest=manifest, sizes=sizes)


def require_replaceable(out: Path, ours: set[str], kind: str) -> None:
    """Raise InputError unless `out` is absent, an empty folder, or holds only the files `ours`."""
    if not out.is_dir():
        check_folder(out, option="--out")
        return
    foreign = sorted(set(list_files(str(out))) - ours)
    if foreign:
        raise InputError(
            f"{out} holds something other than {kind}: {', '.join(foreign[:5])}",
            hint="move these files away, or choose another --out",
        )


def write_companions(folder: Path, verb: str, document: str, *, remedy: str, readme: str) -> tuple[File, ...]:
    """Write what runs `verb` on a client, and README.txt; returns them as files of `folder`."""
    names = write_transfer(folder, verb, document, remedy)
    (folder / README).write_text(readme, "utf-8", newline="\r\n")
    return tuple(file_of(folder, name) for name in sorted((*names, README)))


def file_of(folder: Path, name: str) -> File:
    """A file that was just written, as documents list it."""
    path = folder / name
    return File(path=name, size=path.stat().st_size, sha256=sha256_file(path))
