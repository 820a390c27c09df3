"""Fetch: the release's source, from the store or from its repository, checked against the recipe's pin."""

from pathlib import Path

from wheelferry.plan import Plan
from wheelferry.recipe import FolderSource
from wheelferry.source import Source, clone_release, folder_release
from wheelferry.tools import Tools


def fetch(plan: Plan, folder: Path, tools: Tools, *, source: str | None = None) -> Source:
    """The source of the plan's release; `source` (URL or path) stands in for the recipe's own."""
    tools.progress.stage(f"fetch {plan.title}")
    origin = plan.recipe.source
    if isinstance(origin, FolderSource):
        return folder_release(plan.title, plan.release, Path(source) if source else folder / origin.path)
    return clone_release(plan.title, plan.release, source or origin.url, tools.store, tools.run)
