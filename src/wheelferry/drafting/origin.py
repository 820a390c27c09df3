"""Where a project is, from what a user types: a repository, a folder, an archive, a name on the index."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from wheelferry.cache.download import Download, download_all
from wheelferry.cache.source import (
    Source,
    clone_release,
    folder_release,
    list_references,
    read_sdist,
    remote_of,
    submodule_addresses,
    submodules_of,
)
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, MissingError
from wheelferry.models.lock import choose_files
from wheelferry.models.recipes.recipe import Release, Submodule
from wheelferry.models.targets import Target
from wheelferry.system.files import sha256_file, tree_hash

_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# What nobody knows before the project was looked at, where a release must say something.
_UNKNOWN = {"version": "0", "torch": ">=1", "python": ">=3"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A project's source, held here, as its recipe will name it.

    `keys` are those of the recipe's ``[source]``, `pin` those of its release; `release` is what to call it.
    `submodules` are git submodules by their place.
    `given` is the option that any later command needs, because nobody else can find the source.
    """

    source: Source
    keys: Mapping[str, str]
    pin: Mapping[str, str]
    release: str
    given: str = ""
    submodules: Mapping[str, Submodule] = field(default_factory=dict)


def find_origin(named: str, release: str | None, target: Target, recipe_folder: Path, tools: Tools) -> Origin:
    """What `named` is, and its `release` (the newest without): downloaded or cloned, and pinned.

    Raises InputError for what is none of these, or has no such release; MissingError when the host or the
    index does not answer.
    """
    path = Path(named).expanduser()
    if "://" in named or named.startswith("git@") or _is_repository(path):
        return _repository(named, release, tools)
    if path.is_dir():
        return _folder(path, release, recipe_folder)
    if path.is_file():
        return _archive(path, release, tools)
    if not _NAME.fullmatch(named):
        raise InputError(
            f"{named}: there is no such file or folder, and it is no name of a package",
            hint="give a name on the index, a repository's URL, a folder, or a source archive (.tar.gz)",
        )
    return _on_index(named, release, target, tools)


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _repository(named: str, release: str | None, tools: Tools) -> Origin:
    with tools.progress.task("look up tags"):
        references = list_references(named, tools.run)
    if release is None:
        release = _newest(references.tags) or references.branch
    if release in references.tags:
        kind, commit = "tag", references.tags[release]
    elif release in references.branches:
        kind, commit = "branch", references.branches[release]
    else:
        some = ", ".join(sorted(references.tags, key=_order)[-5:]) or "none"
        raise InputError(f"{named} has no tag or branch {release}", hint=f"its newest tags: {some}")
    pinned = Release.model_validate({kind: release, "commit": commit, **_UNKNOWN})
    with tools.progress.task(f"clone {release}"):
        source = clone_release(release, pinned, named, tools.store, tools.run)
    url = remote_of(named, tools.run)
    submodules = _submodules(source, url, tools)
    if submodules:
        source = _with_submodules(named, pinned.model_copy(update={"submodules": submodules}), source, tools)
    return Origin(
        source=source,
        keys={"kind": "git", "url": url},
        pin={kind: release, "commit": commit},
        release=release,
        given="" if url == named else f"--source {named}",
        submodules=submodules,
    )


def _submodules(source: Source, url: str, tools: Tools) -> dict[str, Submodule]:
    """The git submodules of a clone, by their place."""
    commits = submodules_of(source, tools.run)
    addresses = submodule_addresses(source, url, tools.run)
    return {
        place: Submodule(url=addresses[place], commit=commit)
        for place, commit in commits.items()
        if place in addresses
    }


def _with_submodules(named: str, release: Release, source: Source, tools: Tools) -> Source:
    """The source with its submodules; without, where one cannot be had from here."""
    try:
        with tools.progress.task("clone submodules"):
            return clone_release(named, release, named, tools.store, tools.run)
    except (MissingError, InputError) as error:
        tools.progress.warn(f"without its git submodules: {str(error).splitlines()[0]}")
        return source


def _newest(tags: Iterable[str]) -> str | None:
    """The tag that is the newest final version, else the newest of all; None without versions."""
    versions = [(version, tag) for tag in tags if (version := _version(tag)) is not None]
    final = [(version, tag) for version, tag in versions if not version.is_prerelease]
    return max(final or versions, default=(None, None))[1]


def _version(tag: str) -> Version | None:
    try:
        return Version(tag.rpartition("/")[2].removeprefix("release-"))
    except InvalidVersion:
        return None


def _order(tag: str) -> tuple[Version, str]:
    return _version(tag) or Version("0"), tag


def _folder(path: Path, release: str | None, recipe_folder: Path) -> Origin:
    whole, folder = path.resolve(), recipe_folder.resolve()
    if not whole.is_relative_to(folder) or whole == folder:
        raise InputError(
            f"{path} does not lie below {recipe_folder}, where the recipe shall be",
            hint=f"a recipe names folders beside it: --out {whole.parent}",
        )
    digest = tree_hash(whole)
    pinned = Release.model_validate({"tree": digest, **_UNKNOWN})
    return Origin(
        source=folder_release(path.name, pinned, whole),
        keys={"kind": "folder", "path": whole.relative_to(folder).as_posix()},
        pin={"tree": digest},
        release=release or "",
    )


def _archive(path: Path, release: str | None, tools: Tools) -> Origin:
    if not path.name.endswith(_ARCHIVES):
        raise InputError(f"{path} is no source archive", hint=f"its name would end in {', '.join(_ARCHIVES)}")
    name = path.name.rpartition("-")[0]
    if not _NAME.fullmatch(name):
        raise InputError(f"{path.name} is not named as an sdist is", hint="as in mine-1.0.tar.gz")
    digest = sha256_file(path)
    origin = Download(url=path.resolve().as_uri(), filename=path.name, sha256=digest)
    return _sdist(name, origin, release or "", tools, given=f"--source {path}")


def _on_index(name: str, release: str | None, target: Target, tools: Tools) -> Origin:
    with tools.store.workspace("locate") as work, tools.progress.task(f"look up {name}"):
        found = tools.uv.locate_sdist(name, release, python=target.python, work=work)
        (choice,) = choose_files(found, target, base=work)
    origin = Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
    return _sdist(canonicalize_name(name), origin, str(choice.version), tools)


def _sdist(name: str, origin: Download, release: str, tools: Tools, *, given: str = "") -> Origin:
    entry = download_all([origin], tools.store, tools.index, tools.progress)[origin.url]
    source = read_sdist(name, tools.store.path(entry.sha256), entry.sha256, origin=origin.url)
    return Origin(
        source=source,
        keys={"kind": "sdist", "name": name},
        pin={"sdist": entry.sha256},
        release=release,
        given=given,
    )
