"""``bundle.json``: what a bundle is made of. Its text is canonical, so one changed byte shows."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from wheelferry.errors import InputError
from wheelferry.models.present import PresentPackage
from wheelferry.models.tables.processors import ProcessorNeed
from wheelferry.models.targets import Target, parse_backend, parse_platform, parse_python, parse_torch

FORMAT = 1
# Of a bundle of several projects: whoever knows one project only must not take it for a bundle of the first.
FORMAT_OF_SEVERAL = 2
# Of a bundle that does not carry all it requires: an older installer would install what cannot work.
FORMAT_OF_THIN = 3
FORMATS = (FORMAT, FORMAT_OF_SEVERAL, FORMAT_OF_THIN)
NAME = "bundle.json"
# What verification itself writes; not part of what is shipped and therefore not listed.
REPORT = "report"
# What signs the manifest, where it was signed; not listed in it either.
SIGNATURE = f"{NAME}.sig"
_Value = TypeVar("_Value")
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError)
_PROJECT = ("recipe", "release", "distribution", "source", "commit")
_TEXTS = (*_PROJECT, "created_by")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of the bundle: path with forward slashes, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DeviceCode:
    """What the built wheel of a CUDA target must hold.

    `modules` are the compiled modules with CUDA code, `images` what each has for the GPU (``sm_90`` machine
    code, ``compute_90`` PTX), `kernels` the names that must occur in one of them.
    """

    modules: tuple[str, ...]
    images: tuple[str, ...]
    kernels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """What something takes once it is unpacked: bytes, files, and its longest path, in characters."""

    bytes: int
    files: int
    longest_path: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """A Python that travels for a client that has none.

    `path` is the archive in the bundle, `program` the interpreter inside it, `version` its full version.
    """

    path: str
    program: str
    version: str
    footprint: Footprint


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """One project of a bundle: recipe, release, its wheel's name, where its source is and what pins it."""

    recipe: str
    release: str
    distribution: str
    source: str
    commit: str

    @property
    def title(self) -> str:
        """``sample@1.0``."""
        return f"{self.recipe}@{self.release}"


