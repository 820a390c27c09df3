"""The profile of a machine: what an installation on it depends on, as one JSON document.

This file needs nothing but Python 3.7's standard library and can be carried to a machine by itself::

    python3 profile.py --out profile.json

It looks and changes nothing: folders are tried with a file in a folder of its own, which is removed again.
Credentials are taken out of the values that it reports.
"""

import argparse
import contextlib
import ctypes
import datetime as dt
import glob
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

FORMAT = 1
WINDOWS = sys.platform == "win32"

# Seconds to wait for another program. A Python on a sleeping network drive is not worth more.
PATIENCE = 15

# What may turn a Python or an installer away from what it was told.
HOSTILE_PREFIXES = ("PYTHON", "PIP_", "UV_", "LD_", "DYLD_", "CONDA", "_CONDA", "VIRTUAL_ENV")
# install.sh sets it: the variables it had to unset before Python could start, one NAME=value a line.
NEUTRALISED = "WHEELFERRY_NEUTRALISED"
_SECRET_NAMES = ("TOKEN", "PASSWORD", "PASSWD", "SECRET", "CREDENTIAL", "API_KEY", "AUTH")

# The DLLs of the Visual C++ runtime that compiled Python packages load.
VC_RUNTIME = ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll")

# FAT keeps the length of a file in 32 bits.
FAT = ("vfat", "msdos", "fat", "fat32", "fat16")
FAT_LIMIT = 2**32 - 1

# Folders in which file systems are tried are called so, with the number of the process.
_TRIAL = ".wheelferry-probe-"
_CONDA_NAMES = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "conda", "micromamba")


def collect(folders=(), programs=(), run=None, environ=None, search=True):
    """The profile of this machine, with what can be said of `folders`, as plain JSON values.

    `programs` are Pythons to look at beside those that are found; they come first, under these paths.
    `run(arguments, seconds)` starts a program and returns (exit status, output), the status being None when
    it did not start or did not end; `environ` are the variables to look at. Without `search` no other Python
    than `programs` is looked for, which is what takes longest.
    """
    run = run or run_program
    environ = os.environ if environ is None else environ
    return {
        "format": FORMAT,
        "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "system": "Windows" if WINDOWS else platform.system(),
        "machine": normalised_machine(_machine(environ)),
        "os": _os_text(),
        "kernel": "" if WINDOWS else platform.release(),
        "glibc": None if WINDOWS else glibc_version(run),
        "loader": None if WINDOWS else _has_loader(),
        "cpu": _cpu(),
        "memory": memory(),
        "pythons": find_pythons(run, environ, programs, search),
        "nvidia": find_nvidia(
            run, _nvidia_smi(environ), read_text("/proc/driver/nvidia/version"), _nvidia_cards()
        ),
        "vc_runtime": _vc_runtime(environ),
        "long_paths": long_paths(),
        "environment": hostile_variables(environ),
        "configuration": configuration_files(environ),
        "folders": [look_at_folder(folder, run) for folder in folders],
    }


