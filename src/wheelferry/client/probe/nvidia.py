"""NVIDIA's cards and their driver, from nvidia-smi, the kernel and the driver's own library."""

import glob
import json
import os
import re
import shutil
import sys

from wheelferry.client.probe.programs import PATIENCE, WINDOWS, read_text

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
        pairs = zip(fields, values)
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


def find_nvidia_smi(environ):
    """The path of nvidia-smi: on PATH, or where drivers for Windows put it; None if there is none."""
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


def count_nvidia_cards():
    """How many graphics cards of NVIDIA are on the PCI bus, driver or not; None where that is not known."""
    if WINDOWS:
        return None
    found = 0
    for vendor in glob.glob("/sys/bus/pci/devices/*/vendor"):
        kind = read_text(os.path.join(os.path.dirname(vendor), "class"))
        if read_text(vendor).strip() == "0x10de" and kind.startswith("0x03"):
            found += 1
    return found
