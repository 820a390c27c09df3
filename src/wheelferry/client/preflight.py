"""Preflight: whether a bundle's target would work on a machine, decided from the machine's profile.

A profile is what `wheelferry.client.profile.collect` returns. Every finding says what was found and what is
needed; one that is a problem also says what to do.
"""

from __future__ import annotations

import ntpath
import re
from dataclasses import asdict, dataclass, replace
from typing import Optional

from wheelferry.client.common.paths import is_device

PROFILE_FORMAT = 1

OK = "ok"
NOTE = "note"
WARNING = "warning"
PROBLEM = "problem"

# The first driver that serves a CUDA release: (CUDA, Linux driver, Windows driver). Within 11, 12 and 13 the
# driver of the family's first release serves all of it. Source: the release notes of the CUDA toolkits.
CUDA_DRIVERS = (
    ((9, 2), "396.26", "397.44"),
    ((10, 0), "410.48", "411.31"),
    ((10, 1), "418.39", "418.96"),
    ((10, 2), "440.33", "441.22"),
    ((11, 0), "450.80.02", "452.39"),
    ((12, 0), "525.60.13", "528.33"),
    ((13, 0), "580", "580"),
)

# Where an environment lies below its prefix; 9999 stands for its number.
ENVIRONMENT = "envs/9999"
WINDOWS_LIMIT = 260  # MAX_PATH, the closing NUL included
# What holds the environments in %LOCALAPPDATA%: short, because torch's licence files leave little room.
WINDOWS_FOLDER = "wf"
# Of a user with the longest name that Windows' accounts can have.
_LOCAL_APP_DATA = ntpath.join("C:\\Users", "x" * 20, "AppData", "Local")
LINUX_LIMIT = 4096  # PATH_MAX, the closing NUL included
SHEBANG_LIMIT = 127  # of kernels before 5.1
USUAL_NAME = 255
_SHORT_NAME = 200  # some wheels have file names of 150 characters and more

# A file takes whole blocks of 4 KiB: half of one is lost on average.
_LOST_PER_FILE = 2048
# Byte code, which comes with the first imports, the environment's own files, logs.
_GROWTH = 1.15
# Folders, byte code and uv's cache take inodes too; measured with torch: a fifth more after the smoke checks.
_MORE_FILES = 1.4
# What the wheels of a bundle without a footprint come to when they are unpacked; measured: 1.8 for torch.
_UNPACKED = 2
_SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "lustre", "gpfs", "beegfs")
_FAT = ("vfat", "msdos", "exfat", "fat", "fat16", "fat32")
_VC_WHEEL = re.compile(r"(^|/)msvc_runtime-", re.IGNORECASE)
_VC_NEEDED = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")
# A drive or a share, then names.
_WINDOWS_NAME = re.compile(
    r"""(?:[a-z]:|\\\\[^\\/<>:"|?*.][^\\/<>:"|?*]*\\[^\\/<>:"|?*]+)(?:\\[^\\/<>:"|?*\x00-\x1f]*)*$""",
    re.IGNORECASE,
)
_PLATFORMS = {"x86_64": ("linux-x86_64", "win-amd64"), "aarch64": ("linux-aarch64",)}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `code` names it for programs, `level` is ok, note, warning or problem."""

    code: str
    level: str
    message: str
    remedy: str = ""

    def to_json(self):
        """As a receipt or --json has it."""
        return asdict(self)


@dataclass(frozen=True)
class Needs:
    """What an installation takes: on the prefix, in the system's temporary folder, and its extremes.

    `longest_path` counts characters from the environment's folder; `largest_file` is the largest file that
    is known, in bytes.
    """

    prefix_bytes: int
    prefix_files: int
    temp_bytes: int = 0
    temp_files: int = 0
    largest_file: int = 0
    longest_path: int = 0


@dataclass(frozen=True)
class Request:
    """How one wants to install.

    `prefix` and `temp` are absolute paths as the profile has them among its folders; no `temp` means that
    nothing is put there. `python` is the program of an interpreter that the user named; without one, the
    carried runtime is taken if `use_runtime` says so, else the best of the machine. `without_gpu` accepts
    a target whose GPU code cannot run here. `needs` is filled in by `choose`.
    """

    prefix: str
    temp: str = ""
    python: str = ""
    use_runtime: bool = True
    without_gpu: bool = False
    installer: str = "uv"
    needs: Optional[Needs] = None


def usual_windows_prefix(recipe):
    """The prefix that an installation gets on Windows when nobody names one, at its longest."""
    return ntpath.join(_LOCAL_APP_DATA, WINDOWS_FOLDER, recipe)


def windows_room(taken):
    """How many characters Windows leaves a path beside `taken` others and the environment's own folder."""
    return WINDOWS_LIMIT - 1 - taken - len("\\" + ENVIRONMENT + "\\")


