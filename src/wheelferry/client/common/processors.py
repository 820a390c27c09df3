"""Processors: what one can do, what packages need of it, and whether the two fit.

A need is a text: a level of x86-64 (``x86-64-v3``) or a feature of Arm as Linux names it (``atomics``). What
a processor has are ``cpu["level"]`` (1 to 4; None where it is not known, and on Arm) and ``cpu["features"]``,
a list or None, as `wheelferry.client.probe.machine.read_cpu` has them.
"""

import re

# The flags of /proc/cpuinfo that each level adds to the one before. Source: the x86-64 psABI,
# "Micro-Architecture Levels"; the kernel calls SSE3 pni, LZCNT abm, and LAHF-SAHF lahf_lm.
X86_LEVELS = (
    (2, ("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3")),
    (3, ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave")),
    (4, ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
)
# The features of Arm that wheels make a difference of, as Linux names them, and what they are.
ARM_FEATURES = {
    "asimd": "Advanced SIMD",
    "atomics": "the atomic instructions of Armv8.1",
    "asimdrdm": "rounding multiplication of Armv8.1",
    "fphp": "half-precision numbers of Armv8.2",
    "asimdhp": "half-precision vectors of Armv8.2",
    "asimddp": "dot products of Armv8.2",
    "sve": "the scalable vectors of Armv8.2",
    "sve2": "the scalable vectors of Armv9",
    "bf16": "bfloat16 of Armv8.6",
    "i8mm": "products of 8-bit matrices of Armv8.6",
}
_KNOWN_BY = {2: "SSE4.2", 3: "AVX2", 4: "AVX-512"}
_LEVEL = re.compile(r"x86-64-v([1-4])$")


def x86_level(flags):
    """The x86-64 level (1 to 4, as in x86-64-v3) of a processor with these flags of /proc/cpuinfo."""
    level = 1
    for number, needed in X86_LEVELS:
        if not set(needed) <= set(flags):
            return level
        level = number
    return level


def has(cpu, need):
    """Whether a processor has what is needed; None where that is not known."""
    level = _LEVEL.match(need)
    if level:
        return None if cpu["level"] is None else cpu["level"] >= int(level.group(1))
    features = cpu.get("features")
    return None if features is None else need in features


def named(need):
    """A need in words: x86-64-v3 (AVX2)."""
    level = _LEVEL.match(need)
    if level:
        known = _KNOWN_BY.get(int(level.group(1)))
        return "%s (%s)" % (need, known) if known else need
    return "%s (%s)" % (ARM_FEATURES[need], need) if need in ARM_FEATURES else need


def described(cpu):
    """A processor in words, for a sentence: its name, and what it can do as far as that is known."""
    name = cpu["model"] or "a processor without a name"
    if cpu["level"] is not None:
        return "%s, x86-64-v%d" % (name, cpu["level"])
    if cpu.get("features"):
        return "%s, with %s" % (name, ", ".join(cpu["features"]))
    return "%s; its instruction sets cannot be read" % name
