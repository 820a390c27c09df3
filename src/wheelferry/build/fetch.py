"""Fetch: the release's source, from the store or from where it is published, checked against its pin."""

from pathlib import Path

from wheelferry.cache.download import Download, download_all
from wheelferry.cache.source import Source, clone_release, folder_release, sdist_release, submodules_of
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.lock import choose_files
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.recipe import FolderSource, SdistSource


def fetch(plan: Plan, folder: Path, tools: Tools, *, source: str | None = None) -> Source:
    """The source of the plan's release; `source` (URL or path) stands in for the recipe's own."""
    tools.progress.stage(f"fetch {plan.title}")
    origin = plan.recipe.source
    if isinstance(origin, FolderSource):
        return folder_release(plan.title, plan.release, Path(source) if source else folder / origin.path)
    if isinstance(origin, SdistSource):
        return _fetch_sdist(plan, origin, tools, source)
    found = clone_release(plan.title, plan.release, source or origin.url, tools.store, tools.run)
    left = [place for place in submodules_of(found, tools.run) if place not in plan.release.submodules]
    if left:
        tools.progress.note(
            f"{plan.title}: git submodules are left out: {', '.join(left)}; if the build needs one, name it "
            f'in the recipe: releases."{plan.release_name}".submodules'
        )
    return found


def _fetch_sdist(plan: Plan, origin: SdistSource, tools: Tools, source: str | None) -> Source:
    """The archive at `source`, else the pinned one: from the store, or from the user's index."""
    held = tools.store.take(plan.release.pin) if source is None else None
    if held is not None:
        return sdist_release(plan.title, plan.release, held, origin="the archive in the store")
    wanted = _given(plan, source) if source else _on_index(plan, origin, tools)
    entry = download_all([wanted], tools.store, tools.index, tools.progress)[wanted.url]
    archive = tools.store.path(entry.sha256)
    return sdist_release(plan.title, plan.release, archive, origin=wanted.url)


def _given(plan: Plan, source: str) -> Download:
    """The archive that the user names. Its hash is asked for once the bytes are here, with a better error."""
    if "://" in source:
        return Download(url=source, filename=source.rsplit("/", 1)[-1], sha256=None)
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(
            f"{plan.title}: {path} is not a file",
            hint="give the source archive (.tar.gz) itself: its hash is what the recipe pins",
        )
    return Download(url=path.resolve().as_uri(), filename=path.name, sha256=None)


def _on_index(plan: Plan, origin: SdistSource, tools: Tools) -> Download:
    """Where the user's index has the release's archive."""
    target = plan.cells[0].target
    with tools.store.workspace("locate") as work, tools.progress.task("look up the source archive"):
        found = tools.uv.locate_sdist(origin.name, plan.release.version, python=target.python, work=work)
        (choice,) = choose_files(found, target, base=work)
    if choice.sha256 not in (None, plan.release.pin):
        raise IntegrityError(
            f"{plan.title}: the index has {choice.filename} with the SHA-256 {choice.sha256}, "
            f"the recipe pins {plan.release.pin} ({choice.url})",
            hint="this is not the archive that the recipe describes; do not build it before you know why",
        )
    return Download(url=choice.url, filename=choice.filename, sha256=choice.sha256)