def needs(bundle, target, request, profile=None):
    """What installing `target` takes, from the bundle's figures.

    uv unpacks into a cache beside the environment and links from there: where the prefix has no hard links
    it has to copy, which takes the packages' space twice. `bundle` may be None when only the target is known.
    """
    files = bundle.files if bundle else {}
    sizes = [files[wheel][0] for wheel in target.wheels if wheel in files]
    packages = target.footprint.get("bytes", _UNPACKED * sum(sizes))
    number = target.footprint.get("files", 0)
    folder = folder_of(profile, request.prefix) if profile else None
    copies = 2 if request.installer == "uv" and folder and folder["hard_links"] is False else 1
    runtime = target.runtime["footprint"] if target.runtime and request.use_runtime else {}
    assets = [(files[item["path"]][0], item.get("unpack")) for item in (bundle.assets if bundle else ())]
    # an archive is unpacked where it lies; photographs, which most of them hold, do not shrink when packed
    carried = sum(_UNPACKED * size if unpack else size for size, unpack in assets)
    on_prefix = number * copies + runtime.get("files", 0) + len(assets)
    total = packages * copies + runtime.get("bytes", 0)
    return Needs(
        prefix_bytes=int(total * _GROWTH) + on_prefix * _LOST_PER_FILE + carried,
        prefix_files=int(on_prefix * _MORE_FILES),
        temp_bytes=runtime.get("bytes", 0) + runtime.get("files", 0) * _LOST_PER_FILE,
        temp_files=runtime.get("files", 0),
        largest_file=max([*sizes, *(size for size, _ in assets)], default=0),
        longest_path=max(target.footprint.get("longest_path", 0), runtime.get("longest_path", 0)),
    )


def examine(profile, target, request):
    """Everything that is known about installing `target` on the machine of `profile`, as findings.

    Of a target for another platform only that is said.
    """
    platform = list(_platform(profile, target))
    if any(finding.level == PROBLEM for finding in platform):
        return platform
    return [
        *platform,
        *_python(profile, target, request),
        *_cpu(profile),
        *_gpu(profile, target, request),
        *_vc_runtime(profile, target),
        *_folders(profile, request),
        *_space(profile, request),
        *_paths(profile, request),
        *_disturbances(profile),
    ]


def choose(profile, bundle, request, wanted=None):
    """(the target to install or None, the findings of every target by its name).

    With `wanted` only the target of that name is looked at. Otherwise it is the best of those without
    problems: on a machine with an NVIDIA GPU the highest CUDA that works there, then the newest Python, the
    newest torch.
    """
    targets = [bundle.target(wanted)] if wanted else list(bundle.targets)
    findings = {}
    for target in targets:
        needed = request.needs or needs(bundle, target, request, profile)
        findings[target.name] = examine(profile, target, replace(request, needs=needed))
    possible = [target for target in targets if not problems(findings[target.name])]
    if not possible:
        return None, findings
    with_gpu = profile["nvidia"] is not None and not request.without_gpu
    chosen = max(possible, key=lambda target: _rank(target, with_gpu))
    if with_gpu:
        findings[chosen.name] += _passed_over(chosen, targets, findings)
    return chosen, findings


def problems(findings):
    """Those findings that forbid an installation."""
    return [finding for finding in findings if finding.level == PROBLEM]


def _rank(target, with_gpu):
    """Sorts targets that all work: with a GPU by CUDA first, without one CUDA last."""
    cuda = target.cuda or (0, 0)
    # with a GPU the index's own torch may use it at least for torch's operations
    plain = (target.backend == "default") == with_gpu
    return (cuda if with_gpu else not target.cuda, numbers(target.python), numbers(target.torch), plain, cuda)


