"""A recipe: the facts needed to build one project's releases, read from TOML.

pydantic does the validating because it names every problem at once with its key path and
publishes the JSON Schema that editors complete from. Parsing is validation: a `Recipe` that
exists is consistent.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, model_validator

from wheelferry.models.recipes.fields import (
    Commit,
    PackageName,
    ProjectName,
    Range,
    ReferenceText,
    RelativePath,
    RequirementText,
    RootName,
    SchemePrefix,
    SdistHash,
    TreeHash,
    Variable,
    VersionText,
    in_range,
    name_of,
    stay_inside,
)
from wheelferry.models.targets import Target

# Files that the user adds by hand land in this root; no recipe can give it another meaning.
FILES_ROOT = "files"


class Model(BaseModel):
    """A table of a recipe file: frozen, and every key must be known."""

    # a command that reads none of these must not wait for their validators
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Condition(Model):
    """When an entry applies; an absent key means always."""

    releases: Annotated[tuple[str, ...], Field(description="release names; absent means all")] = ()
    torch: Annotated[Range, Field(description="range of torch versions")] = ""
    python: Annotated[Range, Field(description="range of Python versions")] = ""
    platform: Annotated[
        Literal["linux", "windows", "macos"] | None,
        Field(description="what the target runs; absent means any"),
    ] = None
    reason: Annotated[str, Field(description="why the entry exists, for the reader")] = ""

    def applies(self, release: str, target: Target) -> bool:
        """Whether the entry counts for this release on this target."""
        return (
            (not self.releases or release in self.releases)
            and in_range(self.torch, target.torch)
            and in_range(self.python, target.python)
            and self.platform in (None, target.system_name.lower())
        )


class ConditionalRequirement(Condition):
    """A requirement (or constraint) with the condition under which it counts."""

    requires: RequirementText

    @property
    def distribution(self) -> str:
        """The name of what is required."""
        return name_of(self.requires)


class Substitution(Condition):
    """One token replaced in the source before the build; a count that differs is an error."""

    file: Annotated[RelativePath, Field(description="path inside the source tree")]
    old: Annotated[str, Field(min_length=1, description="text to find, exactly")]
    new: Annotated[str, Field(description="text to put in its place")]
    count: Annotated[int, Field(ge=1, description="how often `old` must occur")]
    without_ops: Annotated[
        bool, Field(description="only in a build without compiled ops: what leaves the compiler out")
    ] = False


class Torch(Model):
    """A torch release: the Pythons that it has wheels for, the CUDA of its builds, its torchvision."""

    version: VersionText
    python: Annotated[Range, Field(description="Pythons with a Linux wheel")]
    windows: Annotated[Range | None, Field(description="Pythons with a Windows wheel")] = None
    macos: Annotated[Range | None, Field(description="Pythons with a macOS wheel for Apple's processors")] = (
        None
    )
    macos_oldest: Annotated[
        int, Field(ge=11, description="the oldest macOS that the names of those wheels allow")
    ] = 11
    cuda: Annotated[
        str | None, Field(pattern=r"^\d+\.\d+$", description="CUDA that the Linux wheel is built with")
    ] = None
    other_cuda: Annotated[
        tuple[str, ...], Field(description="CUDA of the builds that only PyTorch's own index has")
    ] = ()
    torchvision: VersionText | None = None
    torchvision_windows: Annotated[bool, Field(description="whether it has Windows wheels")] = True
    torchvision_macos: Annotated[
        bool, Field(description="whether it has macOS wheels for Apple's processors")
    ] = True
    torchvision_python: Annotated[
        Range | None, Field(description="Pythons with a wheel of that torchvision, where fewer than torch's")
    ] = None


class _Source(Model):
    """What all kinds of sources can have."""

    subdirectory: Annotated[
        RelativePath | None,
        Field(description="folder in the source that has the project's setup.py; absent: the top"),
    ] = None


class GitSource(_Source):
    """A git repository whose releases are tags or branches, each pinned to a commit."""

    kind: Literal["git"]
    url: str

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it."""
        return self.url


