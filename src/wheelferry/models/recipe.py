"""A recipe: the facts needed to build one project's releases, read from TOML.

pydantic does the validating because it names every problem at once with its key path and
publishes the JSON Schema that editors complete from. Parsing is validation: a `Recipe` that
exists is consistent.
"""

import json
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from wheelferry.errors import InputError
from wheelferry.models.targets import Target


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"not a version range: {error}") from None
    return text


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {error}") from None
    return text


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        raise ValueError("not a version") from None


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise ValueError("must be a relative path with forward slashes that stays inside")
    return text


Range = Annotated[str, AfterValidator(_specifier), Field(examples=[">=1.8"])]
RequirementText = Annotated[str, AfterValidator(_requirement), Field(examples=["numpy>=1.24"])]
VersionText = Annotated[str, AfterValidator(_version), Field(examples=["2.13.0"])]
RelativePath = Annotated[str, AfterValidator(_inside)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="full SHA-1 of the commit")]
TreeHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 over a folder's files")]
SdistHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the source archive")]
ProjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
RootName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", examples=["cache"])]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["ZOO_CACHE"])]
SchemePrefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://$", examples=["zoo://"])]

# Files that the user adds by hand land in this root; no recipe can give it another meaning.
FILES_ROOT = "files"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_M = TypeVar("_M", bound=_Model)


@cache
def in_range(specifier: str, version: str) -> bool:
    """Whether `version` is in the range; a matrix asks the same few questions thousands of times."""
    return SpecifierSet(specifier).contains(version, prereleases=True)


@cache
def _distribution(requirement: str) -> str:
    return Requirement(requirement).name


class Condition(_Model):
    """When an entry applies; an absent key means always."""

    releases: Annotated[tuple[str, ...], Field(description="release names; absent means all")] = ()
    torch: Annotated[Range, Field(description="range of torch versions")] = ""
    python: Annotated[Range, Field(description="range of Python versions")] = ""
    platform: Annotated[
        Literal["linux", "windows"] | None, Field(description="what the target runs; absent means any")
    ] = None
    reason: Annotated[str, Field(description="why the entry exists, for the reader")] = ""

    def applies(self, release: str, target: Target) -> bool:
        """Whether the entry counts for this release on this target."""
        return (
            (not self.releases or release in self.releases)
            and in_range(self.torch, target.torch)
            and in_range(self.python, target.python)
            and self.platform in (None, "windows" if target.is_windows else "linux")
        )


class ConditionalRequirement(Condition):
    """A requirement (or constraint) with the condition under which it counts."""

    requires: RequirementText

    @property
    def distribution(self) -> str:
        """The name of what is required."""
        return _distribution(self.requires)


class Substitution(Condition):
    """One token replaced in the source before the build; a count that differs is an error."""

    file: Annotated[RelativePath, Field(description="path inside the source tree")]
    old: Annotated[str, Field(min_length=1, description="text to find, exactly")]
    new: Annotated[str, Field(description="text to put in its place")]
    count: Annotated[int, Field(ge=1, description="how often `old` must occur")]
    without_ops: Annotated[
        bool, Field(description="only in a build without compiled ops: what leaves the compiler out")
    ] = False


class Torch(_Model):
    """A torch release: the Pythons that it has wheels for, the CUDA of its builds, its torchvision."""

    version: VersionText
    python: Annotated[Range, Field(description="Pythons with a Linux wheel")]
    windows: Annotated[Range | None, Field(description="Pythons with a Windows wheel")] = None
    cuda: Annotated[
        str | None, Field(pattern=r"^\d+\.\d+$", description="CUDA that the Linux wheel is built with")
    ] = None
    other_cuda: Annotated[
        tuple[str, ...], Field(description="CUDA of the builds that only PyTorch's own index has")
    ] = ()
    torchvision: VersionText | None = None
    torchvision_windows: Annotated[bool, Field(description="whether it has Windows wheels")] = True
    torchvision_python: Annotated[
        Range | None, Field(description="Pythons with a wheel of that torchvision, where fewer than torch's")
    ] = None