def run_program(arguments, seconds):
    """Run a program in an environment without `HOSTILE_PREFIXES`; see `collect`."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(HOSTILE_PREFIXES)}
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=kept
        )
    except (OSError, ValueError) as error:
        return None, str(error)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        if process.stdout:
            process.stdout.close()
        try:
            # nvidia-smi in a broken driver cannot even be killed: it must not take us along
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None, "no answer in %d s, and it cannot be stopped" % seconds
        return None, "no answer in %d s" % seconds
    return process.returncode, output.decode("utf-8", "replace")


# ---- the machine ----


def normalised_machine(name):
    """The architecture as wheels spell it on Linux: x86_64 for AMD64 and x64, aarch64 for ARM64."""
    known = {"amd64": "x86_64", "x64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "i386": "i686"}
    return known.get(name.lower(), name.lower())


def _machine(environ):
    if WINDOWS:
        # a 32-bit Python sees the real one in the first; platform.machine() asks WMI, which may hang
        return environ.get("PROCESSOR_ARCHITEW6432") or environ.get("PROCESSOR_ARCHITECTURE", "")
    return platform.machine()


def _os_text():
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return "Windows %d.%d.%d" % (version.major, version.minor, version.build)
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else platform.platform()


def glibc_version(run):
    """The version of the C library such as ``2.36``; None where it is not glibc.

    platform.libc_ver() reads version strings out of the Python program, which names the glibc that the
    program asks for, and that of a foreign program with a static Python.
    """
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        # this Python was made for another C library; the system may have glibc all the same
        status, text = run(["getconf", "GNU_LIBC_VERSION"], PATIENCE)
        text = text if status == 0 else ""
    match = re.match(r"glibc (\d+\.\d+)", text.strip())
    return match.group(1) if match else None


def _has_loader():
    """Whether programs for the usual glibc systems find their loader: not on Alpine, not on NixOS."""
    names = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
    name = names.get(normalised_machine(platform.machine()))
    return name is not None and os.path.exists(name)


_LEVELS = (
    (2, "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"),
    (3, "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    (4, "avx512f avx512bw avx512cd avx512dq avx512vl"),
)


def x86_level(flags):
    """The x86-64 level (1 to 4, as in x86-64-v3) of a processor with these flags of /proc/cpuinfo."""
    level = 1
    for number, needed in _LEVELS:
        if not set(needed.split()) <= set(flags):
            return level
        level = number
    return level


def parse_cpuinfo(text):
    """The model and the x86-64 level in /proc/cpuinfo; the level is None on other architectures."""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    return (model.group(1).strip() if model else ""), (x86_level(flags.group(1).split()) if flags else None)


def _cpu():
    if WINDOWS:
        model, level = _windows_cpu()
    else:
        model, level = parse_cpuinfo(read_text("/proc/cpuinfo"))
    return {"model": model, "cores": os.cpu_count() or 1, "level": level}


def _windows_cpu():
    if sys.platform != "win32":
        return "", None
    key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    model = str(registry("HKEY_LOCAL_MACHINE", key, "ProcessorNameString") or "").strip()
    has = ctypes.windll.kernel32.IsProcessorFeaturePresent
    if sys.getwindowsversion().build < 19041 or _machine(os.environ).upper() != "AMD64":
        return model, None  # before Windows 10 2004 it does not know of SSSE3 and later
    # numbers of winnt.h: CMPXCHG16B, SSE3, SSSE3, SSE4.1, SSE4.2; AVX, AVX2; AVX-512
    for level, numbers in ((2, (14, 13, 36, 37, 38)), (3, (39, 40)), (4, (41,))):
        if not all(has(number) for number in numbers):
            return model, level - 1
    return model, 4


def memory():
    """Bytes of main memory; None where the system does not say."""
    if sys.platform == "win32":
        # MEMORYSTATUSEX: two 32-bit numbers, the second being the load, then seven 64-bit ones
        status = (ctypes.c_uint64 * 8)()
        ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
        done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1]) if done else None
    match = re.search(r"^MemTotal:\s*(\d+) kB", read_text("/proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _vc_runtime(environ):
    """Which DLLs of the Visual C++ runtime the system has; None off Windows."""
    if not WINDOWS:
        return None
    # a 32-bit Python is shown other files under the name System32
    place = "Sysnative" if environ.get("PROCESSOR_ARCHITEW6432") else "System32"
    folder = os.path.join(environ.get("SystemRoot", r"C:\Windows"), place)
    return [name for name in VC_RUNTIME if os.path.isfile(os.path.join(folder, name))]


def long_paths():
    """Whether Windows lets programs use paths of 260 characters and more; None off Windows."""
    if not WINDOWS:
        return None
    key = r"SYSTEM\CurrentControlSet\Control\FileSystem"
    return registry("HKEY_LOCAL_MACHINE", key, "LongPathsEnabled") == 1


def registry(root, key, name):
    """A value of Windows' registry; None when it is not there."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(getattr(winreg, root), key) as opened:
            return winreg.QueryValueEx(opened, name)[0]
    except OSError:
        return None


def read_text(path):
    """The text of a file of the system; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


# ---- Pythons ----

_ASK_PYTHON = """
import json, os, platform, struct, sys, sysconfig
def has(name):
    try:
        __import__(name)
    except Exception:
        return False
    return True
