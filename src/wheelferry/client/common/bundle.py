"""The bundle as the client sees it: what its manifest says, and whether its files are what it says."""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor

from wheelferry.client.common.documents import parse_sealed, read_limited
from wheelferry.client.common.errors import BadInput, Damaged

FORMATS = (1, 2, 3)  # of one project, of several, and of one that does not carry all it requires
NAME = "bundle.json"
CHUNK = 1 << 20
_COPY = "copy the bundle again from where it was made"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)\s+--hash=sha256:(?P<sha256>[0-9a-f]{64})\s*$")

# CUDA's run-time library: nvidia-cuda-runtime-cu12, and from CUDA 13 on without the number.
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime(-cu\d+)?$")


class Pin(object):
    """One package of a lock: its name, version, hash, and the bundle's path of its wheel."""

    def __init__(self, name, version, sha256, wheel):
        self.name = name
        self.version = version
        self.sha256 = sha256
        self.wheel = wheel


class ProcessorNeed(object):
    """A package that not every processor of its platform runs.

    `needs` are its needs as `wheelferry.client.common.processors` has them; `instead` says what runs on other
    processors, where that is known.
    """

    def __init__(self, package, version, needs, instead=""):
        self.package = package
        self.version = version
        self.needs = tuple(needs)
        self.instead = instead

    def to_json(self):
        """As the manifest has it."""
        return {
            "package": self.package,
            "version": self.version,
            "needs": list(self.needs),
            "instead": self.instead,
        }


class Target(object):
    """One target of a bundle, from its entry in the manifest.

    `pins` are the packages of its lock; `present` those that it requires and does not carry, as the manifest
    has them: name, version and, of torch, cuda, cxx11_abi and libraries. `processor` are packages that not
    every processor of the platform runs, each with what it needs. `footprint` (bytes, files and longest path
    once installed), `uv`, `pip`, `runtime` and `processor` are None or empty in bundles of older versions.
    """

    def __init__(self, entry, pins):
        identity = entry["target"]
        self.python = identity["python"]
        self.platform = identity["platform"]
        self.torch = identity["torch"]
        self.backend = identity["backend"]
        self.requirements = entry["requirements"]
        self.pylock = entry["pylock"]
        self.built = entry["built"]
        self.cuda_images = _common_images([entry, *entry.get("further", ())])
        self.footprint = entry.get("footprint") or {}
        self.uv = entry.get("uv", "")
        self.pip = entry.get("pip", "")
        self.runtime = entry.get("runtime")
        self.present = list(entry.get("present", ()))
        needs = entry.get("processor")
        self.processor = None if needs is None else [ProcessorNeed(**need) for need in needs]
        self.pins = tuple(pins)

    @property
    def wheels(self):
        """The bundle's paths of its wheels."""
        return tuple(pin.wheel for pin in self.pins)

    @property
    def name(self):
        """Its identity, as wheelferry spells it: cp312-manylinux_2_28_x86_64-torch2_13_0-cpu."""
        parts = ("cp" + self.python.replace(".", ""), self.platform, "torch" + self.torch, self.backend)
        return "-".join(parts).replace(".", "_")

    @property
    def cuda(self):
        """The CUDA of its ops as (13, 0); None for a target without CUDA ops."""
        if not self.backend.startswith("cu"):
            return None
        digits = self.backend[2:]
        return int(digits[:-1]), int(digits[-1])

    @property
    def torch_cuda(self):
        """The CUDA that torch itself is built for, as (13, 0), told by NVIDIA's packages in the lock.

        None where there are none: a torch for the CPU, or one of before 2.0, which has them inside. Of one
        that is not carried the manifest says it.
        """
        for package in self.present:
            if package["name"] == "torch":
                match = re.match(r"(\d+)\.(\d+)$", package.get("cuda", ""))
                return (int(match.group(1)), int(match.group(2))) if match else None
        for pin in self.pins:
            match = _CUDA_RUNTIME.match(pin.name)
            if match:
                return tuple(int(part) for part in pin.version.split(".")[:2])
        return None


def _common_images(wheels):
    """The GPU code that the wheel of each project with CUDA ops has, as entries of a manifest say it."""
    own = [wheel["cuda"]["images"] for wheel in wheels if wheel.get("cuda")]
    return tuple(image for image in own[0] if all(image in other for other in own)) if own else ()


# What reading a document raises that has other contents than ours.
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError)


