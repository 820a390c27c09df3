"""Sources of a release: git clones kept in the store, folders beside a recipe, sdists; substitutions."""

import gzip
import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from wheelferry.cache.store import Store
from wheelferry.client.common.archives import BROKEN, unpack_archive, windows_objection
from wheelferry.client.common.errors import Damaged
from wheelferry.errors import InputError, IntegrityError, MissingError, WheelferryError
from wheelferry.models.recipes.recipe import Release, Substitution
from wheelferry.system.files import (
    contained,
    files_below,
    remove_tree,
    rename,
    sha256_file,
    tree_hash,
    write_atomic,
)
from wheelferry.system.process import CommandRunner

# git must neither ask for a password on a terminal nor read a hook or filter from the user's set-up
_GIT_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# Git for Windows is installed with core.autocrlf=true, which would write other bytes than the commit has,
# and refuses paths of 260 characters unless told otherwise.
_GIT = ("git", "-c", "core.autocrlf=false", "-c", "core.longpaths=true")
ON_WINDOWS = os.name == "nt"
_FIRST_DAY = 315_532_800  # 1980-01-01: a zip file, and so a wheel, knows no day before
# What unpacking raises for bytes that are not an archive.
UNREADABLE = (*BROKEN, gzip.BadGzipFile)
_HOST_HINT = "check the network, or give the source with --source URL|PATH (a bare repository or a checkout)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A release's source, checked against its pin: where it lies, what it is, when it was last changed.

    `submodules` are the sources of git submodules by their place in it.
    """

    location: Path
    identity: str
    epoch: int
    kind: Literal["git", "folder", "sdist"]
    submodules: Mapping[str, "Source"] = field(default_factory=dict)


def clone_release(name: str, release: Release, url: str, store: Store, run: CommandRunner) -> Source:
    """A bare clone that holds the release's commit, from the store or from `url`; and its submodules'.

    Raises IntegrityError when a tag is another commit than the recipe pins, MissingError when the
    repository cannot be reached, InputError when it does not have the tag. The same of submodules.
    """
    source = _clone(name, release, url, store, run)
    if not release.submodules:
        return source
    named = submodules_of(source, run)
    found = {}
    for place, one in release.submodules.items():
        if place not in named:
            there = ", ".join(named) or "it has none"
            raise InputError(f"{name}: {place} is no git submodule", hint=f"submodules: {there}")
        if named[place] != one.commit:
            raise IntegrityError(
                f"{name}: the source names commit {named[place]} of its submodule {place}, "
                f"the recipe pins {one.commit}",
                hint="put the commit that the source names into the recipe",
            )
        pinned = release.model_copy(update={"tag": None, "commit": one.commit, "submodules": {}})
        found[place] = _clone(f"{name}, submodule {place}", pinned, one.url, store, run)
    return replace(source, submodules=found)


def submodules_of(source: Source, run: CommandRunner) -> dict[str, str]:
    """The commit of each git submodule that a clone's commit names, by its place; none for other sources."""
    if source.kind != "git":
        return {}
    listing = _git(run, source.location, "ls-tree", "-r", "-z", source.identity, step="list the source")
    lines = [line.partition("\t") for line in listing.split("\0")]
    return {place: what.split()[2] for what, _, place in lines if what.startswith("160000 ")}


def submodule_addresses(source: Source, url: str, run: CommandRunner) -> dict[str, str]:
    """Where a clone's submodules are, by their place, as .gitmodules says; `url` is its own address."""
    if not submodules_of(source, run):
        return {}
    listing = _git(
        run, source.location, "config", "--blob", f"{source.identity}:.gitmodules", "--null",
        "--get-regexp", r"^submodule\..*\.(path|url)$", step="read .gitmodules",
    )  # fmt: skip
    named: dict[str, dict[str, str]] = {}
    for line in filter(None, listing.split("\0")):
        key, _, value = line.partition("\n")
        name, _, kind = key.removeprefix("submodule.").rpartition(".")
        named.setdefault(name, {})[kind] = value
    found = {one["path"]: one["url"] for one in named.values() if {"path", "url"} <= one.keys()}
    return {place: _absolute(address, url) for place, address in found.items()}


def _absolute(address: str, url: str) -> str:
    """An address of .gitmodules, which may count from the repository's own."""
    if not address.startswith(("./", "../")):
        return address
    base = url.rstrip("/")
    while address.startswith(("./", "../")):
        step, _, address = address.partition("/")
        base = base.rpartition("/")[0] if step == ".." else base
    return f"{base}/{address}"


