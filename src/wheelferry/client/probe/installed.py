"""What a Python has installed: its distributions, and of torch what it is built for. Nothing is imported."""

import hashlib
import json
import os
import re

from wheelferry.client.probe.programs import PATIENCE, read_text

CHUNK = 1 << 20
_ASK_PATHS = """
import json, platform, sys, sysconfig
print(json.dumps({"version": platform.python_version(), "soabi": sysconfig.get_config_var("SOABI") or "",
                  "path": sys.path}))
"""
# Those that torch itself is made of; what it brings of others stands in folders of their own.
_LIBRARY = re.compile(r"(lib)?(torch|c10|caffe2|shm)\w*\.(so|dll)$", re.IGNORECASE)
TORCH_CONFIG = "torch/share/cmake/Torch/TorchConfig.cmake"
_MODULE = re.compile(r"_C\.[\w.-]*(so|pyd)$")


_PROGRAMS = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")


def python_of(place):
    """The Python of an environment, given by its folder, or a Python itself; None where there is none."""
    if not os.path.isdir(place):
        return os.path.abspath(place) if os.path.isfile(place) else None
    paths = [os.path.join(os.path.abspath(place), *name.split("/")) for name in _PROGRAMS]
    return next((path for path in paths if os.path.isfile(path)), None)


def look_at_environment(program, run, names=None, libraries=None):
    """What the Python at `program` would import from: a dictionary, or None when it does not answer.

    `names` limits the distributions that are listed; `libraries` are those files of torch that are hashed,
    by their paths below the folder of packages: None for all.
    """
    status, output = run([program, "-I", "-B", "-c", _ASK_PATHS], PATIENCE)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        return None
    answer = json.loads(lines[-1])
    folders = [folder for folder in answer["path"] if os.path.isdir(folder)]
    packages = installed_packages(folders)
    if names is not None:
        packages = {name: version for name, version in packages.items() if name in names}
    return {
        "python": program,
        "version": answer["version"],
        "soabi": answer["soabi"],
        "packages": packages,
        "torch": read_torch(folders, libraries),
    }


def installed_packages(folders):
    """The versions of the distributions in some folders by normalised name; the first folder counts."""
    found = {}  # type: dict[str, str]
    for folder in folders:
        try:
            entries = sorted(os.listdir(folder))
        except OSError:
            continue
        for entry in entries:
            name, version = _identity(folder, entry)
            if name:
                found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _identity(folder, entry):
    """(name, version) of a folder or file of metadata; (None, None) for anything else."""
    if not entry.endswith((".dist-info", ".egg-info")):
        return None, None
    path = os.path.join(folder, entry)
    file = {True: "METADATA", False: "PKG-INFO"}[entry.endswith(".dist-info")]
    head = read_text(os.path.join(path, file) if os.path.isdir(path) else path).partition("\n\n")[0]
    name = re.search(r"^Name:\s*(\S+)", head, re.MULTILINE)
    version = re.search(r"^Version:\s*(\S+)", head, re.MULTILINE)
    return (name.group(1), version.group(1)) if name and version else (None, None)


def read_torch(folders, libraries=None):
    """What the first torch in some folders says of its build, and the SHA-256 of its libraries; or None.

    Its `cuda` is ``none`` for a build without, and empty for one that does not say.
    """
    folder = next((f for f in folders if os.path.isfile(os.path.join(f, "torch", "version.py"))), None)
    if folder is None:
        return None
    config = os.path.join(folder, *TORCH_CONFIG.split("/"))
    wanted = torch_libraries(folder) if libraries is None else libraries
    return dict(
        parse_torch(read_text(os.path.join(folder, "torch", "version.py")), read_text(config)),
        libraries={name: digest for name in wanted for digest in [_sha256(folder, name)] if digest},
    )


def parse_torch(version_py, config):
    """The build of a torch, from the texts of its version.py and its TorchConfig.cmake."""
    version = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", version_py, re.MULTILINE)
    cuda = re.search(r"^cuda\b[^=]*=\s*(?:['\"]([\d.]+)['\"]|None)", version_py, re.MULTILINE)
    abi = re.search(r"_GLIBCXX_USE_CXX11_ABI=([01])", config)
    return {
        "version": version.group(1) if version else "",
        "cuda": "" if cuda is None else ".".join(cuda.group(1).split(".")[:2]) if cuda.group(1) else "none",
        "cxx11_abi": abi.group(1) == "1" if abi else None,
    }


def torch_libraries(folder):
    """The shared libraries of the torch in a folder of packages, as paths below that with forward slashes."""
    found = []
    for place, pattern in (("torch/lib", _LIBRARY), ("torch", _MODULE)):
        try:
            names = sorted(os.listdir(os.path.join(folder, *place.split("/"))))
        except OSError:
            continue
        found += ["%s/%s" % (place, name) for name in names if pattern.match(name)]
    return found


def _sha256(folder, name):
    """The SHA-256 of a file; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(os.path.join(folder, *name.split("/")), "rb") as stream:
            for piece in iter(lambda: stream.read(CHUNK), b""):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()