@dataclass(frozen=True, kw_only=True)
class FurtherWheel:
    """The wheel of a project beside the first on one target: see the keys of `TargetEntry`."""

    recipe: str
    built: str
    extensions: tuple[str, ...]
    cuda: DeviceCode | None = None
    on_stable_abi: bool = False
    plan: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values; what it does not have is not a key either."""
        optional = ("cuda", "on_stable_abi", "plan")
        return {name: value for name, value in asdict(self).items() if value or name not in optional}


@dataclass(frozen=True, kw_only=True)
class TargetEntry:
    """One target of a bundle: its lock files, the wheel that was built for it, what installs it.

    `extensions` are the compiled modules that the wheel must have; `cuda` is None without CUDA ops.
    `on_stable_abi` says that its ops serve more than this torch.
    `plan` is the digest of what the recipe said for the target, `requested` the requirements that were asked
    for beside the project, `excluded` the packages that were left out although something requires them.
    `present` are required too, and must be on the client already.
    `footprint` is that of all its wheels; `processor` are those that not every processor of the platform
    runs, None where nobody looked. `uv` and `pip` are the bundle's paths of the installers' own
    wheels. `further` are the wheels of the bundle's other projects. Older bundles lack some of these.
    """

    target: Target
    requirements: str
    pylock: str
    built: str
    extensions: tuple[str, ...]
    cuda: DeviceCode | None = None
    on_stable_abi: bool = False
    plan: str = ""
    requested: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    present: tuple[PresentPackage, ...] = ()
    footprint: Footprint | None = None
    processor: tuple[ProcessorNeed, ...] | None = None
    uv: str = ""
    pip: str = ""
    runtime: Runtime | None = None
    further: tuple[FurtherWheel, ...] = ()

    @property
    def has_ops(self) -> bool:
        """Whether the wheel has compiled ops; one made with --without-ops has none."""
        return bool(self.extensions)

    @property
    def of_each_project(self) -> tuple["TargetEntry", ...]:
        """The entry as that of each project by itself, in the bundle's order: with that one's wheel."""
        return (
            replace(self, further=()),
            *(
                replace(
                    self,
                    built=one.built,
                    extensions=one.extensions,
                    cuda=one.cuda,
                    on_stable_abi=one.on_stable_abi,
                    plan=one.plan,
                    further=(),
                )
                for one in self.further
            ),
        )

    @property
    def all_extensions(self) -> tuple[str, ...]:
        """The compiled modules of all projects."""
        return (*self.extensions, *(name for one in self.further for name in one.extensions))

    @property
    def named(self) -> tuple[str, ...]:
        """The bundle's paths of the files that the target cannot be without, its lock's wheels apart."""
        paths = [self.requirements, self.pylock, f"wheelhouse/{self.built}", self.uv, self.pip]
        paths += [f"wheelhouse/{one.built}" for one in self.further]
        paths += [self.runtime.path] if self.runtime else []
        return tuple(path for path in paths if path)

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values; what it does not have is not a key either."""
        document = asdict(self)
        optional = (
            "cuda", "on_stable_abi", "plan", "requested", "excluded", "footprint", "uv", "pip", "runtime",
            "further", "present",
        )  # fmt: skip
        document["further"] = [one.to_json() for one in self.further]
        document["present"] = [one.to_json() for one in self.present]
        for name in optional:
            if not document[name]:
                del document[name]
        if self.processor is None:
            del document["processor"]
        return document


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of weights or data in the bundle, and where it goes.

    `path` is its place in the bundle, ``assets/<root>/<where the project looks below that root>``. With
    `unpack` it is an archive, whose content goes to the folder that it lies in.
    """

    path: str
    licence: str
    origin: str
    unpack: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says of itself. `origins` tells where each wheel came from.

    `asset_variables` maps a root of assets (``cache``) to the environment variable that tells the project
    where it is (``FVCORE_CACHE``). `further` are projects beside the first, which the keys here are about.
    """

    recipe: str
    release: str
    distribution: str
    source: str
    commit: str
    created_by: str
    targets: tuple[TargetEntry, ...]
    files: tuple[File, ...]
    origins: Mapping[str, str] = field(default_factory=dict)
    assets: tuple[Asset, ...] = ()
    asset_variables: Mapping[str, str] = field(default_factory=dict)
    further: tuple[Project, ...] = ()

    @property
    def projects(self) -> tuple[Project, ...]:
        """All projects, the first first."""
        return (Project(**{name: getattr(self, name) for name in _PROJECT}), *self.further)

    @property
    def title(self) -> str:
        """``sample@1.0``; of several projects ``sample@1.0 + other@2.1``."""
        return " + ".join(project.title for project in self.projects)

    def to_text(self) -> str:
        """The canonical text: sorted keys, fixed indentation, and a digest over everything else."""
        body = self._body()
        return _canonical({**body, "digest": _digest(body)})

    @property
    def digest(self) -> str:
        """SHA-256 over the manifest's content: names the whole bundle."""
        return _digest(self._body())

    @property
    def _format(self) -> int:
        if any(entry.present for entry in self.targets):
            return FORMAT_OF_THIN
        return FORMAT_OF_SEVERAL if self.further else FORMAT

    def _body(self) -> dict[str, Any]:
        carried = {
            "assets": [asdict(asset) for asset in sorted(self.assets, key=lambda a: a.path)],
            "asset_variables": dict(self.asset_variables),
        }
        further = {"further": [asdict(project) for project in self.further]}
        return {
            **(carried if self.assets else {}),
            **(further if self.further else {}),
            "format": self._format,
            "recipe": self.recipe,
            "release": self.release,
            "distribution": self.distribution,
            "source": self.source,
            "commit": self.commit,
            "created_by": self.created_by,
            "targets": [entry.to_json() for entry in self.targets],
            "files": [asdict(file) for file in sorted(self.files, key=lambda f: f.path)],
            "origins": dict(self.origins),
        }


class _Unfit(Exception):
    """A value that cannot be, and the path of its key: ``targets[0].runtime.path``."""


