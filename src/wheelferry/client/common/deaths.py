"""How a program died that the system ended: in one sentence, with what of the processor has to do with it."""

import re

from wheelferry.client.common.processors import described, has, named

ILLEGAL = "an illegal instruction"
VIOLATION = "an access violation"
# The signals SIGILL and SIGSEGV as subprocess and as shells tell them; STATUS_ILLEGAL_INSTRUCTION and
# STATUS_ACCESS_VIOLATION of Windows (ntstatus.h), as numbers without and with a sign.
_CAUSES = {
    -4: ILLEGAL, 132: ILLEGAL, 0xC000001D: ILLEGAL, 0xC000001D - (1 << 32): ILLEGAL,
    -11: VIOLATION, 139: VIOLATION, 0xC0000005: VIOLATION, 0xC0000005 - (1 << 32): VIOLATION,
}  # fmt: skip
# Variables by which a library takes another processor for granted than the one that is there.
_CHOOSING = ("OPENBLAS_CORETYPE", "NPY_ENABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
_FRAME = re.compile(r'^\s*File "([^"]*?[\\/](?:site|dist)-packages[\\/]([^"]+))", line \d+', re.MULTILINE)


def cause_of(status):
    """What ended a program with this exit status: `ILLEGAL`, `VIOLATION`, or None for anything else."""
    return _CAUSES.get(status)


def innermost_file(output):
    """The file of a package in which faulthandler saw the program die, relative to site-packages; or None."""
    _, fatal, trace = output.rpartition("Fatal Python error: ")
    if not fatal:
        _, fatal, trace = output.rpartition("Windows fatal exception: ")
    frame = _FRAME.search(trace) if fatal else None
    return frame.group(2).replace("\\", "/") if frame else None


def explain(cause, who, package, needs, cpu, environ):
    """One sentence about a death: `who` died (a module, a library), of which `package`, if that is known.

    `needs` are those of the target (`ProcessorNeed`s, None where nobody looked), `cpu` is this machine's,
    `environ` has the variables that the program saw.
    """
    said = "%s ended Python with %s" % (who, cause)
    own = [one for one in needs or () if package is not None and _belongs(one.package, package)]
    lacking = [(one, need) for one in own for need in one.needs if has(cpu, need) is False]
    if lacking:
        one, need = lacking[0]
        text = "%s: %s %s needs a processor with %s, this one is %s"
        said = text % (said, one.package, one.version, named(need), described(cpu))
        return said + ("; %s" % one.instead if one.instead else "")
    said = "%s; this processor is %s" % (said, described(cpu))
    known = ["%s %s needs %s" % (one.package, one.version, named(need)) for one in own for need in one.needs]
    if known:
        said += ", and %s" % ", ".join(known)
    if cause == VIOLATION:
        return said + "; a module that was compiled for other libraries than those here ends so"
    chosen = ["%s=%s" % (name, environ[name]) for name in _CHOOSING if environ.get(name)]
    if chosen:
        said += "; %s is set: unset it if it names a newer processor" % ", ".join(chosen)
    if not known:
        said += "; which instructions it needs the wheel does not say: an older release, a build for older"
        said += " processors, or a newer processor would do"
    return said


def _belongs(needing, package):
    """Whether a need is the package's, or that of one whose binary it loads (polars-runtime-32 of polars)."""
    return needing == package or needing.startswith(package + "-")