def _passed_over(chosen, targets, findings):
    """A warning when a GPU stays unused, a note when a lower CUDA is used, with the reason."""
    higher = [target for target in targets if (target.cuda or (0, 0)) > (chosen.cuda or (0, 0))]
    for target in sorted(higher, key=lambda target: target.cuda, reverse=True):
        reasons = [finding for finding in problems(findings[target.name]) if finding.code.startswith("gpu")]
        if reasons:
            level = NOTE if chosen.cuda else WARNING
            text = "%s is not used: %s" % (target.name, reasons[0].message)
            if not chosen.cuda:
                text = "the GPU stays unused; %s" % text
            return [Finding("gpu-passed-over", level, text, reasons[0].remedy)]
    return []


# ---- platform ----


def numbers(version):
    """A version as numbers to compare: 525.60.13 as (525, 60, 13)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def parse_platform(tag):
    """(system, machine, glibc) of a wheel's platform tag: manylinux_2_28_x86_64 as Linux, x86_64, (2, 28)."""
    match = re.match(r"manylinux_(\d+)_(\d+)_(\w+)$", tag)
    if match:
        return "Linux", match.group(3), (int(match.group(1)), int(match.group(2)))
    return "Windows", {"win_amd64": "x86_64", "win_arm64": "aarch64"}.get(tag, tag), None


def platform_obstacle(profile, tag):
    """(code, what was found and is needed) when wheels of the platform `tag` do not run on the machine."""
    system, machine, glibc = parse_platform(tag)
    if profile["system"] != system:
        return "platform", "the system is %s; the target is for %s" % (profile["os"], system)
    if profile["machine"] != machine:
        return "machine", "the processor is %s; the target is for %s" % (profile["machine"], machine)
    if glibc is None:
        return None
    wanted = "%d.%d" % glibc
    if profile["glibc"] is None:
        return "glibc", "%s has no glibc; the target needs glibc %s or newer" % (profile["os"], wanted)
    if numbers(profile["glibc"]) < glibc:
        return "glibc", "glibc is %s; the target needs %s or newer" % (profile["glibc"], wanted)
    return None


def _platform(profile, target):
    obstacle = platform_obstacle(profile, target.platform)
    if obstacle is None:
        libc = ", glibc %s" % profile["glibc"] if profile["glibc"] else ""
        yield Finding("platform", OK, "%s, %s%s" % (profile["os"], profile["machine"], libc))
        return
    code, message = obstacle
    remedy = "make a bundle for this machine: carry its profile (profile.py) to where bundles are made"
    if code == "glibc" and profile["glibc"]:
        remedy += ", or update the system: glibc comes with it and cannot be updated alone"
    yield Finding(code, PROBLEM, message, remedy)


# ---- Python ----


def python_obstacle(profile, python):
    """Why no environment for wheels can be made of one of the profile's Pythons; None when it can."""
    if python["implementation"] != "CPython":
        return "it is %s, not CPython" % python["implementation"]
    if python["bits"] != 64:
        return "it has %d bits, the wheels have 64" % python["bits"]
    if python["free_threaded"]:
        return "it is a free-threaded build, for which there are other wheels"
    if python["musl"]:
        return "it was made for musl, the wheels are for glibc"
    if python["platform"] not in _PLATFORMS.get(profile["machine"], ()):
        return "it was made for %s" % python["platform"]
    if not python["venv"]:
        return "its module venv is missing (on Debian and Ubuntu: python3-venv)"
    return None


def usable_pythons(profile, version=None):
    """The profile's Pythons that environments can be made of, the best first; those of `version` (3.12) only.

    A Python of conda comes after others, that of conda's base environment last.
    """
    found = [
        python
        for python in profile["pythons"]
        if python_obstacle(profile, python) is None
        and (version is None or numbers(python["version"])[:2] == numbers(version))
    ]
    found.sort(key=lambda python: numbers(python["version"]), reverse=True)
    return sorted(found, key=lambda python: (python["conda_base"], python["conda"], python["virtual"]))