def parse_manifest(text: str, *, file: str = NAME) -> Manifest:
    """Read a manifest; raises InputError, which names `file` and key, for what `to_text` did not write so."""
    try:
        data = json.loads(text)
        with _at("format"):
            version = data["format"]
        if version not in FORMATS:
            raise InputError(
                f"{file} has format {json.dumps(version)[:20]}, this wheelferry reads {FORMAT} to "
                f"{FORMAT_OF_THIN}",
                hint="use the wheelferry that made the bundle, or a newer one",
            )
        manifest = Manifest(
            **{name: _read(data, name, _text) for name in _TEXTS},
            targets=_each(data, "targets", _target_entry),
            files=_each(data, "files", _file),
            origins=_read(data, "origins", _texts_by_name),
            assets=_each({"assets": [], **data}, "assets", _asset),
            asset_variables=_read({"asset_variables": {}, **data}, "asset_variables", _texts_by_name),
            further=_each({"further": [], **data}, "further", _project),
        )
        _require_once("further", (project.recipe for project in manifest.projects))
        _require_all_wheels(manifest)
        _require_once("files", (file.path for file in manifest.files))
        _require_once("targets", (entry.target.name for entry in manifest.targets))
        return manifest
    except _Unfit as error:
        reason = str(error)
    except (ValueError, RecursionError) as error:  # json's own, which name line and column
        reason = str(error)
    reason = " ".join(reason.split())[:300]
    raise InputError(
        f"{file} is not a bundle's manifest: {reason}", hint="copy the bundle again from where it was made"
    )


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Say of whatever is wrong inside where that is."""
    try:
        yield
    except _Unfit as error:
        separator = "" if str(error).startswith("[") else "."
        raise _Unfit(f"{place}{separator}{error}") from None
    except KeyError as error:
        raise _Unfit(
            f"{place}: {error} is missing" if error.args[0] != place else f"{place} is missing"
        ) from None
    except _UNFIT as error:
        raise _Unfit(f"{place}: {error}") from None


def _read(data: Mapping[str, Any], name: str, parse: Callable[[Any], _Value]) -> _Value:
    with _at(name):
        return parse(data[name])


def _each(data: Mapping[str, Any], name: str, parse: Callable[[Any], _Value]) -> tuple[_Value, ...]:
    """A list, of which every item says where it is when it cannot be."""
    found = []
    with _at(name):
        if not isinstance(data[name], list):
            raise TypeError(f"{str(data[name])[:40]!r} is not a list")
        for number, item in enumerate(data[name]):
            with _at(f"[{number}]"):
                found.append(parse(item))
    return tuple(found)


def _require_once(place: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _Unfit(f"{place}: {name!r} is there twice")
        seen.add(name)


def _require_all_wheels(manifest: Manifest) -> None:
    """Raise unless each target has the wheels of the bundle's projects, in their order."""
    names = [project.recipe for project in manifest.further]
    for number, entry in enumerate(manifest.targets):
        found = [wheel.recipe for wheel in entry.further]
        if found != names:
            raise _Unfit(f"targets[{number}].further: of {found} instead of {names}")


def _texts_by_name(data: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in data.items()}


def is_untouched(text: str, manifest: Manifest) -> bool:
    """Whether `text` is, byte for byte, what wheelferry writes for `manifest`."""
    return text == manifest.to_text()


def _target_entry(data: Mapping[str, Any]) -> TargetEntry:
    return TargetEntry(
        target=_read(data, "target", _target),
        requirements=_read(data, "requirements", _file_name),
        pylock=_read(data, "pylock", _file_name),
        built=_read(data, "built", _file_name),
        extensions=_read(data, "extensions", _texts),
        cuda=_read(data, "cuda", _device_code) if "cuda" in data else None,
        on_stable_abi=bool(data.get("on_stable_abi", False)),
        plan=_read({"plan": "", **data}, "plan", _text),
        requested=_read({"requested": [], **data}, "requested", _requirements),
        excluded=_read({"excluded": [], **data}, "excluded", _texts),
        present=_each({"present": [], **data}, "present", _present),
        footprint=_read(data, "footprint", _footprint) if "footprint" in data else None,
        processor=_each(data, "processor", _processor_need) if "processor" in data else None,
        uv=_read(data, "uv", _inside) if "uv" in data else "",
        pip=_read(data, "pip", _inside) if "pip" in data else "",
        runtime=_read(data, "runtime", _runtime) if "runtime" in data else None,
        further=_each({"further": [], **data}, "further", _further_wheel),
    )


