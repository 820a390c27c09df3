"""Weights and data: which of them travel, and where each goes, decided before anything is fetched."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from urllib.parse import urlsplit

from wheelferry.errors import InputError
from wheelferry.models.recipes.recipe import FILES_ROOT, AssetEntry, Recipe
from wheelferry.models.targets import Target

FOLDER = "assets"  # of the bundle, and of an environment
NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedAsset:
    """A file that will travel.

    `spec` is what ``--asset`` calls it and `path` its place in the bundle. `url` is where it is published,
    without ``://`` a file beside the recipe, and None for a file of the user's own. `file` is a file of the
    user's that takes the place of what is at `url`. `sha256` is None where nobody published it.
    """

    spec: str
    path: str
    url: str | None
    file: str | None = None
    sha256: str | None = None
    licence: str = NOT_STATED
    unpack: bool = False

    @property
    def origin(self) -> str:
        """Where it comes from, and what vouches for its bytes, without the folders of this machine."""
        if self.url is None:
            return f"{PurePath(self.path).name}, a file that the user gave"
        if self.sha256 is not None:
            return self.url
        given = "given as a file" if self.file else "trusted on first download"
        return f"{self.url} (no hash published, {given})"


def plan_assets(
    recipe: Recipe, release_name: str, targets: Iterable[Target], requests: Iterable[str] = ()
) -> tuple[PlannedAsset, ...]:
    """What travels for `targets`: the recipe's own assets, and the user's requests, by their place.

    A request is the NAME of an asset in the recipe, an address, a FILE, or NAME or address ``=FILE`` for a
    file that takes the place of a download. Raises InputError for one that cannot be, and for two different
    files that would have one place.
    """
    wanted = list(targets)
    available = {
        entry.name: _of_recipe(recipe, entry)
        for entry in recipe.assets
        if any(entry.applies(release_name, t) for t in wanted)
    }
    chosen: dict[str, PlannedAsset] = {}
    for entry in recipe.assets:
        if entry.name in available and not entry.optional:
            _add(chosen, available[entry.name])
    for text in requests:
        _add(chosen, _requested(recipe, text, available))
    return tuple(chosen[path] for path in sorted(chosen))


def _add(chosen: dict[str, PlannedAsset], asset: PlannedAsset) -> None:
    """Add to `chosen`; the same asset again, now with a file of the user's, replaces the first."""
    other = chosen.get(asset.path)
    if other is None or (asset.url is not None and asset.url == other.url and asset.file):
        chosen[asset.path] = asset
    elif other != asset and (asset.url is None or asset.url != other.url):
        raise InputError(
            f"two assets would both be {asset.path}: {other.spec} and {asset.spec}",
            hint="leave one of them out, or rename the file",
        )


def _of_recipe(recipe: Recipe, entry: AssetEntry) -> PlannedAsset:
    url, root = _located(recipe, entry.url)
    place = entry.path or (PurePath(entry.url).name if entry.is_local else _place(url))
    return PlannedAsset(
        spec=entry.name,
        path=f"{FOLDER}/{entry.root or root}/{place}",
        url=url,
        sha256=entry.sha256,
        licence=entry.licence,
        unpack=entry.unpack,
    )


def _requested(recipe: Recipe, text: str, available: dict[str, PlannedAsset]) -> PlannedAsset:
    """What one value of --asset asks for."""
    spec, equals, file = text.partition("=")
    names = {entry.name for entry in recipe.assets}
    # the = of a URL's query, and one in the name of a file, divide nothing
    if equals and (spec in names or ("://" in spec and "?" not in spec)):
        if not file:
            raise InputError(f"--asset {text!r} names no file behind the =", hint="write NAME=FILE")
        return replace(_published(recipe, spec, names, available), file=file)
    if text in names or "://" in text:
        return _published(recipe, text, names, available)
    return PlannedAsset(spec=text, path=f"{FOLDER}/{FILES_ROOT}/{_file_name(text)}", url=None, file=text)


def _published(
    recipe: Recipe, spec: str, names: set[str], available: dict[str, PlannedAsset]
) -> PlannedAsset:
    """The asset of the recipe with this name or address, or one at an address that the recipe lacks."""
    if spec in available:
        return available[spec]
    if spec in names:
        raise InputError(
            f"--asset {spec}: the recipe has it for other releases, torch or Python",
            hint=f"here there is {', '.join(available)}" if available else None,
        )
    url, root = _located(recipe, spec)
    for asset in available.values():
        if asset.url == url:
            return asset
    place = f"{root}/{_place(url)}" if root else f"{FILES_ROOT}/{_file_name(urlsplit(url).path)}"
    return PlannedAsset(spec=spec, path=f"{FOLDER}/{place}", url=url)


def _located(recipe: Recipe, address: str) -> tuple[str, str | None]:
    """The URL behind an address, and the root in which the project looks for it, if it looks at all."""
    if "://" not in address:
        return address, None
    schemes = recipe.asset_schemes
    prefix = address.partition("://")[0] + "://"
    if prefix in schemes:
        return schemes[prefix].url + address.removeprefix(prefix), schemes[prefix].root
    if prefix not in ("http://", "https://"):
        known = ", ".join(["https://", *schemes])
        raise InputError(
            f"--asset {address}: the recipe knows no addresses with {prefix}", hint=f"it knows {known}"
        )
    return address, next((s.root for s in schemes.values() if address.startswith(s.url)), None)


def _place(url: str) -> str:
    """Where a URL's file is expected below its root: at the URL's path, as it is written."""
    place = urlsplit(url).path.removeprefix("/")
    if any(part in ("", ".", "..") for part in place.split("/")) or "\\" in place or ":" in place:
        raise InputError(f"{url}: its path cannot be the place of a file", hint="give the address of a file")
    return place


def _file_name(path: str) -> str:
    name = PurePath(path).name
    if not name or name == ".." or "\\" in name or ":" in name:
        raise InputError(
            f"--asset {path!r} ends in no name that a file can have everywhere", hint="rename the file"
        )
    return name