def choose_python(profile, target, request):
    """The profile's Python that an installation would use; None for the carried one, or if there is none."""
    if request.python:
        named = [python for python in profile["pythons"] if python["path"] == request.python]
        return named[0] if named else None
    if carries_runtime(profile, target, request):
        return None
    return next(iter(usable_pythons(profile, target.python)), None)


def carries_runtime(profile, target, request):
    """Whether the bundle's own Python is used: it is there, was not declined, and can be started here."""
    startable = profile["system"] != "Linux" or profile["loader"]
    return bool(target.runtime and request.use_runtime and not request.python and startable)


def _python(profile, target, request):
    if carries_runtime(profile, target, request):
        yield Finding("python", OK, "Python %s comes with the bundle" % target.runtime["version"])
        return
    python = choose_python(profile, target, request)
    if python is None:
        yield _no_python(profile, target, request)
        return
    obstacle = python_obstacle(profile, python)
    if numbers(python["version"])[:2] != numbers(target.python):
        obstacle = "the target is for Python %s" % target.python
    shown = "%s %s, %s" % (python["implementation"], python["version"], python["path"])
    if obstacle:
        remedy = "name another one with --python, or leave --python out"
        yield Finding("python", PROBLEM, "%s cannot be used: %s" % (shown, obstacle), remedy)
        return
    yield Finding("python", OK, shown)
    if python["conda"]:
        whose = "conda's base environment" if python["conda_base"] else "a conda environment"
        yield Finding(
            "conda",
            NOTE,
            "this Python belongs to %s: updating or removing that changes or breaks what is installed here, "
            "and its own C++ and OpenMP libraries may be loaded in place of the system's" % whose,
            "prefer a bundle with a Python of its own (--runtime where bundles are made)",
        )
    if python["virtual"]:
        text = "this Python is a virtual environment's: it must stay where it is"
        yield Finding("virtual", NOTE, text)


def _no_python(profile, target, request):
    remedy = "make the bundle with --runtime, so that it brings its Python, or install CPython %s, 64 bit"
    remedy %= target.python
    if request.python:
        text = "there is no Python at %s" % request.python
        return Finding("python", PROBLEM, text, "name another one with --python, or leave --python out")
    if target.runtime and request.use_runtime:
        text = "the Python of the bundle cannot start on %s: it has no loader in the usual place"
        return Finding("python", PROBLEM, text % profile["os"], "install CPython %s" % target.python)
    seen = []
    for python in profile["pythons"]:
        reason = python_obstacle(profile, python)
        shown = "%s %s" % (python["version"], python["path"])
        seen.append("%s: %s" % (shown, reason) if reason else shown)
    found = "found: %s" % "; ".join(seen) if seen else "there is no Python at all"
    text = "the target needs CPython %s, and the bundle brings none; %s" % (target.python, found)
    return Finding("python", PROBLEM, text, remedy)


# ---- processor and GPU ----


def _cpu(profile):
    if profile["machine"] != "x86_64":
        return
    level, model = profile["cpu"]["level"], profile["cpu"]["model"]
    if level is None:
        yield Finding("cpu", NOTE, "what the processor (%s) can do is not known" % (model or "no name"))
    elif level < 2:
        yield Finding(
            "cpu",
            WARNING,
            "%s has not all of x86-64-v2 (SSE4.2); the newest numpy stops without it" % model,
            "if the smoke test fails, ask for a bundle with an older numpy (--with 'numpy<2.4')",
        )
    elif level < 3:
        yield Finding("cpu", NOTE, "%s has no AVX2: everything works, more slowly" % model)
    else:
        yield Finding("cpu", OK, "%s, x86-64-v%d" % (model, level))


def needed_driver(cuda, system):
    """The oldest driver for CUDA `cuda` ((13, 0)); for one newer than the table the newest that is known."""
    rows = [row for row in CUDA_DRIVERS if row[0] <= cuda] or [CUDA_DRIVERS[0]]
    return rows[-1][2 if system == "Windows" else 1]


