"""What this machine is: its platform and glibc."""

import platform
import sys

from wheelferry.models.targets import Target


def is_own_platform(target: Target) -> bool:
    """Whether this machine's compiler makes wheels for the target."""
    if sys.platform == "win32":
        return target.is_windows
    on_linux = not (target.is_windows or target.is_macos)
    return sys.platform == "linux" and on_linux and target.platform.endswith(platform.machine())


def default_platform() -> str:
    """What this machine runs, as --platform takes it."""
    return "win_amd64" if sys.platform == "win32" else f"linux_{platform.machine()}"


def host_glibc_minor() -> int | None:
    """The minor number of this machine's glibc (36 for 2.36), None where there is no glibc."""
    name, version = platform.libc_ver()
    return int(version.split(".")[1]) if name == "glibc" else None
