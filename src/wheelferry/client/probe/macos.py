"""What macOS says of itself and of its machine, through its own programs.

Nothing here has run on macOS: it is tested with outputs in the form that Apple's manual pages give
(docs/how-to/macos.md).
"""

import re

from wheelferry.client.probe.programs import PATIENCE

# By their full paths: what is on PATH under these names may be another system's (Homebrew, conda).
_SW_VERS = "/usr/bin/sw_vers"
_SYSCTL = "/usr/sbin/sysctl"
_MOUNT = "/sbin/mount"
_XCODE_SELECT = "/usr/bin/xcode-select"

# What wheels make a difference of (`ARM_FEATURES`), and how macOS calls it. Source: developer.apple.com,
# "Determining Instruction Set Characteristics".
_FEATURES = {
    "AdvSIMD": ("asimd",),
    "FEAT_LSE": ("atomics",),
    "FEAT_RDM": ("asimdrdm",),
    "FEAT_FP16": ("fphp", "asimdhp"),
    "FEAT_DotProd": ("asimddp",),
    "FEAT_BF16": ("bf16",),
    "FEAT_I8MM": ("i8mm",),
}


def macos_version(run):
    """The version of macOS such as ``14.5``; None where it is not told.

    Not by Python: one that was built for an older macOS is told 10.16 for every later one.
    """
    status, output = run([_SW_VERS, "-productVersion"], PATIENCE)
    match = re.match(r"(\d+(?:\.\d+)*)\s*$", output) if status == 0 else None
    return match.group(1) if match else None


def read_sysctl(run):
    """What sysctl says of the machine, by name; it leaves out what a machine does not have."""
    names = ("machdep.cpu.brand_string", "hw.memsize", "hw.optional", "sysctl.proc_translated")
    # it says of unknown names that they are, and ends with an error after all others
    _, output = run([_SYSCTL, *names], PATIENCE)
    return dict(re.findall(r"^([a-z][\w.]*):[ \t]*(.*?)[ \t]*$", output, re.MULTILINE))


def is_apple_silicon(values):
    """Whether the processor is one of Apple's, also where programs for Intel's are translated."""
    return values.get("hw.optional.arm64") == "1"


def is_translated(values):
    """Whether we are a program for Intel's processors that Rosetta translates."""
    return values.get("sysctl.proc_translated") == "1"


def cpu_of(values):
    """The processor's name, and its features as Linux names them; None for those of Intel."""
    model = values.get("machdep.cpu.brand_string", "")
    if not is_apple_silicon(values):
        return model, None
    found = {"asimd"}  # every one of them; older releases of macOS do not say so
    for name, ours in _FEATURES.items():
        if "1" in (values.get("hw.optional.arm." + name), values.get("hw.optional." + name)):
            found.update(ours)
    return model, sorted(found)


def memory_of(values):
    """Bytes of main memory; None where it is not told."""
    size = values.get("hw.memsize", "")
    return int(size) if size.isdigit() else None


def mounts(run):
    """The mounts as lines in the form of Linux' /proc/mounts, for `folders.mounted_at`."""
    status, output = run([_MOUNT], PATIENCE)
    return parse_mounts(output) if status == 0 else ""


def parse_mounts(output):
    """What mount prints (``/dev/disk3s5 on /System/Volumes/Data (apfs, local)``) as /proc/mounts has it."""
    lines = []
    for line in output.splitlines():
        match = re.match(r"(.+?) on (/.*) \(([^()]*)\)$", line)
        if match:
            kind, _, options = match.group(3).partition(", ")
            point = match.group(2).replace("\\", "\\134").replace(" ", "\\040")
            lines.append("- %s %s %s" % (point, kind, options.replace(", ", ",") or "rw"))
    return "\n".join(lines)


def has_developer_tools(run):
    """Whether Apple's developer tools are here: without them /usr/bin/python3 only asks to install them."""
    return run([_XCODE_SELECT, "-p"], PATIENCE)[0] == 0