class FolderSource(_Source):
    """A folder beside the recipe, pinned by the hash of its files."""

    kind: Literal["folder"]
    path: RelativePath

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it."""
        return self.path


class SdistSource(_Source):
    """A project's source archives on the package index, each release pinned by the hash of its archive."""

    kind: Literal["sdist"]
    name: Annotated[ProjectName, Field(description="the project's name on the index")]

    @property
    def place(self) -> str:
        """Where the source is, as a bundle's manifest states it: a package URL."""
        return f"pkg:pypi/{canonicalize_name(self.name)}"


class Submodule(Model):
    """A git submodule of a release: its repository, and the commit that the release's own names."""

    url: str
    commit: Commit


class Release(Model):
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
    projects: Annotated[
        tuple[ReferenceText, ...],
        Field(
            description="releases of other recipes that it cannot be without and that no index has: they are "
            "built and travel in the same bundle; a file's path counts from the recipe's folder"
        ),
    ] = ()

    submodules: Annotated[
        dict[RelativePath, Submodule],
        Field(description="git submodules that the build needs, by their place in the source"),
    ] = {}

    @property
    def pin(self) -> str:
        """What identifies the source: its commit, or the hash of its folder or archive."""
        return self.commit or self.tree or self.sdist or ""


class Build(Model):
    """How the wheel is built in an environment that already holds torch."""

    requires: Annotated[tuple[ConditionalRequirement, ...], Field(description="build requirements")] = ()
    environment: Annotated[dict[str, str], Field(description="environment variables of the build")] = {}
    cuda_environment: Annotated[
        dict[str, str], Field(description="environment variables that a CUDA build has beside them")
    ] = {}
    version_suffix_variable: Annotated[
        str | None, Field(description="variable the project appends to its version, if it has one")
    ] = None
    extensions: Annotated[
        tuple[str, ...],
        Field(description="compiled modules and libraries of torch ops that every wheel must hold"),
    ] = ()
    cpu_extensions: Annotated[
        tuple[str, ...], Field(description="those that only a wheel without CUDA must hold")
    ] = ()
    cuda_extensions: Annotated[
        tuple[str, ...],
        Field(
            description="compiled modules that hold CUDA code in a CUDA build; absent means all extensions"
        ),
    ] = ()
    cuda_host_extensions: Annotated[
        tuple[str, ...],
        Field(description="compiled modules that only a CUDA build has, and that hold no CUDA code"),
    ] = ()
    cuda_kernels: Annotated[
        tuple[str, ...], Field(description="names of CUDA kernels that a CUDA build must hold")
    ] = ()
    cuda_from_oldest: Annotated[
        bool,
        Field(
            description="whether the GPU code of all architectures may come from that of the oldest, which "
            "is compiled once: the kernels gain nothing from what newer cards can do"
        ),
    ] = False
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

    python_only: Annotated[
        bool,
        Field(
            description="whether the project has no compiled modules of its own: it goes with ops that other "
            "projects in its bundle have"
        ),
    ] = False
    packages: Annotated[
        tuple[PackageName, ...],
        Field(
            description="Python packages of a folder that has no setup.py and no pyproject.toml of its own: "
            "wheelferry writes the configuration that setuptools needs to pack them, with what lies in them; "
            "implies python_only"
        ),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _packages_are_python(cls, data: Any) -> Any:
        return {"python_only": True, **data} if isinstance(data, dict) and data.get("packages") else data

    @model_validator(mode="after")
    def _every_wheel_has_modules(self) -> "Build":
        if self.packages and not self.python_only:
            raise ValueError("packages: they are packed without a compiler, and python_only is false")
        named = self.extensions or self.cpu_extensions or self.cuda_extensions
        if not (named or self.python_only):
            raise ValueError("needs extensions, cpu_extensions or cuda_extensions, or python_only")
        if self.python_only and (named or self.cuda_host_extensions):
            raise ValueError("python_only: it says that there are no compiled modules, and others are named")
        return self

    def modules(self, *, cuda: bool) -> tuple[str, ...]:
        """The compiled modules that a wheel must hold, one with CUDA ops or one without."""
        own = (*self.cuda_host_extensions, *self.cuda_extensions) if cuda else self.cpu_extensions
        return tuple(dict.fromkeys((*self.extensions, *own)))


class AssetScheme(Model):
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


class Connection(Model):
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


class Smoke(Model):
    """The suite that proves an installation; its folder travels in the bundle."""

    path: Annotated[RelativePath, Field(description="folder beside the recipe")]
    imports: Annotated[tuple[str, ...], Field(min_length=1, description="modules that must import")]
    modules: Annotated[tuple[str, ...], Field(min_length=1, description="modules that hold the checks")]
    own_data: Annotated[
        tuple[str, ...],
        Field(description="modules of checks that train or evaluate on a data set of the user's"),
    ] = ()
    settings: dict[str, str | int | float | bool] = {}
    connections: Annotated[
        tuple[Connection, ...],
        Field(description="attempts to reach another machine that verification may see, with the reason"),
    ] = ()


class Program(Model):
    """A program that clients run in the installed environment: ``DIR/wheelferry NAME``."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="what --app and the client call it")]
    help: Annotated[str, Field(pattern=r"^[^\n]+$", description="one line that says what it does")]
    module: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="module in the folder; its main(arguments) does it and returns the exit status",
        ),
    ]
    uses: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...],
        Field(description="packages of wheelferry's own that travel beside the module", examples=[["page"]]),
    ] = ()
    requires: Annotated[
        tuple[RequirementText, ...],
        Field(
            description="what it requires beside the project; with any, it travels only when --app names it"
        ),
    ] = ()

    @property
    def is_optional(self) -> bool:
        """Whether it travels only when it is asked for: what it requires would burden every other bundle."""
        return bool(self.requires)


# --app takes it for every program of the recipe.
ALL_PROGRAMS = "all"
# What the installer does itself when it is asked for by that name.
_OF_THE_INSTALLER = ("data",)


class Apps(Model):
    """Programs for the client; their folder travels in the bundle."""

    path: Annotated[RelativePath, Field(description="folder beside the recipe")]
    programs: Annotated[tuple[Program, ...], Field(min_length=1)]


class Recipe(Model):
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
    apps: Apps | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        problems = [
            *self._unknown_releases(),
            *self._unpinned_releases(),
            *self._impossible_assets(),
            *self._impossible_programs(),
        ]
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
            if release.submodules and self.source.kind != "git":
                yield f'releases."{name}".submodules: only a git source has submodules'
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

    def _impossible_programs(self) -> Iterable[str]:
        names = [program.name for program in self.apps.programs] if self.apps else []
        for number, name in enumerate(names):
            if name == ALL_PROGRAMS:
                yield f"apps.programs[{number}].name: {name!r} is what --app calls every program"
            if name in _OF_THE_INSTALLER:
                yield f"apps.programs[{number}].name: {name!r} is a command of every installation"
            if name in names[:number]:
                yield f"apps.programs[{number}].name: {name!r} is there twice"

    def _impossible_source(self, entry: AssetEntry) -> Iterable[str]:
        """What is wrong with where an asset comes from, as the key and what to say of it."""
        prefix = entry.url.partition("://")[0] + "://"
        if entry.is_local:
            try:
                stay_inside(entry.url)
            except ValueError as error:
                yield f"url: {error}"
            if entry.sha256 is None:
                yield "sha256: a file beside the recipe needs one"
        elif prefix not in ("http://", "https://") and prefix not in self.asset_schemes:
            yield f"url: neither http(s) nor a prefix of asset_schemes: {prefix!r}"
        if entry.root is None and (entry.is_local or prefix not in self.asset_schemes):
            yield "root: missing, and the url has no prefix of asset_schemes that says it"