def driver_obstacle(profile, cuda):
    """Why programs of CUDA `cuda` get no GPU on the machine; None when the driver serves them."""
    nvidia = profile["nvidia"]
    if nvidia is None:
        return "there is no GPU of NVIDIA"
    if not nvidia["driver"]:
        why = " (%s)" % nvidia["error"] if nvidia["error"] else ""
        return "the GPU has no working driver%s" % why
    least = needed_driver(cuda, profile["system"])
    if numbers(nvidia["driver"]) < numbers(least):
        return "the driver is %s; CUDA %d.%d needs %s or newer" % (nvidia["driver"], *cuda, least)
    if not nvidia["devices"]:
        return "driver %s shows no GPU (%s)" % (nvidia["driver"], nvidia["error"] or "none is there")
    return None


def image_for(capability, images):
    """The image among `images` that a device of `capability` (8.6) runs: sm_80, compute_80; None without one.

    Machine code runs on devices of its major version with the same or a later minor one; what is made for
    one device alone (sm_90a) only there. PTX (compute_80) is compiled by the driver, for that and all later.
    """
    major, minor = numbers(capability)[:2]
    found = []
    for image in images:
        match = re.match(r"(sm|compute)_(\d+)(\d)([af]?)$", image)
        if match is None:
            continue
        version = int(match.group(2)), int(match.group(3))
        code = match.group(1) == "sm"
        fits = version[0] == major and version[1] <= minor if code else version <= (major, minor)
        if match.group(4) == "a":
            fits = version == (major, minor)
        elif match.group(4) == "f":
            fits = version[0] == major and version[1] <= minor
        if fits:
            found.append((code, version, image))
    return max(found)[2] if found else None


def _gpu(profile, target, request):
    if target.cuda is None:
        return
    obstacle = driver_obstacle(profile, target.cuda)
    if obstacle is None:
        yield from _device_code(profile, target, request)
    elif request.without_gpu:
        yield Finding("gpu-driver", NOTE, "%s; as asked for, the CPU does the work" % obstacle)
    else:
        least = needed_driver(target.cuda, profile["system"])
        remedy = "update NVIDIA's driver to %s or newer (an administrator can)" % least
        if profile["nvidia"] is None:
            remedy = "take a target for the CPU"
        remedy += ", or install with --without-gpu: then the CPU does the work"
        yield Finding("gpu-driver", PROBLEM, obstacle, remedy)


def _device_code(profile, target, request):
    """Findings about the devices under a driver that is new enough: whether there is code for them."""
    driver = "driver %s" % profile["nvidia"]["driver"]
    images = ", ".join(target.cuda_images)
    unserved = []
    some_served = request.without_gpu
    for device in profile["nvidia"]["devices"]:
        shown = "%s (%s)" % (device["name"], device["capability"] or "compute capability not known")
        image = image_for(device["capability"], target.cuda_images) if device["capability"] else None
        if device["capability"] is None or not images:
            some_served = True
            text = "%s, %s; whether there is code for it is not known" % (shown, driver)
            yield Finding("gpu-image", WARNING, text)
        elif image is None:
            unserved.append((shown, device["capability"]))
        elif image.startswith("compute"):
            some_served = True
            text = "%s, %s: there is only PTX (%s), which the driver compiles when it is first used: that "
            text += "takes minutes, and fails if the driver is older than CUDA %d.%d"
            yield Finding("gpu-image", WARNING, text % (shown, driver, image, *target.cuda))
        else:
            some_served = True
            yield Finding("gpu-image", OK, "%s, %s: %s" % (shown, driver, image))
    for shown, capability in unserved:
        text = "the target has no code for %s: it has %s" % (shown, images)
        if some_served:
            yield Finding("gpu-image", NOTE, "%s; this GPU is not used" % text)
        else:
            remedy = "make the bundle with --cuda-arch %s, or install with --without-gpu" % capability
            yield Finding("gpu-image", PROBLEM, text, remedy)


def _vc_runtime(profile, target):
    if profile["system"] != "Windows":
        return
    missing = [name for name in _VC_NEEDED if name not in (profile["vc_runtime"] or ())]
    if not missing:
        yield Finding("vc-runtime", OK, "the Visual C++ runtime is installed")
    elif any(_VC_WHEEL.search(wheel) for wheel in target.wheels):
        yield Finding("vc-runtime", OK, "the Visual C++ runtime comes with the bundle")
    else:
        yield Finding(
            "vc-runtime",
            PROBLEM,
            "Windows has no %s; torch needs the Visual C++ runtime" % ", ".join(missing),
            "make the bundle with --with msvc-runtime, or let an administrator install Microsoft's "
            "Visual C++ Redistributable (x64)",
        )