def _clone(name: str, release: Release, url: str, store: Store, run: CommandRunner) -> Source:
    commit = release.commit or ""
    git_url = _git_url(url)
    clone = store.sources / f"{commit}.git"  # whoever had it, a commit is its content
    with store.lock(clone.name):
        if not has_commit(clone, commit, run):
            if clone.exists():
                remove_tree(clone)
            with store.workspace("clone") as work:
                _fetch(name, release, git_url, work / "clone.git", run)
                store.sources.mkdir(parents=True, exist_ok=True)
                rename(work / "clone.git", clone)
    epoch = _git(run, clone, "show", "-s", "--format=%ct", commit, step=f"read the date of {commit}")
    return Source(location=clone, identity=commit, epoch=int(epoch), kind="git")


@dataclass(frozen=True, kw_only=True, slots=True)
class References:
    """What a repository offers: the commits of its tags and branches, and the branch that it shows first."""

    tags: Mapping[str, str]
    branches: Mapping[str, str]
    branch: str


def list_references(url: str, run: CommandRunner) -> References:
    """The tags and branches of the repository at `url` (or path).

    Raises InputError for a folder that is none, MissingError when it cannot be reached.
    """
    git_url = _git_url(url)
    result = run(
        [*_GIT, "ls-remote", "--symref", git_url],
        step=f"look into {url}",
        env={**os.environ, **_GIT_ENVIRONMENT},
        check=False,
        hint="install git",
    )
    if result.returncode != 0:
        raise _unreachable(url, git_url, result.output)
    pairs = [line.split("\t") for line in result.output.splitlines() if "\t" in line]
    found = {name: value for value, name in pairs if not value.startswith("ref:")}
    heads = [value.removeprefix("ref: refs/heads/") for value, name in pairs if value.startswith("ref:")]
    tags = {name.removeprefix("refs/tags/"): commit for name, commit in found.items() if "refs/tags/" in name}
    # an annotated tag is an object of its own; what it stands for has ^{} behind the name
    commits = {name: tags.get(f"{name}^{{}}", commit) for name, commit in tags.items() if "^" not in name}
    branches = {
        name.removeprefix("refs/heads/"): commit
        for name, commit in found.items()
        if name.startswith("refs/heads/")
    }
    return References(tags=commits, branches=branches, branch=heads[0] if heads else "")


def remote_of(repository: str, run: CommandRunner) -> str:
    """Where a local repository was cloned from; `repository` itself where it is a URL, or nobody knows."""
    path = Path(repository).expanduser()
    if "://" in repository or not path.exists():
        return repository
    result = run(
        [*_GIT, "-C", path, "config", "--get", "remote.origin.url"],
        step="ask where the repository came from",
        env={**os.environ, **_GIT_ENVIRONMENT},
        check=False,
        hint="install git",
    )
    return result.output.strip() or path.resolve().as_uri()


def folder_release(name: str, release: Release, folder: Path) -> Source:
    """The folder of a release, after checking that its files are the pinned ones."""
    if not folder.is_dir():
        raise InputError(f"{name}: there is no source folder {folder}", hint="see source.path")
    found = tree_hash(folder)
    if found != release.tree:
        raise IntegrityError(
            f"{name}: the files in {folder} have the tree hash {found}, the recipe pins {release.tree}",
            hint="restore the folder or, if the change is meant, put the new hash into the recipe",
        )
    return Source(location=folder, identity=found, epoch=_FIRST_DAY, kind="folder")


def sdist_release(name: str, release: Release, archive: Path, *, origin: str) -> Source:
    """A release's source archive, after checking that its bytes are the pinned ones and unpack safely.

    `origin` is where the archive came from, for errors. The date is that of its newest file: the same
    archive gives the same wheel. Raises IntegrityError for another hash, for an archive that cannot be
    read, and for one that is not a single folder.
    """
    found = sha256_file(archive)
    if found != release.sdist:
        raise IntegrityError(
            f"{name}: {origin} has the SHA-256 {found}, the recipe pins {release.sdist}",
            hint="this is not the archive that the recipe describes; do not build it before you know why",
        )
    return read_sdist(name, archive, found, origin=origin)


def read_sdist(name: str, archive: Path, sha256: str, *, origin: str) -> Source:
    """A source archive whose hash is known, dated by its newest file.

    Raises IntegrityError for an archive that cannot be read, and for one that is not a single folder.
    """
    try:
        with tarfile.open(archive) as stream:
            members = stream.getmembers()
    except UNREADABLE as error:
        raise IntegrityError(f"{name}: {origin} is not a readable tar archive: {error}") from None
    _top_folder(members, origin)
    newest = max((int(member.mtime) for member in members if member.isfile()), default=0)
    return Source(location=archive, identity=sha256, epoch=max(newest, _FIRST_DAY), kind="sdist")


