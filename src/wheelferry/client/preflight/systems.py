"""Whether a target is for this system and processor, and whether the Visual C++ runtime is there."""

import re

from wheelferry.client.common.processors import described, has, named
from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, WARNING, Finding

_VC_WHEEL = re.compile(r"(^|/)msvc_runtime-", re.IGNORECASE)
_VC_NEEDED = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")
_SMOKE = "let the smoke test say whether everything runs on it; it is part of an installation"
# What Python calls the platforms that run on a machine.
_PLATFORMS = {
    "x86_64": r"linux-x86_64|win-amd64",
    "aarch64": r"linux-aarch64|macosx-[\d.]+-(arm64|universal2)",
}
# What a person calls a system.
_CALLED = {"Darwin": "macOS"}


def numbers(version):
    """A version as numbers to compare: 525.60.13 as (525, 60, 13)."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def parse_platform(tag):
    """(system, machine, oldest release) of a wheel's platform tag.

    manylinux_2_28_x86_64 is Linux, x86_64, (2, 28), the last being glibc's; macosx_14_0_arm64 is Darwin,
    aarch64, (14, 0).
    """
    match = re.match(r"(manylinux|macosx)_(\d+)_(\d+)_(\w+)$", tag)
    if match:
        system = "Linux" if match.group(1) == "manylinux" else "Darwin"
        machine = {"arm64": "aarch64"}.get(match.group(4), match.group(4))
        return system, machine, (int(match.group(2)), int(match.group(3)))
    return "Windows", {"win_amd64": "x86_64", "win_arm64": "aarch64"}.get(tag, tag), None


def platform_obstacle(profile, tag):
    """(code, what was found and is needed) when wheels of the platform `tag` do not run on the machine."""
    system, machine, oldest = parse_platform(tag)
    if profile["system"] != system:
        called = _CALLED.get(system, system)
        return "platform", "the system is %s; the target is for %s" % (profile["os"], called)
    if profile["machine"] != machine:
        return "machine", "the processor is %s; the target is for %s" % (profile["machine"], machine)
    if oldest is None:
        return None
    wanted = "%d.%d" % oldest
    if system == "Darwin":
        return _macos_obstacle(profile, oldest, wanted)
    if profile["glibc"] is None:
        return "glibc", "%s has no glibc; the target needs glibc %s or newer" % (profile["os"], wanted)
    if numbers(profile["glibc"]) < oldest:
        return "glibc", "glibc is %s; the target needs %s or newer" % (profile["glibc"], wanted)
    return None


def _macos_obstacle(profile, oldest, wanted):
    if profile["macos"] is None:
        return "macos", "which macOS this is cannot be found out; the target needs %s or newer" % wanted
    if numbers(profile["macos"]) < oldest:
        return "macos", "macOS is %s; the target needs %s or newer" % (profile["macos"], wanted)
    if profile["translated"]:
        text = (
            "this is a program for Intel's processors, which Rosetta translates; the wheels are for Apple's"
        )
        return "rosetta", text
    return None


def examine_platform(profile, target):
    """Whether the target's platform tag fits the system, its processor and its glibc."""
    obstacle = platform_obstacle(profile, target.platform)
    if obstacle is None:
        libc = ", glibc %s" % profile["glibc"] if profile["glibc"] else ""
        yield Finding("platform", OK, "%s, %s%s" % (profile["os"], profile["machine"], libc))
        return
    code, message = obstacle
    remedy = "make a bundle for this machine: carry its profile (probe.pyz) to where bundles are made"
    if code == "glibc" and profile["glibc"]:
        remedy += ", or update the system: glibc comes with it and cannot be updated alone"
    elif code == "macos":
        remedy += ", or update macOS"
    elif code == "rosetta":
        remedy = "start it as a program for Apple's processors: arch -arm64 sh install.sh"
    yield Finding(code, PROBLEM, message, remedy)


def examine_processor(profile, target):
    """Whether the processor runs what is in the bundle, and how well; of old bundles only how well."""
    cpu = profile["cpu"]
    known = cpu["level"] if profile["machine"] == "x86_64" else cpu.get("features")
    needs = target.processor or ()
    if known is None:
        text = "which instruction sets the processor (%s) has is not known" % (cpu["model"] or "no name")
        if needs:
            text += "; the bundle needs " + ", ".join(
                "%s (%s)" % (named(need), one.package) for one in needs for need in one.needs
            )
        yield Finding("cpu", NOTE, text)
        return
    lacking = [(one, need) for one in needs for need in one.needs if has(cpu, need) is False]
    for one, need in lacking:
        text = "%s %s needs a processor with %s; here is %s"
        yield Finding(
            "cpu",
            PROBLEM,
            text % (one.package, one.version, named(need), described(cpu)),
            one.instead or "make the bundle with another release of %s, or without it" % one.package,
        )
    if not lacking:
        yield _processor_speed(cpu, target)


def _processor_speed(cpu, target):
    if cpu["level"] is None or cpu["level"] > 2:
        return Finding("cpu", OK, described(cpu))
    if cpu["level"] == 2:
        return Finding("cpu", NOTE, "%s has no AVX2: everything works, more slowly" % cpu["model"])
    if target.processor is not None:
        return Finding("cpu", WARNING, "%s lacks a part of x86-64-v2 (SSE4.2)" % cpu["model"], _SMOKE)
    return Finding(
        "cpu",
        WARNING,
        "%s lacks a part of x86-64-v2 (SSE4.2); the newest numpy stops without it" % cpu["model"],
        "if the smoke test fails, ask for a bundle with an older numpy (--with 'numpy<2.4')",
    )


def examine_vc_runtime(profile, target):
    """Whether Windows has the DLLs of Visual C++ that torch loads, or the bundle brings them."""
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
