"""``bundle.json``: what a bundle is made of. Its text is canonical, so one changed byte shows."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wheelferry.errors import InputError
from wheelferry.targets import Target, parse_backend, parse_platform, parse_python, parse_torch

FORMAT = 1
NAME = "bundle.json"
# What verification itself writes; not part of what is shipped and therefore not listed.
REPORT = "report"
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


@dataclass(frozen=True, kw_only=True)
class TargetEntry:
    """One target of a bundle: its lock files, and the wheel that was built for it.

    `extensions` are the compiled modules that the wheel must have; `cuda` is None without CUDA ops.
    `plan` is the digest of what the recipe said for the target; bundles older than it have none.
    """

    target: Target
    requirements: str
    pylock: str
    built: str
    extensions: tuple[str, ...]
    cuda: DeviceCode | None = None
    plan: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values; what it does not have is no key either."""
        document = asdict(self)
        for name in ("cuda", "plan"):
            if not document[name]:
                del document[name]
        return document


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says of itself. `origins` tells where each wheel came from."""

    recipe: str
    release: str
    distribution: str
    source: str
    commit: str
    created_by: str
    targets: tuple[TargetEntry, ...]
    files: tuple[File, ...]
    origins: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """The canonical text: sorted keys, fixed indentation, and a digest over everything else."""
        body = self._body()
        return _canonical({**body, "digest": _digest(body)})

    @property
    def digest(self) -> str:
        """SHA-256 over the manifest's content: names the whole bundle."""
        return _digest(self._body())

    def _body(self) -> dict[str, Any]:
        return {
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
        plan=_text(data.get("plan", "")),
    )


def _device_code(data: Mapping[str, Any]) -> DeviceCode:
    return DeviceCode(
        modules=_texts(data["modules"]), images=_texts(data["images"]), kernels=_texts(data["kernels"])
    )


def _file(data: Mapping[str, Any]) -> File:
    size = data["size"]
    if not isinstance(size, int):
        raise TypeError(f"size is {size!r}")
    return File(path=_text(data["path"]), size=size, sha256=_text(data["sha256"]))


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return tuple(_text(value) for value in values)


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


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()