# ---- folders ----


def folder_of(profile, path):
    """What the profile says of the folder `path`; None when it was not asked."""
    return next((folder for folder in profile["folders"] if folder["path"] == path), None)


def _folders(profile, request):
    folder = folder_of(profile, request.prefix)
    if folder is None:
        return
    windows = profile["system"] == "Windows"
    kind = folder["file_system"] or "an unknown file system"
    elsewhere = "choose a folder on another disk with --prefix"
    if not folder["writable"]:
        state = "its disk is mounted read-only" if folder["read_only"] else folder["reason"]
        text = "%s cannot be written to: %s" % (folder["existing"], state)
        yield Finding("permission", PROBLEM, text, "choose a folder of your own with --prefix")
        return
    if not windows and (folder["symlinks"] is False or kind.lower() in _FAT):
        text = "%s is on %s, which has no symbolic links; an environment needs them"
        yield Finding("file-system", PROBLEM, text % (request.prefix, kind), elsewhere)
    elif request.needs and folder["largest_file"] and request.needs.largest_file > folder["largest_file"]:
        text = "%s is on %s, which holds files of at most %s; the bundle has one of %s"
        sizes = human_size(folder["largest_file"]), human_size(request.needs.largest_file)
        yield Finding("file-system", PROBLEM, text % (request.prefix, kind, *sizes), elsewhere)
    elif kind.lower() in _SHARED:
        text = "%s is on a network drive (%s): installing and importing take longer" % (request.prefix, kind)
        yield Finding("file-system", NOTE, text)
    else:
        yield Finding("file-system", OK, "%s, %s" % (request.prefix, kind))
    if folder["noexec"] or folder["executable"] is False:
        why = "is mounted noexec" if folder["noexec"] else "does not let programs start"
        text = "the disk of %s %s; neither Python nor compiled modules could be loaded"
        yield Finding("noexec", PROBLEM, text % (request.prefix, why), elsewhere)
    if folder["hard_links"] is False and request.installer == "uv":
        text = "%s has no hard links: uv copies, which takes more time and space" % request.prefix
        yield Finding("hard-links", NOTE, text)


def _space(profile, request):
    wanted = request.needs
    if wanted is None:
        return
    prefix, temp = folder_of(profile, request.prefix), folder_of(profile, request.temp)
    size, files = wanted.prefix_bytes, wanted.prefix_files
    uses_temp = bool(request.temp and wanted.temp_bytes)
    if uses_temp and prefix and temp and prefix["device"] == temp["device"]:
        # one disk has to hold both
        size, files, uses_temp = size + wanted.temp_bytes, files + wanted.temp_files, False
    another = "choose a folder on another disk with --prefix"
    yield from _enough(request.prefix, prefix, size, files, another)
    if uses_temp:
        another = "set TMPDIR to a folder on another disk"
        yield from _enough(request.temp, temp, wanted.temp_bytes, wanted.temp_files, another)


def _enough(path, folder, size, files, another):
    """Findings about the free bytes and inodes of one disk; `another` says how to take another disk."""
    free, inodes = (folder["free_bytes"], folder["free_inodes"]) if folder else (None, None)
    if free is None:
        text = "%s needed in %s; how much is free there is not known" % (human_size(size), path)
        yield Finding("space", WARNING, text)
    elif free < size:
        text = "%s free in %s, %s needed" % (human_size(free), path, human_size(size))
        yield Finding("space", PROBLEM, text, "free %s there, or %s" % (human_size(size - free), another))
    else:
        text = "%s free in %s, %s needed" % (human_size(free), path, human_size(size))
        yield Finding("space", OK, text)
    if inodes is not None and inodes < files:
        text = "the disk of %s takes %d more files, %d are needed (it runs out of inodes)"
        yield Finding("inodes", PROBLEM, text % (path, inodes, files), "remove files there, or %s" % another)


# ---- paths ----