value = sysconfig.get_config_var
conda = os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
print(json.dumps({
    "path": sys.executable,
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "bits": 8 * struct.calcsize("P"),
    "platform": sysconfig.get_platform(),
    "musl": "musl" in "%s %s" % (value("HOST_GNU_TYPE"), value("SOABI")),
    "free_threaded": bool(value("Py_GIL_DISABLED")),
    "virtual": sys.prefix != sys.base_prefix,
    "prefix": sys.prefix,
    "venv": has("venv"),
    "ensurepip": has("ensurepip"),
    "conda": conda,
    "conda_base": conda and os.path.isdir(os.path.join(sys.prefix, "condabin")),
    "externally_managed": os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
}))
"""


def find_pythons(run, environ, programs=(), search=True):
    """What every Python 3 that can be found says of itself, newest first; before them, that of `programs`."""
    named = [dict(answer, path=path) for path in programs for answer in [ask_python(path, run)] if answer]
    candidates = candidate_pythons(run, environ) if search else ()
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda path: ask_python(path, run), candidates))
    # a shim and the program behind it are one
    found = {answer["prefix"]: answer for answer in reversed(answers) if answer}
    return named + sorted(found.values(), key=lambda answer: _numbers(answer["version"]), reverse=True)


def ask_python(path, run):
    """What the program at `path` says of itself; None unless it is a Python 3 that answers."""
    status, output = run([path, "-I", "-B", "-c", _ASK_PYTHON], PATIENCE)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        return None
    try:
        return json.loads(lines[-1])
    except ValueError:
        return None


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def candidate_pythons(run, environ):
    """Programs that may be a Python, each once."""
    found: dict[str, str] = {}
    for path in windows_candidates(run, environ) if WINDOWS else _posix_candidates(environ):
        real = os.path.realpath(path)
        # a link in a virtual environment leads to the Python that it was made of; but what a link of
        # another name leads to may be a program that looks at the name it was called by
        program = real if os.path.basename(real).lower().startswith("python") else path
        found.setdefault(os.path.normcase(program), program)
    return list(found.values())


def _posix_candidates(environ):
    home = environ.get("HOME") or os.path.expanduser("~")
    pyenv = environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    patterns = [os.path.join(glob.escape(pyenv), "versions", "*", "bin")]
    folders = [folder for folder in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    folders += ["/usr/local/bin", "/usr/bin"]
    patterns += ["/opt/python*/bin", "/opt/python/*/bin"]
    patterns.append(os.path.join(glob.escape(home), ".local", "share", "uv", "python", "*", "bin"))
    for root in _conda_roots(environ, home):
        patterns += [
            os.path.join(glob.escape(root), "bin"),
            os.path.join(glob.escape(root), "envs", "*", "bin"),
        ]
    for pattern in patterns:
        folders += sorted(glob.glob(pattern))
    for folder in dict.fromkeys(folders):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if re.match(r"python(3(\.\d+)?)?t?$", name) and os.access(path, os.X_OK) and os.path.isfile(path):
                yield path


def windows_candidates(run, environ):
    """The python.exe that runs us, of the launcher, of PATH, and of the places where installers put them."""
    # it may be in no usual place; install.cmd's goes when we end
    scratch = environ.get("WHEELFERRY_SCRATCH")
    if not (scratch and os.path.normcase(sys.base_prefix).startswith(os.path.normcase(scratch))):
        own = os.path.join(sys.base_prefix, "python.exe")
        if os.path.isfile(own):
            yield own
    home = environ.get("USERPROFILE") or os.path.expanduser("~")
    status, output = run(["py", "-0p"], PATIENCE)
    if status == 0:
        yield from parse_launcher(output)
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, "python.exe")
        # the file in WindowsApps is empty: starting it opens the shop
        if os.path.isabs(path) and "windowsapps" not in path.lower() and os.path.isfile(path):
            yield path
    patterns = [
        os.path.join(environ.get("LOCALAPPDATA", home), "Programs", "Python", "Python*"),
        os.path.join(environ.get("ProgramFiles", r"C:\Program Files"), "Python*"),
        os.path.join(environ.get("SystemDrive", "C:") + os.sep, "Python*"),
        os.path.join(home, ".pyenv", "pyenv-win", "versions", "*"),
        os.path.join(environ.get("APPDATA", home), "uv", "python", "*"),
    ]
    for root in _conda_roots(environ, home):
        patterns += [root, os.path.join(root, "envs", "*")]
    for pattern in patterns:
        yield from sorted(glob.glob(os.path.join(pattern, "python.exe")))


def parse_launcher(output):
    """The programs in what ``py -0p`` prints: a version, perhaps a star, and a path on each line."""
    return re.findall(r"([A-Za-z]:\\[^\r\n*]*?python[\d.]*\.exe)", output, re.IGNORECASE)


def _conda_roots(environ, home):
    """Where conda usually is, and where it says it is."""
    if WINDOWS:
        common, disk = environ.get("ProgramData", r"C:\ProgramData"), environ.get("SystemDrive", "C:")
        places = [home, common, disk + os.sep]
    else:
        places = [home, "/opt", "/usr/local"]
    roots = [os.path.join(place, name) for place in places for name in _CONDA_NAMES]
    if environ.get("CONDA_EXE"):
        roots.append(os.path.dirname(os.path.dirname(environ["CONDA_EXE"])))
    roots += [environ[name] for name in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX") if environ.get(name)]
    roots += read_text(os.path.join(home, ".conda", "environments.txt")).splitlines()
    return [root for root in dict.fromkeys(roots) if os.path.isabs(root)]


# ---- NVIDIA ----

# The driver's own library knows what an older nvidia-smi cannot be asked for. In a process of its own,
# because a broken driver may take it down. 75 and 76 are the major and minor compute capability.
_ASK_CUDA = """
import ctypes, json, sys
cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
number, count, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
name = ctypes.create_string_buffer(256)
status = cuda.cuInit(0)
cuda.cuDriverGetVersion(ctypes.byref(number))
version = "%d.%d" % (number.value // 1000, number.value % 1000 // 10)
answer = {"cuda": version, "devices": []}
if status == 0:
    cuda.cuDeviceGetCount(ctypes.byref(count))
for index in range(count.value):
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, 256, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    parts = []
    for attribute in (75, 76):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        parts.append("%d" % number.value)
    shown = name.value.decode("utf-8", "replace")
    answer["devices"].append({"name": shown, "capability": ".".join(parts), "memory": memory.value})
print(json.dumps(answer))
"""


def find_nvidia(run, program, version_text, cards):
    """NVIDIA's driver and the devices it knows; None on a machine with neither driver nor card.

    `program` is nvidia-smi or None, `version_text` what /proc/driver/nvidia/version says, `cards` the number
    of graphics cards of NVIDIA on the bus, None where that is not known. In the result `driver` is None where
    a card has no driver that works, `error` says why there are no devices, and `cuda` is the newest CUDA of
    the driver, where its library had to be asked.
    """
    driver, module = parse_driver(version_text)
    if not (driver or cards or program):
        return None
    devices, reported, error = ask_nvidia_smi(program, run) if program else ([], None, "no nvidia-smi")
    driver = driver or reported
    cuda = None
    if driver and not (devices and all(device["capability"] for device in devices)):
        cuda, known = ask_cuda_library(run)
        devices = known or devices
    if not driver and cards == 0:
        return None  # nvidia-smi was left behind
    return {
        "driver": driver,
        "module": module,
        "cuda": cuda,
        "cards": cards,
        "devices": devices,
        "error": "" if devices else error,
    }


def parse_driver(text):
    """The version in /proc/driver/nvidia/version, and whether the kernel module is open or proprietary."""
    line = next((line for line in text.splitlines() if line.startswith("NVRM version:")), "")
    match = re.search(r"\s(\d{3,}\.\d+(?:\.\d+)?)(?:\s|$)", line)
    if match is None:
        return None, None
    return match.group(1), "open" if "Open Kernel Module" in line else "proprietary"


def ask_nvidia_smi(program, run):
    """(devices, driver version, error) as nvidia-smi knows them.

    Drivers before 495 cannot be asked for the compute capability, which is None then.
    """
    for fields in ("name,compute_cap,memory.total,driver_version", "name,memory.total,driver_version"):
        query = ["--query-gpu=" + fields, "--format=csv,noheader,nounits"]
        status, output = run([program, *query], PATIENCE)
        if status == 0:
            return (*parse_devices(output, fields.split(",")), "")
        if "is not a valid field" not in output:
            break
    return [], None, " ".join(output.split())[:300] or "exit status %s" % status


def parse_devices(output, fields):
    """The devices and the driver in nvidia-smi's lines of comma-separated `fields`."""
    devices, driver = [], None
    for line in output.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(fields):
            continue  # nvidia-smi warns on the same stream
        pairs = zip(fields, values)  # noqa: B905 - Python 3.7; they are equally long
        row = {field: None if value.startswith("[") else value for field, value in pairs}
        capability, memory = row.get("compute_cap"), row["memory.total"] or ""
        devices.append(
            {
                "name": row["name"],
                "capability": capability if capability and re.match(r"\d+\.\d+$", capability) else None,
                "memory": int(memory) * 2**20 if memory.isdigit() else None,
            }
        )
        driver = row["driver_version"] or driver
    return devices, driver


def ask_cuda_library(run):
    """(newest CUDA, devices) as the driver's library knows them; (None, []) when it does not answer."""
    status, output = run([sys.executable, "-I", "-B", "-c", _ASK_CUDA], PATIENCE)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        return None, []
    answer = json.loads(lines[-1])
    return answer["cuda"], answer["devices"]


def _nvidia_smi(environ):
    found = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if found:
        return found
    if WINDOWS:
        programs = environ.get("ProgramFiles", r"C:\Program Files")
        places = [
            os.path.join(environ.get("SystemRoot", r"C:\Windows"), "System32", "nvidia-smi.exe"),
            os.path.join(programs, "NVIDIA Corporation", "NVSMI", "nvidia-smi.exe"),
        ]
    else:
        places = ["/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi"]
    return next((place for place in places if os.path.isfile(place)), None)


def _nvidia_cards():
    """How many graphics cards of NVIDIA are on the PCI bus, driver or not; None where that is not known."""
    if WINDOWS:
        return None
    found = 0
    for vendor in glob.glob("/sys/bus/pci/devices/*/vendor"):
        kind = read_text(os.path.join(os.path.dirname(vendor), "class"))
        if read_text(vendor).strip() == "0x10de" and kind.startswith("0x03"):
            found += 1
    return found


# ---- what may turn an installer away ----


def hostile_variables(environ):
    """The variables that may disturb an installation, those included that install.sh had to unset."""
    before = {}
    for line in environ.get(NEUTRALISED, "").splitlines():
        name, separator, value = line.partition("=")
        if separator:
            before[name] = value
    now = {name: value for name, value in environ.items() if name.upper().startswith(HOSTILE_PREFIXES)}
    return [
        {"name": name, "value": redacted(name, value), "unset_before": name in before}
        for name, value in sorted({**now, **before}.items())
        if value
    ]


def redacted(name, value):
    """`value` without what may be a secret: all of it where the name says so, else the user part of URLs."""
    if any(word in name.upper() for word in _SECRET_NAMES):
        return "***"
    return re.sub(r"\S+", lambda match: _redacted_word(match.group()), value)


def _redacted_word(word):
    """One word without user and password, tokens in the path (``/t/TOKEN/``) and secret parameters."""
    if "@" in word:
        before, rest = word.rsplit("@", 1)
        scheme = before[: before.index("://") + 3] if "://" in before else ""
        word = "%s***@%s" % (scheme, rest)
    word = re.sub(r"/t/[^/\s]+", "/t/***", word)
    return re.sub(r"(?i)([?&][^=&]*(?:token|key|secret|passw|auth|sig)[^=&]*=)[^&\s]*", r"\1***", word)


def configuration_files(environ):
    """The files of pip, uv and distutils that exist and would be read; only where they are."""
    if WINDOWS:
        home = environ.get("USERPROFILE") or os.path.expanduser("~")
        roaming = environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
        common = environ.get("ProgramData", r"C:\ProgramData")
        places = [
            os.path.join(common, "pip", "pip.ini"),
            os.path.join(home, "pip", "pip.ini"),
            os.path.join(roaming, "pip", "pip.ini"),
            os.path.join(common, "uv", "uv.toml"),
            os.path.join(roaming, "uv", "uv.toml"),
            os.path.join(home, "pydistutils.cfg"),
        ]
    else:
        home = environ.get("HOME") or os.path.expanduser("~")
        config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        system = [folder for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]
        places = [os.path.join(folder, "pip", "pip.conf") for folder in system]
        places += [
            "/etc/pip.conf",
            os.path.join(home, ".pip", "pip.conf"),
            os.path.join(config, "pip", "pip.conf"),
            "/etc/uv/uv.toml",
            os.path.join(config, "uv", "uv.toml"),
            os.path.join(home, ".pydistutils.cfg"),
        ]
    places += [environ[name] for name in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE") if environ.get(name)]
    return [place for place in dict.fromkeys(places) if place != os.devnull and os.path.isfile(place)]


# ---- folders ----


def look_at_folder(folder, run):
    """What can be said of `folder`, which need not exist: of the disk it would be on, and whether we may."""
    path = os.path.abspath(folder)
    existing = path
    while not os.path.lexists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    disk = _windows_disk(existing) if WINDOWS else _posix_disk(existing)
    return {
        "path": path,
        "exists": existing == path,
        "existing": existing,
        **disk,
        **_try_folder(existing, run),
        "largest_file": FAT_LIMIT if str(disk.get("file_system")).lower() in FAT else None,
    }


def _posix_disk(existing):
    if sys.platform == "win32":
        return {}
    kind, options = mounted_at(os.path.realpath(existing), read_text("/proc/self/mounts"))
    known = {"file_system": kind, "noexec": "noexec" in options}
    try:
        disk = os.statvfs(existing)
        device = os.stat(existing).st_dev
    except OSError:
        # a link that leads nowhere, a network drive that is gone
        unknown = dict.fromkeys(("device", "free_bytes", "free_inodes", "longest_name"))
        return {**known, **unknown, "read_only": False}
    return {
        **known,
        "device": str(device),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        # file systems that make inodes when they need them say 0 of 0
        "free_inodes": disk.f_favail if disk.f_files else None,
        "read_only": bool(disk.f_flag & os.ST_RDONLY),
        "longest_name": disk.f_namemax,
    }


def _windows_disk(existing):
    if sys.platform != "win32":
        return {}
    kernel32 = ctypes.windll.kernel32
    volume = ctypes.create_unicode_buffer(1024)
    kind = ctypes.create_unicode_buffer(256)
    longest, flags = ctypes.c_uint32(), ctypes.c_uint32()
    ours = ctypes.c_uint64()
    kernel32.GetVolumePathNameW(existing, volume, len(volume))
    known = kernel32.GetVolumeInformationW(
        volume.value, None, 0, None, ctypes.byref(longest), ctypes.byref(flags), kind, len(kind)
    )
    # not shutil.disk_usage, which says what is free on the disk and not what is left of our quota
    free = kernel32.GetDiskFreeSpaceExW(existing, ctypes.byref(ours), None, None)
    if kernel32.GetDriveTypeW(volume.value) == 4:  # DRIVE_REMOTE: a share says NTFS, too
        kind.value = "cifs"
    return {
        "device": volume.value.lower(),
        "free_bytes": ours.value if free else None,
        "free_inodes": None,
        "file_system": kind.value if known else "",
        "noexec": False,
        "read_only": bool(flags.value & 0x80000),
        "longest_name": longest.value if known else 255,
    }


def mounted_at(path, mounts):
    """(file system, options) of the mount that `path` lies in, from the text of /proc/mounts."""
    best = ""
    found: tuple[str, list[str]] = ("", [])
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        # blanks, tabs, line ends and backslashes are written as octal numbers
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), words[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # of two mounts in one place the later one covers the other
        if inside and len(point) >= len(best):
            best, found = point, (words[2], words[3].split(","))
    return found


def _try_folder(existing, run):
    """What works in an existing folder: tried in a folder of our own inside it, which is removed again."""
    found: dict[str, object] = {
        "writable": False,
        "reason": "",
        "symlinks": None,
        "hard_links": None,
        "executable": None,
    }
    if not os.path.isdir(existing):
        return dict(found, reason="it is no folder")
    with contextlib.suppress(OSError):
        _sweep(existing)
    try:
        work = tempfile.mkdtemp(prefix="%s%d-" % (_TRIAL, os.getpid()), dir=existing)
    except OSError as error:
        return dict(found, reason=error.strerror or str(error))
    try:
        program = os.path.join(work, "program")
        with open(program, "wb") as stream:
            stream.write(b"#!/bin/sh\nexit 0\n")
    except OSError as error:
        return dict(found, reason=error.strerror or str(error))
    else:
        return dict(
            found,
            writable=True,
            symlinks=_works(os.symlink, "program", os.path.join(work, "symlink")),
            hard_links=_works(os.link, program, os.path.join(work, "link")),
            executable=None if WINDOWS else _can_execute(program, run),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(folder):
    """Remove what a probe that was killed left in `folder`."""
    for name in os.listdir(folder):
        match = re.match(re.escape(_TRIAL) + r"(\d+)-", name)
        if match and not _may_be_at_work(os.path.join(folder, name), int(match.group(1))):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _may_be_at_work(path, number):
    """Whether the process that made `path` may still use it."""
    if WINDOWS:
        # where os.kill ends processes whatever the signal
        return time.time() - os.lstat(path).st_mtime < 3600
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _works(function, *arguments):
    try:
        function(*arguments)
    except (OSError, NotImplementedError):
        return False
    return True


def _can_execute(program, run):
    """Whether a file can be made a program and started: also noexec and security modules say no here."""
    try:
        os.chmod(program, 0o700)
        kept = os.stat(program).st_mode & stat.S_IXUSR
    except OSError:
        return False
    return bool(kept) and run([program], PATIENCE)[0] == 0


# ---- the program ----


def usual_folders():
    """Where an installation goes when nothing else is said: somewhere at home, with temporary files."""
    return [os.path.expanduser("~"), tempfile.gettempdir()]


def to_text(profile):
    """The profile as the text of a file; ASCII, so that no editor or console can spoil it."""
    return json.dumps(profile, indent=1, sort_keys=True) + "\n"


def summary(profile):
    """The profile in a few lines for a person."""
    cpu = profile["cpu"]
    level = ", x86-64-v%d" % cpu["level"] if cpu["level"] else ""
    libc = ", glibc %s" % profile["glibc"] if profile["glibc"] else ""
    lines = [
        "%s, %s%s" % (profile["os"], profile["machine"], libc),
        "CPU:     %s, %d cores%s" % (cpu["model"] or "unknown", cpu["cores"], level),
        "Memory:  %s" % (_gigabytes(profile["memory"]) if profile["memory"] else "unknown"),
        "GPU:     %s" % _nvidia_line(profile["nvidia"]),
    ]
    pythons = ["%s %s" % (python["version"], python["path"]) for python in profile["pythons"]]
    lines += _listed("Pythons:", pythons or ["none"])
    for folder in profile["folders"]:
        state = "writable" if folder["writable"] else "not writable (%s)" % folder["reason"]
        free = _gigabytes(folder["free_bytes"]) if folder["free_bytes"] is not None else "unknown space"
        lines.append("Folder:  %s: %s free, %s, %s" % (folder["path"], free, folder["file_system"], state))
    disturbing = [item["name"] for item in profile["environment"]] + profile["configuration"]
    if disturbing:
        lines.append("Set here, and kept away from an installation: %s" % ", ".join(disturbing))
    return "\n".join(lines)


def _listed(title, items):
    return ["%-8s %s" % (title if number == 0 else "", item) for number, item in enumerate(items)]


def _nvidia_line(nvidia):
    if nvidia is None:
        return "none of NVIDIA"
    driver = "driver %s" % nvidia["driver"] if nvidia["driver"] else "no working driver"
    names = ["%s (%s)" % (d["name"], d["capability"] or "capability unknown") for d in nvidia["devices"]]
    return "%s; %s" % (", ".join(names) or nvidia["error"] or "no devices", driver)


def _gigabytes(size):
    return "%.1f GB" % (size / 1e9)


def main(arguments=None):
    """Write the profile of this machine; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Write down what an installation on this machine depends on. Changes nothing."
    )
    parser.add_argument("--out", metavar="FILE", help="write the profile there, as JSON")
    parser.add_argument("--json", action="store_true", help="print the profile instead of a summary")
    parser.add_argument(
        "--folder",
        metavar="DIR",
        action="append",
        help="a folder to look at: where the installation shall go; repeatable (default: home and temp)",
    )
    options = parser.parse_args(arguments)
    profile = collect(options.folder or usual_folders())
    text = to_text(profile)
    if options.out:
        try:
            with open(options.out, "w", encoding="ascii", newline="\n") as stream:
                stream.write(text)
        except OSError as error:
            sys.stderr.write("error: cannot write %s: %s\n" % (options.out, error.strerror))
            return 3
    shown = text if options.json else summary(profile) + "\n"
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))
    if options.out and not options.json:
        sys.stdout.write("Written to %s\n" % ascii(options.out)[1:-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