class GitSource(_Model):
    """A git repository whose releases are tags or branches, each pinned to a commit."""

    kind: Literal["git"]
    url: str

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it."""
        return self.url


class FolderSource(_Model):
    """A folder beside the recipe, pinned by the hash of its files."""

    kind: Literal["folder"]
    path: RelativePath

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it."""
        return self.path


class SdistSource(_Model):
    """A project's source archives on the package index, each release pinned by the hash of its archive."""

    kind: Literal["sdist"]
    name: Annotated[ProjectName, Field(description="the project's name on the index")]

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it: a package URL."""
        return f"pkg:pypi/{canonicalize_name(self.name)}"


class Release(_Model):
    """One release: where it is, what it calls itself, what it can live with."""

    tag: Annotated[str | None, Field(description="git tag that must be the commit")] = None
    branch: Annotated[str | None, Field(description="git branch that contains the commit")] = None
    commit: Commit | None = None
    tree: TreeHash | None = None
    sdist: SdistHash | None = None
    version: Annotated[VersionText, Field(description="public version of the wheel")]
    torch: Range
    python: Range
    features: Annotated[tuple[str, ...], Field(description="what the smoke suite may rely on")] = ()
    ops: Annotated[
        Literal["required", "optional"],
        Field(description="whether its Python part is of use without the compiled ops (--without-ops)"),
    ] = "required"

    @property
    def pin(self) -> str:
        """What identifies the source: its commit, or the hash of its folder or archive."""
        return self.commit or self.tree or self.sdist or ""


class Build(_Model):
    """How the wheel is built in an environment that already holds torch."""

    requires: Annotated[tuple[ConditionalRequirement, ...], Field(description="build requirements")] = ()
    environment: Annotated[dict[str, str], Field(description="environment variables of the build")] = {}
    version_suffix_variable: Annotated[
        str | None, Field(description="variable the project appends to its version, if it has one")
    ] = None
    extensions: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="compiled modules and libraries of torch ops the wheel must hold"),
    ]
    cuda_extensions: Annotated[
        tuple[str, ...],
        Field(
            description="compiled modules that hold CUDA code in a CUDA build; absent means all extensions"
        ),
    ] = ()
    cuda_kernels: Annotated[
        tuple[str, ...], Field(description="names of CUDA kernels that a CUDA build must hold")
    ] = ()
    ops_features: Annotated[
        tuple[str, ...], Field(description="features that a build without compiled ops does not have")
    ] = ()
    sdist_constraints: Annotated[
        tuple[RequirementText, ...], Field(description="constraints for building dependencies from sdists")
    ] = ()
    parallel_modules: Annotated[
        bool,
        Field(
            description="whether the compiled modules can be built beside one another by setuptools: no two "
            "share a source file, and ninja is not used"
        ),
    ] = False
    stable_abi: Annotated[
        bool,
        Field(
            description="whether the sources of the CPU ops compile on torch's stable ABI (docs/facade.md), "
            "so that they are compiled so wherever torch has it"
        ),
    ] = False
    limited_api: Annotated[
        bool,
        Field(
            description="whether, compiled so, they take of pybind11 only what the facade has on CPython's "
            "limited API: one wheel then serves every CPython from 3.10 on, without headers of any"
        ),
    ] = False


class AssetScheme(_Model):
    """What stands behind a prefix of addresses that the project knows, and where it looks for their files.

    A file is expected below the root at the path of its URL.
    """

    url: Annotated[str, Field(pattern=r"^https?://", description="what replaces the prefix in a URL")]
    root: Annotated[RootName, Field(description="name of an asset root")]


class AssetEntry(Condition):
    """Weights or data that travel, and where the project looks for them."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what --asset calls it"),
    ]
    url: Annotated[
        str,
        Field(description="http(s) URL, address with a prefix of asset_schemes, or a file beside the recipe"),
    ]
    root: Annotated[
        RootName | None, Field(description="name of an asset root; absent: that of the prefix")
    ] = None
    path: Annotated[
        RelativePath | None,
        Field(description="place below the root; absent: the path of the URL, or the file's name"),
    ] = None
    sha256: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of the file; absent where nobody published one: the first download counts",
        ),
    ] = None
    licence: Annotated[str, Field(min_length=1, description="licence of the file, as its publisher says")]
    optional: Annotated[bool, Field(description="travels only when --asset names it")] = False
    unpack: Annotated[
        bool, Field(description="an archive (tar or zip), unpacked into the folder that it lies in")
    ] = False

    @property
    def is_local(self) -> bool:
        """Whether it is a file beside the recipe."""
        return "://" not in self.url


