"""``bundle.json``: what a bundle is made of. Its text is canonical, so one changed byte shows."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from packaging.requirements import Requirement

from wheelferry.errors import InputError
from wheelferry.targets import Target, parse_backend, parse_platform, parse_python, parse_torch

FORMAT = 1
NAME = "bundle.json"
# What verification itself writes; not part of what is shipped and therefore not listed.
REPORT = "report"
# What signs the manifest, where it was signed; not listed in it either.
SIGNATURE = f"{NAME}.sig"
_TEXTS = ("recipe", "release", "distribution", "source", "commit", "created_by")


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


@dataclass(frozen=True, kw_only=True)
class TargetEntry:
    """One target of a bundle: its lock files, the wheel that was built for it, what installs it.

    `extensions` are the compiled modules that the wheel must have; `cuda` is None without CUDA ops.
    `on_stable_abi` says that its ops serve more than this torch.
    `plan` is the digest of what the recipe said for the target, `requested` the requirements that were asked
    for beside the project. `footprint` is that of all its wheels, `uv` and `pip` are the bundle's paths of
    the installers' own wheels. Older bundles lack some of these.
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
    footprint: Footprint | None = None
    uv: str = ""
    pip: str = ""
    runtime: Runtime | None = None

    @property
    def has_ops(self) -> bool:
        """Whether the wheel has compiled ops; one made with --without-ops has none."""
        return bool(self.extensions)

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values; what it does not have is no key either."""
        document = asdict(self)
        for name in ("cuda", "on_stable_abi", "plan", "requested", "footprint", "uv", "pip", "runtime"):
            if not document[name]:
                del document[name]
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
    where it is (``FVCORE_CACHE``).
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

    def to_text(self) -> str:
        """The canonical text: sorted keys, fixed indentation, and a digest over everything else."""
        body = self._body()
        return _canonical({**body, "digest": _digest(body)})

    @property
    def digest(self) -> str:
        """SHA-256 over the manifest's content: names the whole bundle."""
        return _digest(self._body())

    def _body(self) -> dict[str, Any]:
        carried = {
            "assets": [asdict(asset) for asset in sorted(self.assets, key=lambda a: a.path)],
            "asset_variables": dict(self.asset_variables),
        }
        return {
            **(carried if self.assets else {}),
            "format": FORMAT,
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


def parse_manifest(text: str) -> Manifest:
    """Read a manifest; raises InputError for a text that `to_text` did not write in this form."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise InputError(
                f"{NAME} has format {data['format']}, this wheelferry reads {FORMAT}",
                hint="use the wheelferry that made the bundle, or a newer one",
            )
        manifest = Manifest(
            **{name: _text(data[name]) for name in _TEXTS},
            targets=tuple(_target_entry(entry) for entry in data["targets"]),
            files=tuple(_file(file) for file in data["files"]),
            origins={_text(name): _text(origin) for name, origin in data["origins"].items()},
            assets=tuple(_asset(asset) for asset in data.get("assets", [])),
            asset_variables={
                _text(root): _text(variable) for root, variable in data.get("asset_variables", {}).items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{NAME} is not a bundle's manifest ({type(error).__name__}: {error})") from None
    return manifest


def is_untouched(text: str, manifest: Manifest) -> bool:
    """Whether `text` is, byte for byte, what wheelferry writes for `manifest`."""
    return text == manifest.to_text()


def _target_entry(data: Mapping[str, Any]) -> TargetEntry:
    fields = {name: _text(data["target"][name]) for name in ("python", "platform", "torch", "backend")}
    target = Target(**fields)
    parse_python(target.python)
    parse_torch(target.torch)
    parse_backend(target.backend)
    if parse_platform(target.platform, host_glibc_minor=None) != target.platform:
        raise ValueError(f"{target.platform} is no platform tag")
    return TargetEntry(
        target=target,
        requirements=_file_name(data["requirements"]),
        pylock=_file_name(data["pylock"]),
        built=_file_name(data["built"]),
        extensions=_texts(data["extensions"]),
        cuda=_device_code(data["cuda"]) if "cuda" in data else None,
        on_stable_abi=bool(data.get("on_stable_abi", False)),
        plan=_text(data.get("plan", "")),
        requested=_requirements(data.get("requested", [])),
        footprint=_footprint(data["footprint"]) if "footprint" in data else None,
        uv=_inside(data["uv"]) if "uv" in data else "",
        pip=_inside(data["pip"]) if "pip" in data else "",
        runtime=_runtime(data["runtime"]) if "runtime" in data else None,
    )


def _footprint(data: Mapping[str, Any]) -> Footprint:
    return Footprint(**{name: _whole(data[name]) for name in ("bytes", "files", "longest_path")})


def _runtime(data: Mapping[str, Any]) -> Runtime:
    return Runtime(
        path=_inside(data["path"]),
        program=_inside(data["program"]),
        version=_text(data["version"]),
        footprint=_footprint(data["footprint"]),
    )


def _asset(data: Mapping[str, Any]) -> Asset:
    return Asset(
        path=_inside(data["path"]),
        licence=_text(data["licence"]),
        origin=_text(data["origin"]),
        unpack=bool(data["unpack"]),
    )


def _device_code(data: Mapping[str, Any]) -> DeviceCode:
    return DeviceCode(
        modules=_texts(data["modules"]), images=_texts(data["images"]), kernels=_texts(data["kernels"])
    )


def _file(data: Mapping[str, Any]) -> File:
    return File(path=_text(data["path"]), size=_whole(data["size"]), sha256=_text(data["sha256"]))


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return tuple(_text(value) for value in values)


def _requirements(values: object) -> tuple[str, ...]:
    texts = _texts(values)
    for text in texts:
        Requirement(text)  # InvalidRequirement is a ValueError
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _file_name(value: object) -> str:
    """A plain file name: a manifest must not lead out of its folder."""
    name = _text(value)
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


def _inside(value: object) -> str:
    """A relative path with forward slashes that stays in the bundle."""
    path = _text(value)
    parts = path.split("/")
    if "\\" in path or ":" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is not a path inside the bundle")
    return path


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()
