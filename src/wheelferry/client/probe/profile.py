"""The profile of a machine: what an installation on it depends on, as one JSON document.

Nothing is changed: folders are tried with a file in a folder of its own, which is removed again. Credentials
are taken out of the values that are reported.
"""

import datetime as dt
import json
import os
import platform

from wheelferry.client.common.sizes import human_size
from wheelferry.client.probe.environment import configuration_files, hostile_variables
from wheelferry.client.probe.folders import look_at_folder
from wheelferry.client.probe.installed import look_at_environment
from wheelferry.client.probe.machine import (
    find_vc_runtime,
    glibc_version,
    has_loader,
    long_paths,
    memory,
    os_text,
    read_cpu,
    real_machine,
)
from wheelferry.client.probe.macos import is_translated, macos_version, read_sysctl
from wheelferry.client.probe.nvidia import count_nvidia_cards, find_nvidia, find_nvidia_smi
from wheelferry.client.probe.programs import MACOS, WINDOWS, read_text, run_program
from wheelferry.client.probe.pythons import find_pythons

FORMAT = 1


def collect(folders=(), programs=(), run=None, environ=None, search=True, environments=()):
    """The profile of this machine, with what can be said of `folders`, as plain JSON values.

    `programs` are Pythons to look at beside those that are found; they come first, under these paths.
    `run(arguments, seconds)` starts a program and returns (exit status, output), the status being None when
    it did not start or did not end; `environ` are the variables to look at. Without `search` no other Python
    than `programs` is looked for, which is what takes longest. `environments` are Pythons of which it says
    what they have installed.
    """
    run = run or run_program
    environ = os.environ if environ is None else environ
    looked = [look_at_environment(program, run) for program in environments]
    return {
        "format": FORMAT,
        "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "system": "Windows" if WINDOWS else platform.system(),
        "machine": real_machine(environ, run),
        "os": os_text(run),
        "kernel": "" if WINDOWS else platform.release(),
        "glibc": None if WINDOWS or MACOS else glibc_version(run),
        "loader": None if WINDOWS or MACOS else has_loader(),
        "macos": macos_version(run) if MACOS else None,
        "translated": MACOS and is_translated(read_sysctl(run)),
        "cpu": read_cpu(run),
        "memory": memory(run),
        "pythons": find_pythons(run, environ, programs, search),
        "nvidia": find_nvidia(
            run, find_nvidia_smi(environ), read_text("/proc/driver/nvidia/version"), count_nvidia_cards()
        ),
        "vc_runtime": find_vc_runtime(environ),
        "long_paths": long_paths(),
        "environment": hostile_variables(environ),
        "configuration": configuration_files(environ),
        "folders": [look_at_folder(folder, run) for folder in folders],
        "environments": [environment for environment in looked if environment],
    }


def to_text(profile):
    """The profile as the text of a file; ASCII, so that no editor or console can spoil it."""
    return json.dumps(profile, indent=1, sort_keys=True) + "\n"


def summary(profile):
    """The profile in a few lines for a person."""
    cpu = profile["cpu"]
    level = ", x86-64-v%d" % cpu["level"] if cpu["level"] else ""
    if not level and cpu["features"]:
        level = ", with %s" % ", ".join(cpu["features"])
    libc = ", glibc %s" % profile["glibc"] if profile["glibc"] else ""
    libc += ", asked by a program for Intel's processors (Rosetta)" if profile.get("translated") else ""
    lines = [
        "%s, %s%s" % (profile["os"], profile["machine"], libc),
        "CPU:     %s, %d cores%s" % (cpu["model"] or "unknown", cpu["cores"], level),
        "Memory:  %s" % (human_size(profile["memory"]) if profile["memory"] else "unknown"),
        "GPU:     %s" % _nvidia_line(profile["nvidia"]),
    ]
    pythons = ["%s %s" % (python["version"], python["path"]) for python in profile["pythons"]]
    lines += _listed("Pythons:", pythons or ["none"])
    for environment in profile["environments"]:
        torch = environment["torch"]
        build = ", torch %s for CUDA %s" % (torch["version"], torch["cuda"] or "unknown") if torch else ""
        text = "Has:     %s: %d packages%s"
        lines.append(text % (environment["python"], len(environment["packages"]), build))
    for folder in profile["folders"]:
        state = "writable" if folder["writable"] else "not writable (%s)" % folder["reason"]
        free = human_size(folder["free_bytes"]) if folder["free_bytes"] is not None else "unknown space"
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
