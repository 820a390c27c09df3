"""Which Python of the machine serves a target, or that the bundle's own does."""

import re

from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, Finding
from wheelferry.client.preflight.present import has_present
from wheelferry.client.preflight.systems import _PLATFORMS, numbers


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
    if not re.match("(?:%s)$" % _PLATFORMS.get(profile["machine"], "-"), python["platform"]):
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
    usable = usable_pythons(profile, target.python)
    if target.present:
        usable.sort(key=lambda python: not has_present(profile, python, target))
    return next(iter(usable), None)


def carries_runtime(profile, target, request):
    """Whether the bundle's own Python is used: it is there, was not declined, and can be started here.

    It sees no packages of the machine, which a thin target needs.
    """
    startable = profile["system"] != "Linux" or profile["loader"]
    return not target.present and bool(
        target.runtime and request.use_runtime and not request.python and startable
    )


def examine_python(profile, target, request):
    """Which Python the target would be installed with: the bundle's, or one of the machine's."""
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