class Connection(_Model):
    """An attempt to reach another machine that is no problem: of a module, to an address, or both."""

    module: Annotated[
        str | None, Field(min_length=1, description="top-level module that tries it; absent means any")
    ] = None
    address: Annotated[
        str | None,
        Field(min_length=1, description="host, or host:port; absent means any", examples=["example.org:443"]),
    ] = None
    reason: Annotated[str, Field(min_length=1, description="why it does no harm without a network")]

    @model_validator(mode="after")
    def _about_something(self) -> "Connection":
        if self.module is None and self.address is None:
            raise ValueError("needs a module or an address")
        return self


class Smoke(_Model):
    """The suite that proves an installation; its folder travels in the bundle."""

    path: Annotated[RelativePath, Field(description="folder beside the recipe")]
    imports: Annotated[tuple[str, ...], Field(min_length=1, description="modules that must import")]
    modules: Annotated[tuple[str, ...], Field(min_length=1, description="modules that hold the checks")]
    settings: dict[str, str | int | float | bool] = {}
    connections: Annotated[
        tuple[Connection, ...],
        Field(description="attempts to reach another machine that verification may see, with the reason"),
    ] = ()


class Recipe(_Model):
    """One project: source, releases, and everything a build of them needs to know."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    summary: str
    license: str
    distribution: Annotated[str, Field(description="name of the project's wheel")]
    source: Annotated[GitSource | FolderSource | SdistSource, Field(discriminator="kind")]
    build: Build
    torch: Annotated[
        tuple[Torch, ...], Field(description="torch to choose from; absent: wheelferry's table")
    ] = ()
    releases: Annotated[dict[str, Release], Field(min_length=1)]
    requirements: tuple[ConditionalRequirement, ...] = ()
    constraints: tuple[ConditionalRequirement, ...] = ()
    substitutions: tuple[Substitution, ...] = ()
    asset_roots: Annotated[
        dict[RootName, Variable],
        Field(
            description="folders where the project looks for weights and data: a name for each, and the "
            "environment variable that tells the project where it is"
        ),
    ] = {}
    asset_schemes: Annotated[
        dict[SchemePrefix, AssetScheme], Field(description="prefixes of addresses that the project knows")
    ] = {}
    assets: tuple[AssetEntry, ...] = ()
    smoke: Smoke

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        problems = [*self._unknown_releases(), *self._unpinned_releases(), *self._impossible_assets()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_releases(self) -> Iterable[str]:
        for table in ("requirements", "constraints", "substitutions", "assets"):
            for number, entry in enumerate(getattr(self, table)):
                for name in entry.releases:
                    if name not in self.releases:
                        yield f"{table}[{number}].releases: no release {name!r}"

    def _unpinned_releases(self) -> Iterable[str]:
        for name, release in self.releases.items():
            if self.source.kind == "folder":
                if release.tree is None:
                    yield f'releases."{name}".tree: a folder source pins each release by tree'
            elif self.source.kind == "sdist":
                if release.sdist is None:
                    yield f'releases."{name}".sdist: an sdist source pins each release by sdist'
            elif release.commit is None or (release.tag is None) == (release.branch is None):
                yield f'releases."{name}": a git source needs commit and either tag or branch'

    def _impossible_assets(self) -> Iterable[str]:
        if FILES_ROOT in self.asset_roots:
            yield f"asset_roots.{FILES_ROOT}: this name is kept for files that the user adds"
        for prefix, scheme in self.asset_schemes.items():
            if scheme.root not in self.asset_roots:
                yield f'asset_schemes."{prefix}".root: no asset root {scheme.root!r}'
        names = [entry.name for entry in self.assets]
        for number, entry in enumerate(self.assets):
            where = f"assets[{number}]"
            if entry.name in names[:number]:
                yield f"{where}.name: {entry.name!r} is there twice"
            if entry.root is not None and entry.root not in self.asset_roots:
                yield f"{where}.root: no asset root {entry.root!r}"
            yield from (f"{where}.{problem}" for problem in self._impossible_source(entry))

    def _impossible_source(self, entry: AssetEntry) -> Iterable[str]:
        """What is wrong with where an asset comes from, as the key and what to say of it."""
        prefix = entry.url.partition("://")[0] + "://"
        if entry.is_local:
            try:
                _inside(entry.url)
            except ValueError as error:
                yield f"url: {error}"
            if entry.sha256 is None:
                yield "sha256: a file beside the recipe needs one"
        elif prefix not in ("http://", "https://") and prefix not in self.asset_schemes:
            yield f"url: neither http(s) nor a prefix of asset_schemes: {prefix!r}"
        if entry.root is None and (entry.is_local or prefix not in self.asset_schemes):
            yield "root: missing, and the url has no prefix of asset_schemes that says it"


class _TorchTable(_Model):
    torch: Annotated[tuple[Torch, ...], Field(min_length=1)]


def parse_recipe(text: str, *, file: str, torch: tuple[Torch, ...] = ()) -> Recipe:
    """Read a recipe; `torch` is its table of torch releases unless it brings one.

    Raises InputError that lists every problem as ``file: key.path: message``.
    """
    recipe = _validated(Recipe, text, file)
    return recipe if recipe.torch else recipe.model_copy(update={"torch": torch})


def parse_torch_table(text: str, *, file: str) -> tuple[Torch, ...]:
    """Read a table of torch releases; errors as `parse_recipe`."""
    return _validated(_TorchTable, text, file).torch


def _validated(model: type[_M], text: str, file: str) -> _M:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # thousands of digits or brackets are no TOMLDecodeError
        raise InputError(f"{file}: not TOML: {error}") from None
    unusable = [f"{file}: {_key_path(place)}has a NUL character" for place in _with_nul(data)]
    if unusable:
        raise InputError("\n".join(unusable), hint="no path, address or variable can have one")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [f"{file}: {_key_path(p['loc'])}{' '.join(p['msg'].split())}" for p in error.errors()]
        raise InputError(
            "\n".join(problems),
            hint="the keys are described by recipes/recipe.schema.json (wheelferry recipes --schema)",
        ) from None


def _with_nul(document: object) -> Iterable[tuple[int | str, ...]]:
    """The places of texts that no file system and no process takes."""
    waiting: list[tuple[tuple[int | str, ...], object]] = [((), document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            yield from ((*place, key) for key in value if "\0" in key)
            waiting += [((*place, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*place, number), item) for number, item in enumerate(value)]
        elif isinstance(value, str) and "\0" in value:
            yield place


def _key_path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in ("git", "folder", "sdist") and path == "source":
            continue  # the discriminator's own branch is not a key
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and "." not in part
            path += ("." if path else "") + (part if plain else f'"{part}"')
    return f"{path}: " if path else ""


def schema() -> str:
    """The JSON Schema of recipe files, as the text published beside them."""
    document: dict[str, Any] = Recipe.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "wheelferry recipe"
    return json.dumps(document, indent=2) + "\n"