class Bundle(object):
    """A bundle's folder and the content of its manifest; who signed it, where that was checked."""

    def __init__(self, root, document, signed_by=None):
        self.root = root
        self.signed_by = signed_by
        self.document = document
        self.recipe = document["recipe"]
        self.release = document["release"]
        self.projects = [(one["recipe"], one["release"]) for one in [document, *document.get("further", [])]]
        self.digest = document["digest"]
        self.created_by = document["created_by"]
        self.files = {item["path"]: (item["size"], item["sha256"]) for item in document["files"]}
        self.targets = [Target(entry, self._pins(entry)) for entry in document["targets"]]
        self.assets = document.get("assets", [])
        self.asset_variables = document.get("asset_variables", {})

    @property
    def title(self):
        """``sample@1.0``; of several projects ``sample@1.0 + other@2.1``."""
        return " + ".join("%s@%s" % project for project in self.projects)

    def path(self, name):
        """Where the bundle's file `name` is on this machine."""
        return os.path.join(self.root, *name.split("/"))

    def target(self, name):
        """The target called `name`; BadInput when there is none."""
        for target in self.targets:
            if target.name == name:
                return target
        known = ", ".join(target.name for target in self.targets)
        raise BadInput("the bundle has no target %r" % name, hint="it has %s" % known)

    def files_for(self, target):
        """The paths of all files that an installation of `target` reads, in order, each once."""
        chosen = [target.requirements, *target.wheels]
        chosen += [name for name in self.files if name == "install.pyz"]
        chosen += [name for name in (target.uv, target.pip) if name]
        if target.runtime:
            chosen.append(target.runtime["path"])
        chosen += [asset["path"] for asset in self.assets]
        chosen += [name for name in self.files if name.startswith(("smoke/", "apps/"))]
        return list(dict.fromkeys(chosen))

    def _pins(self, entry):
        """What a target's requirements file pins; the wheels are found by their hashes."""
        wheels = {sha256: name for name, (_, sha256) in self.files.items() if name.startswith("wheelhouse/")}
        name = entry["requirements"]
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError as error:
            raise Damaged("%s cannot be read (%s)" % (self.path(name), error.strerror), hint=_COPY) from None
        pins = []
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                match = _PIN.match(line)
                if match is None or match.group("sha256") not in wheels:
                    raise Damaged("%s is damaged: %r" % (self.path(name), line[:80]), hint=_COPY)
                pins.append(Pin(wheel=wheels[match.group("sha256")], **match.groupdict()))
        return pins


def open_bundle(root, signers=None, log=None):
    """The bundle in `root`. Raises BadInput when there is none, Damaged when its manifest was altered.

    With `signers` one of them must have signed it, which is checked before its content is looked at.
    """
    raw = _read_manifest(root)
    signed_by = None
    if signers is not None:
        # here, for apply and join do not need it
        from wheelferry.client.common.signature import check_signature, read_signature

        signature = read_signature(root)
        check_signature(raw, signature, root, signers, log)
        signed_by = signers.name_of(signature.key)
    document = _parse_manifest(root, raw)
    try:
        return Bundle(root, document, signed_by)
    except _UNFIT as error:
        raise _senseless(os.path.join(root, NAME), error) from None


def read_manifest(root):
    """The content of the manifest in `root`; raises as `open_bundle`, which also reads the locks."""
    return _parse_manifest(root, _read_manifest(root))


def _read_manifest(root):
    try:
        return read_limited(os.path.join(root, NAME), "manifest", _COPY)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(
            "%s is not a bundle: it has no %s" % (root, NAME), hint="give the folder that was shipped"
        ) from None


def _parse_manifest(root, raw):
    path = os.path.join(root, NAME)
    document = parse_sealed(raw, path, FORMATS, "manifest", _COPY)
    try:
        outside = [name for name in _paths(document) if not _is_inside(name)]
    except _UNFIT as error:
        raise _senseless(path, error) from None
    if outside:
        raise Damaged("%s names paths outside of the bundle: %s" % (path, ", ".join(outside[:5])))
    return document


def _senseless(path, error):
    """The error for a manifest whose digest fits, so that somebody wrote it like that."""
    reason = "%s: %s" % (type(error).__name__, error)
    return Damaged("%s is not a bundle's manifest (%s)" % (path, reason), hint=_COPY)


def _paths(document):
    """Every path that the manifest names."""
    for item in [*document["files"], *document.get("assets", [])]:
        yield item["path"]
    for entry in document["targets"]:
        for key in ("requirements", "pylock", "built", "uv", "pip"):
            if entry.get(key):
                yield entry[key]
        for one in entry.get("further", ()):
            yield one["built"]
        if entry.get("runtime"):
            yield from (entry["runtime"]["path"], entry["runtime"]["program"], entry["runtime"]["version"])


def _is_inside(name):
    parts = name.split("/")
    return not (set(parts) & {"", ".", ".."} or any(sign in name for sign in "\\:\0\n"))


def find_damage(bundle, names, on_bytes):
    """What is wrong with the files `names`: a list of (name, reason), empty when all are as packed.

    Every byte is read and hashed; `on_bytes` hears of each piece. Hashing releases Python's lock, so two
    threads keep two cores, or one slow disk, busy.
    """

    def check(name):
        if name not in bundle.files:
            return name, "is not in the manifest"
        size, sha256 = bundle.files[name]
        try:
            seen, digest = _read(bundle.path(name), on_bytes)
        except FileNotFoundError:
            return name, "is missing"
        except OSError as error:
            return name, "cannot be read (%s)" % error.strerror
        if seen != size:
            return name, "has %d bytes instead of %d" % (seen, size)
        if digest != sha256:
            return name, "has other content than was packed"
        return None

    # the largest first, so that none of them is left alone at the end
    ordered = sorted(names, key=lambda name: -bundle.files.get(name, (0,))[0])
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return sorted(found for found in pool.map(check, ordered) if found)


def _read(path, on_bytes):
    digest = hashlib.sha256()
    seen = 0
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as stream:
        while True:
            size = stream.readinto(buffer)
            if not size:
                return seen, digest.hexdigest()
            digest.update(view[:size])
            seen += size
            on_bytes(size)