def _top_folder(members: Iterable[tarfile.TarInfo], origin: str) -> str:
    """The one folder that every member of an archive lies in; IntegrityError when there is no such folder."""
    tops: set[str] = set()
    for member in members:
        for place in (member.name, *_link_target(member)):
            path = PurePosixPath(place)
            if path.is_absolute() or ".." in path.parts or "\\" in place:
                raise IntegrityError(f"{origin}: {member.name!r} leads out of the source folder")
            if len(path.parts) < 2 and not member.isdir():
                raise IntegrityError(f"{origin}: {member.name!r} lies beside the source folder, not in it")
            tops.update(path.parts[:1])
    if len(tops) != 1:
        raise IntegrityError(
            f"{origin}: holds {len(tops)} folders ({', '.join(sorted(tops)[:5])}), an sdist holds one"
        )
    return tops.pop()


def _link_target(member: tarfile.TarInfo) -> Iterator[str]:
    """What a link leads to, counted from the top of the archive; a hard link's name already is."""
    if member.issym():
        yield posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    elif member.islnk():
        yield member.linkname


def longest_path(source: Source, run: CommandRunner) -> int:
    """How many characters the longest path below the source's folder has."""
    return max(map(len, _names(source, run)), default=0)


def _names(source: Source, run: CommandRunner) -> list[str]:
    """The paths of all files of a source, from its folder on."""
    if source.kind == "folder":
        return [path.relative_to(source.location).as_posix() for path in files_below(source.location)]
    if source.kind == "sdist":
        with tarfile.open(source.location) as stream:
            return [member.name.partition("/")[2] for member in stream.getmembers()]
    listing = _git(
        run, source.location, "ls-tree", "-r", "-z", "--name-only", source.identity, step="list the source"
    )
    own = [name for name in listing.split("\0") if name]
    return own + [f"{place}/{name}" for place, one in source.submodules.items() for name in _names(one, run)]


def unfit_for_windows(names: Iterable[str]) -> list[str]:
    """Those of `names` that Windows cannot hold, or not beside one another, each with the reason.

    Windows does not complain: ``nul`` is thrown away, ``readme`` and ``README`` become one file.
    """
    found = []
    seen: dict[str, str] = {}
    for name in sorted(names):
        for part in name.split("/"):
            objection = windows_objection(part)
            if objection:
                found.append(f"{name}: {objection}")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            found.append(f"{name}: the same name as {other}")
    return found