def _present(data: Mapping[str, Any]) -> PresentPackage:
    return PresentPackage(
        name=canonicalize_name(_read(data, "name", _text)),
        version=Version(_read(data, "version", _text)),
        cuda=_read({"cuda": "", **data}, "cuda", _text),
        cxx11_abi=bool(data["cxx11_abi"]) if "cxx11_abi" in data else None,
        libraries=tuple(sorted(_read({"libraries": {}, **data}, "libraries", _texts_by_name).items())),
    )


def _further_wheel(data: Mapping[str, Any]) -> FurtherWheel:
    return FurtherWheel(
        recipe=_read(data, "recipe", _text),
        built=_read(data, "built", _file_name),
        extensions=_read(data, "extensions", _texts),
        cuda=_read(data, "cuda", _device_code) if "cuda" in data else None,
        on_stable_abi=bool(data.get("on_stable_abi", False)),
        plan=_read({"plan": "", **data}, "plan", _text),
    )


def _project(data: Mapping[str, Any]) -> Project:
    _read(data, "recipe", _file_name)  # of its smoke suite's folder
    return Project(**{name: _read(data, name, _text) for name in _PROJECT})


def _target(data: Mapping[str, Any]) -> Target:
    target = Target(**{name: _read(data, name, _text) for name in ("python", "platform", "torch", "backend")})
    parse_python(target.python)
    parse_backend(target.backend)
    if parse_torch(target.torch) != target.torch:
        raise ValueError(f"{target.torch} is not a torch version as it is written here")
    if parse_platform(target.platform, host_glibc_minor=None) != target.platform:
        raise ValueError(f"{target.platform} is not a platform tag")
    return target


def _footprint(data: Mapping[str, Any]) -> Footprint:
    return Footprint(**{name: _read(data, name, _whole) for name in ("bytes", "files", "longest_path")})


def _processor_need(data: Mapping[str, Any]) -> ProcessorNeed:
    return ProcessorNeed(
        package=canonicalize_name(_read(data, "package", _text)),
        version=_read(data, "version", _text),
        needs=_read(data, "needs", _texts),
        instead=_read({"instead": "", **data}, "instead", _text),
    )


def _runtime(data: Mapping[str, Any]) -> Runtime:
    return Runtime(
        path=_read(data, "path", _inside),
        program=_read(data, "program", _inside),
        version=_read(data, "version", _text),
        footprint=_read(data, "footprint", _footprint),
    )


def _asset(data: Mapping[str, Any]) -> Asset:
    return Asset(
        path=_read(data, "path", _inside),
        licence=_read(data, "licence", _text),
        origin=_read(data, "origin", _text),
        unpack=bool(data["unpack"]),
    )


def _device_code(data: Mapping[str, Any]) -> DeviceCode:
    return DeviceCode(**{name: _read(data, name, _texts) for name in ("modules", "images", "kernels")})


def _file(data: Mapping[str, Any]) -> File:
    return File(
        path=_read(data, "path", _inside),
        size=_read(data, "size", _whole),
        sha256=_read(data, "sha256", _text),
    )


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"{str(value)[:40]!r} is not a whole number of 63 bits")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{str(values)[:40]!r} is not a list")
    return tuple(_text(value) for value in values)


def _requirements(values: object) -> tuple[str, ...]:
    texts = _texts(values)
    for text in texts:
        Requirement(text)  # InvalidRequirement is a ValueError
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is not a text")
    value.encode()  # half of a surrogate pair is a ValueError, here and not where it is printed
    if "\0" in value:
        raise ValueError(f"{value[:40]!r} has a NUL character")
    return value


def _file_name(value: object) -> str:
    """A plain file name: a manifest must not lead out of its folder."""
    name = _text(value)
    if not name or name.startswith(".") or any(sign in name for sign in "/\\:\n"):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


def _inside(value: object) -> str:
    """A relative path with forward slashes that stays in the bundle."""
    path = _text(value)
    parts = path.split("/")
    if "\\" in path or ":" in path or "\n" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is not a path inside the bundle")
    return path


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()