def _paths(profile, request):
    longest = request.needs.longest_path if request.needs else 0
    if profile["system"] == "Windows":
        yield from _windows_paths(profile, request.prefix, longest)
    else:
        yield from _linux_paths(profile, request.prefix, longest)


def _windows_paths(profile, prefix, longest):
    given = len(prefix.rstrip("\\"))
    over = longest - windows_room(given)
    length = WINDOWS_LIMIT - 1 + over
    if not _WINDOWS_NAME.match(prefix) or any(map(is_device, ntpath.splitdrive(prefix)[1].split("\\"))):
        text = "%s is no name for a folder on Windows" % prefix
        yield Finding(
            "path-length", PROBLEM, text, 'choose another --prefix, without any of <>:"|?* and device names'
        )
    elif over <= 0:
        yield Finding("path-length", OK, "the longest path will have %d characters" % length)
    elif profile["long_paths"]:
        yield Finding("path-length", OK, "long paths are switched on (%d characters needed)" % length)
    else:
        room = windows_room(longest)
        shorter = "choose a prefix of at most %d characters, as in %s" % (room, ntpath.join("C:\\", "wf"))
        allow = "let an administrator set LongPathsEnabled"
        yield Finding(
            "path-length",
            PROBLEM,
            "the longest path would have %d characters, Windows takes %d here" % (length, WINDOWS_LIMIT - 1),
            "%s, or %s" % (shorter, allow) if room > 3 else allow,
        )


def _linux_paths(profile, prefix, longest):
    folder = folder_of(profile, prefix)
    most = (folder and folder["longest_name"]) or USUAL_NAME
    too_long = [part for part in prefix.split("/") if _bytes(part) > most]
    length = _bytes(prefix) + len("/" + ENVIRONMENT + "/") + longest
    if ":" in prefix or "\n" in prefix:
        text = "%r has a colon or a line break, which PATH and an environment's scripts cannot have"
        yield Finding("path-length", PROBLEM, text % prefix, "choose another --prefix")
    elif too_long:
        text = "%s... has %d bytes, a name may have %d" % (too_long[0][:30], _bytes(too_long[0]), most)
        yield Finding("path-length", PROBLEM, text, "choose a shorter --prefix")
    elif length >= LINUX_LIMIT:
        text = "the longest path would have %d bytes, Linux takes %d" % (length, LINUX_LIMIT - 1)
        yield Finding("path-length", PROBLEM, text, "choose a shorter --prefix")
    elif most < _SHORT_NAME:
        text = (
            "the file system of %s takes names of %d bytes (an encrypted home?); some files have longer ones"
        )
        remedy = "if the installation fails, choose a folder on another disk with --prefix"
        yield Finding("path-length", WARNING, text % (prefix, most), remedy)
    else:
        yield Finding("path-length", OK, "the longest path will have %d bytes" % length)
    interpreter = _bytes(prefix) + len("/" + ENVIRONMENT + "/bin/python")
    if interpreter + len("#!") > SHEBANG_LIMIT or re.search(r"\s", prefix):
        text = (
            "scripts of the environment start through /bin/sh, because of its long path or the blanks in it"
        )
        yield Finding("shebang", NOTE, text)


def _bytes(text):
    return len(text.encode("utf-8", "surrogateescape"))


# ---- what may turn an installer away ----


def _disturbances(profile):
    for variable in profile["environment"]:
        # conda and virtual environments set a handful of these each time they are activated
        if not variable["name"].upper().startswith(("CONDA", "_CONDA")):
            shown = "%s=%s" % (variable["name"], _shortened(variable["value"]))
            yield Finding("environment", NOTE, "%s is set; neutralised here" % shown)
    conda = [v["name"] for v in profile["environment"] if v["name"].upper().startswith(("CONDA", "_CONDA"))]
    if conda:
        text = "conda is active (%s); neutralised here" % ", ".join(conda)
        yield Finding("environment", NOTE, text)
    for path in profile["configuration"]:
        yield Finding("configuration", NOTE, "%s exists; it is not read here" % path)


def _shortened(value):
    return value if len(value) <= 80 else value[:77] + "..."


def human_size(size):
    """2.7 GB: decimal units, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return "%d B" % size if unit == "B" else "%.1f %s" % (size, unit)
        size /= 1000.0
    return "%.1f TB" % size
