"""Assets: the weights and data of a plan into the store, each with its hash."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wheelferry.cache.download import Download, download_all
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe, local_file, require_files
from wheelferry.client.common.sizes import human_size
from wheelferry.errors import MissingError
from wheelferry.models.manifest import Asset
from wheelferry.models.planning.assets import PlannedAsset
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.recipe import Recipe

FAT32_LIMIT = (1 << 32) - 1  # bytes: the size of the largest file that FAT32 can hold


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedAsset:
    """An asset whose bytes are in the store: what the manifest will say of it, and which object it is."""

    asset: Asset
    sha256: str
    size: int


def carry_assets(plan: Plan, located: LocatedRecipe, tools: Tools) -> tuple[CarriedAsset, ...]:
    """Bring the plan's assets into the store and return them by place.

    Raises IntegrityError for bytes that are not those that the recipe pins, MissingError when a host cannot
    be reached. Where nobody published a hash the first download counts: it is kept, and used from then on.
    """
    if not plan.assets:
        return ()
    tools.progress.stage("fetch weights and data")
    require_files(plan.assets, located)
    known = {asset.path: entry for asset in plan.assets if (entry := _remembered(asset, tools))}
    downloads = {a.path: _download(a, located) for a in plan.assets if a.path not in known}
    entries = {**known, **_bring(plan, downloads, tools)}
    for asset in plan.assets:
        if asset.path in downloads and _is_trusted_on_download(asset):
            tools.store.remember("asset", _key(asset), entries[asset.path])
            tools.progress.note(
                f"{asset.spec}: no hash is published; from now on {entries[asset.path].sha256}"
            )
        if entries[asset.path].size > FAT32_LIMIT:
            tools.progress.warn(
                f"{asset.path} has {human_size(entries[asset.path].size)}: too large for a stick with FAT32"
            )
    return tuple(_carried(asset, entries[asset.path]) for asset in plan.assets)


def asset_variables(recipe: Recipe, assets: Iterable[CarriedAsset]) -> dict[str, str]:
    """The environment variable of each root that `assets` use, by the root's name."""
    roots = {carried.asset.path.split("/")[1] for carried in assets}
    return {root: variable for root, variable in recipe.asset_roots.items() if root in roots}


def _is_trusted_on_download(asset: PlannedAsset) -> bool:
    return asset.sha256 is None and asset.file is None


def _key(asset: PlannedAsset) -> str:
    return hashlib.sha256((asset.url or "").encode()).hexdigest()


def _remembered(asset: PlannedAsset, tools: Tools) -> Entry | None:
    """What the first download of an asset without a published hash gave."""
    return tools.store.recall("asset", _key(asset)) if _is_trusted_on_download(asset) else None


def _download(asset: PlannedAsset, located: LocatedRecipe) -> Download:
    local = local_file(asset, located)
    return Download(
        url=local.resolve().as_uri() if local else asset.url or "",
        filename=asset.path.rsplit("/", 1)[-1],
        sha256=asset.sha256,
        pinned_by="the recipe",
    )


def _bring(plan: Plan, downloads: Mapping[str, Download], tools: Tools) -> dict[str, Entry]:
    """All downloads into the store; the entry of each by the asset's place."""
    try:
        entries = download_all(downloads.values(), tools.store, tools.index, tools.progress)
    except MissingError as error:
        specs = [a.spec for a in plan.assets if a.path in downloads and downloads[a.path].url in str(error)]
        if not specs:
            raise
        hint = f"fetch the file on another machine and give it with --asset {specs[0]}=FILE"
        raise MissingError(str(error), hint=hint) from None
    return {path: entries[download.url] for path, download in downloads.items()}


def _carried(asset: PlannedAsset, entry: Entry) -> CarriedAsset:
    described = Asset(path=asset.path, licence=asset.licence, origin=asset.origin, unpack=asset.unpack)
    return CarriedAsset(asset=described, sha256=entry.sha256, size=entry.size)