def export(source: Source, destination: Path, run: CommandRunner) -> None:
    """Write the source tree, and nothing else, to the new folder `destination`.

    Raises InputError on Windows for a tree that has names that Windows cannot hold.
    """
    unfit = unfit_for_windows(_names(source, run)) if ON_WINDOWS else []
    if unfit:
        raise InputError(
            "the source has files that Windows cannot hold:\n" + "\n".join(unfit),
            hint="build this release on Linux",
        )
    if source.kind == "folder":
        shutil.copytree(source.location, destination, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.kind == "sdist":
        _unpack_sdist(source.location, destination)
    else:
        _export_commit(source, destination, run)


def _unpack_sdist(archive: Path, destination: Path) -> None:
    """The archive's one folder as `destination`; what tries to leave it is refused."""
    aside = destination.with_suffix(".unpacked")
    try:
        with tarfile.open(archive) as stream:
            top = _top_folder(stream.getmembers(), archive.name)
        unpack_archive(str(archive), str(aside))
    except (*UNREADABLE, Damaged) as error:
        raise IntegrityError(f"{archive.name}: cannot be unpacked: {error}") from None
    rename(aside / top, destination)
    remove_tree(aside)


def _export_commit(source: Source, destination: Path, run: CommandRunner) -> None:
    archive = destination.with_suffix(".tar")
    _git(
        run, source.location, "archive", "--format=tar", "-o", os.fspath(archive), source.identity,
        step="export the source",
    )  # fmt: skip
    destination.mkdir(parents=True, exist_ok=True)  # of a submodule git has made it
    with tarfile.open(archive) as stream:
        stream.extractall(destination, filter="data")
    archive.unlink()
    for place, one in source.submodules.items():
        _export_commit(one, contained(destination, place), run)


def project_in(tree: Path, subdirectory: str | None) -> Path:
    """The folder of an exported `tree` that has the project; InputError when it is not there."""
    folder = tree / (subdirectory or "")
    if not folder.is_dir():
        raise InputError(f"the source has no folder {subdirectory}", hint="see source.subdirectory")
    return folder


def substitute(tree: Path, substitutions: tuple[Substitution, ...]) -> None:
    """Apply token substitutions; InputError names every one that does not match as often as stated."""
    problems = []
    for item in substitutions:
        path = contained(tree, item.file)
        if not path.is_file():
            problems.append(f"{item.file}: no such file in the source")
            continue
        text = path.read_bytes().decode("utf-8")
        found = text.count(item.old)
        if found != item.count:
            problems.append(f"{item.file}: {item.old!r} occurs {found} times, the recipe says {item.count}")
            continue
        write_atomic(path, text.replace(item.old, item.new))
    if problems:
        raise InputError(
            "substitutions do not match the source:\n" + "\n".join(problems),
            hint="the source is not the release that the recipe describes, or the recipe is wrong",
        )


def _git_url(url: str) -> str:
    path = Path(url).expanduser()
    if "://" in url or not path.exists():
        return url
    return path.resolve().as_uri()  # as a URL, so that --depth works for local repositories too


def _fetch(name: str, release: Release, url: str, clone: Path, run: CommandRunner) -> None:
    if release.tag is None:
        _fetch_commit(name, release, url, clone, run)
        return
    result = run(
        [*_GIT, "clone", "--quiet", "--bare", "--depth", "1", "--branch", release.tag, url, clone],
        step=f"clone {url}",
        env={**os.environ, **_GIT_ENVIRONMENT},
        check=False,
        hint="install git",
    )
    if result.returncode != 0:
        if "not found in upstream" in result.output:
            raise InputError(
                f"{name}: {url} has no tag {release.tag}", hint="is this the project's repository?"
            )
        raise _unreachable(name, url, result.output)
    found = _git(run, clone, "rev-parse", f"{release.tag}^{{commit}}", step=f"look up {release.tag}")
    if found != release.commit:
        raise IntegrityError(
            f"{name}: tag {release.tag} of {url} is commit {found}, the recipe pins {release.commit}",
            hint="the tag was moved, or this is another repository; do not build it before you know why",
        )


def _fetch_commit(name: str, release: Release, url: str, clone: Path, run: CommandRunner) -> None:
    environment = {**os.environ, **_GIT_ENVIRONMENT}
    run([*_GIT, "init", "--quiet", "--bare", clone], step="make a clone", env=environment, hint="install git")
    result = run(
        # as a pack, however small, because packs have a checksum
        [
            *_GIT, "-c", "fetch.unpackLimit=1", f"--git-dir={clone}",
            "fetch", "--quiet", "--depth", "1", url, release.commit or "",
        ],
        step=f"fetch {url}",
        env=environment,
        check=False,
    )  # fmt: skip
    if result.returncode != 0:
        if "not our ref" in result.output or "couldn't find remote ref" in result.output:
            raise InputError(
                f"{name}: {url} does not have commit {release.commit}",
                hint="is this the project's repository?",
            )
        raise _unreachable(name, url, result.output)


def _unreachable(name: str, url: str, output: str) -> WheelferryError:
    """A folder that is not a repository is the user's mistake; anything else is the host's."""
    if url.startswith("file:") and "not appear to be a git repository" in output:
        return InputError(f"{name}: {url} is not a git repository", hint="give a repository or a checkout")
    return MissingError(f"{name}: cannot fetch from {url}:\n{output.strip()}", hint=_HOST_HINT)


def has_commit(clone: Path, commit: str, run: CommandRunner) -> bool:
    """Whether a clone has the commit, and every byte is what git packed, which git itself seldom asks."""
    packs = sorted(clone.glob("objects/pack/*.idx"))
    if not packs:
        return False
    look = [*_GIT, f"--git-dir={clone}"]
    commands = ([*look, "verify-pack", *map(str, packs)], [*look, "cat-file", "-e", f"{commit}^{{tree}}"])
    return all(
        run(command, step="look into the clone", check=False, hint="install git").returncode == 0
        for command in commands
    )


def _git(run: CommandRunner, clone: Path, *arguments: str, step: str) -> str:
    result = run(
        [*_GIT, f"--git-dir={clone}", *arguments],
        step=step,
        env={**os.environ, **_GIT_ENVIRONMENT},
        error=MissingError,
        hint=_HOST_HINT,
    )
    return result.output.strip()
