"""A target: the Python, platform, torch and backend that a set of wheels must fit.

Tags follow PEP 425 and PEP 600; marker values follow PEP 508. Nothing here looks at the host.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.version import Version

from wheelferry.errors import InputError

_MANYLINUX = re.compile(r"^manylinux_2_(?P<minor>[0-9]{1,3})_(?P<arch>x86_64|aarch64)$")
_MACOS = re.compile(r"^macosx_(?P<major>1[1-9]|[2-9][0-9])_0_arm64$")
_ANY_MACOS = re.compile(r"^macosx_([0-9]+)_([0-9]+)_(\w+)$")
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC_MINOR = {"x86_64": 5, "aarch64": 17}

DEFAULT_BACKEND = "default"

# torch's own Linux wheels have been manylinux_2_28 since 2.6: nothing older can run beside them.
DEFAULT_GLIBC_MINOR = 28

# torch's own macOS wheels have needed macOS 14 since 2.12, torchvision's since 0.27.
DEFAULT_MACOS = 14


# os_name, platform_system and sys_platform of PEP 508.
_SYSTEMS = {
    "Linux": ("posix", "Linux", "linux"),
    "Windows": ("nt", "Windows", "win32"),
    "macOS": ("posix", "Darwin", "darwin"),
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One cell: wheels for this Python on this platform beside this torch.

    `platform` is a wheel platform tag (``manylinux_2_28_x86_64``, ``win_amd64``, ``macosx_14_0_arm64``);
    `backend` is a build of torch and what the compiled ops run on, as PyTorch spells it (``cpu``, ``cu130``),
    or ``default``: the build that the user's own index offers, with ops for the CPU.
    """

    python: str
    platform: str
    torch: str
    backend: str

    @property
    def torch_label(self) -> str:
        """The torch that a wheel is tied to, as local versions say it: ``pt2.13.0``, ``pt2.13.0cu130``."""
        return f"pt{self.torch}{'' if self.backend == DEFAULT_BACKEND else self.backend}"

    @property
    def name(self) -> str:
        """File-name-safe identity; has no dots, as PEP 751 demands of ``pylock.<name>.toml``."""
        return f"{self.interpreter}-{self.platform}-torch{self.torch}-{self.backend}".replace(".", "_")

    @property
    def rank(self) -> tuple[Version, str, Version, str]:
        """Sorts targets as one reads them; a bundle does not depend on the order they were asked for in."""
        return Version(self.python), self.platform, Version(self.torch), self.backend

    @property
    def interpreter(self) -> str:
        """The interpreter tag, such as ``cp312``."""
        return "cp" + self.python.replace(".", "")

    @property
    def is_windows(self) -> bool:
        """Whether it is Windows, and not Linux or macOS."""
        return self.platform.startswith("win")

    @property
    def is_macos(self) -> bool:
        """Whether it is macOS, and not Linux or Windows."""
        return self.platform.startswith("macosx_")

    @property
    def ignores_case(self) -> bool:
        """Whether names of files that differ in case alone are the same there, as they are by default."""
        return self.is_windows or self.is_macos

    @property
    def system_name(self) -> str:
        """``Linux``, ``Windows`` or ``macOS``: what a person calls it."""
        return "Windows" if self.is_windows else "macOS" if self.is_macos else "Linux"

    @property
    def processor(self) -> str:
        """The processor as platform tags spell it: ``x86_64``, ``aarch64``, on macOS ``arm64``."""
        return "x86_64" if self.is_windows else self.platform.split("_", 3)[-1]

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """Every tag an installer on the target accepts, most specific first."""
        version = tuple(int(part) for part in self.python.split("."))
        platforms = list(platform_tags(self.platform))
        exact = cpython_tags(version, platforms=platforms)
        loose = compatible_tags(version, self.interpreter, platforms=platforms)
        return (*exact, *loose)

    @property
    def marker_environment(self) -> dict[str, str]:
        """PEP 508 marker values on the target; kernel and patch release are the lowest that fit."""
        os_name, system, sys_platform = _SYSTEMS[self.system_name]
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": os_name,
            "platform_machine": "AMD64" if self.is_windows else self.processor,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": system,
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": sys_platform,
        }

    @property
    def uv_platform(self) -> str:
        """The same platform as uv's ``--python-platform`` spells it."""
        if self.platform == "win_amd64":
            return "x86_64-pc-windows-msvc"
        if self.is_macos:
            return "aarch64-apple-darwin"  # of which release MACOSX_DEPLOYMENT_TARGET tells uv
        match = _MANYLINUX.match(self.platform)
        if match is None:
            raise InputError(f"platform {self.platform}: uv cannot resolve for it")
        return f"{match['arch']}-manylinux_2_{match['minor']}"


def platform_tags(platform: str) -> Iterator[str]:
    """Yield every platform tag a machine with `platform` accepts, newest first."""
    release = macos_release(platform)
    if release is not None:
        yield from mac_platforms((release, 0), "arm64")
        return
    match = _MANYLINUX.match(platform)
    if match is None:
        yield platform
        return
    arch = match["arch"]
    for minor in range(int(match["minor"]), _OLDEST_GLIBC_MINOR[arch] - 1, -1):
        yield f"manylinux_2_{minor}_{arch}"
        if minor in _LEGACY_MANYLINUX:
            yield f"{_LEGACY_MANYLINUX[minor]}_{arch}"
    yield f"linux_{arch}"


def glibc_minor(platform: str) -> int | None:
    """The minor number of the glibc that `platform` promises (28 for manylinux_2_28), None off Linux."""
    match = _MANYLINUX.match(platform)
    return int(match["minor"]) if match else None


def macos_release(platform: str) -> int | None:
    """The oldest macOS that `platform` runs on (14 for macosx_14_0_arm64), None off macOS."""
    match = _MACOS.match(platform)
    return int(match["major"]) if match else None


def parse_platform(text: str, *, host_glibc_minor: int | None) -> str:
    """Turn ``--platform`` into a wheel platform tag.

    ``linux_x86_64`` means manylinux_2_28 or, on an older machine, that machine's own glibc. A name of before
    PEP 600 means what it stands for: manylinux2014 is manylinux_2_17. Raises InputError for anything that no
    installer would recognise.
    """
    name, _, machine = text.partition("_")
    for minor, old in _LEGACY_MANYLINUX.items():
        if name == old:
            text = f"manylinux_2_{minor}_{machine}"
    if text in ("linux_x86_64", "linux_aarch64"):
        minor = min(DEFAULT_GLIBC_MINOR, host_glibc_minor or DEFAULT_GLIBC_MINOR)
        return f"manylinux_2_{minor}_{text.removeprefix('linux_')}"
    if text == "win_amd64" or _MANYLINUX.match(text) or _MACOS.match(text):
        return text
    _refuse_macos(text)
    raise InputError(
        f"unknown platform {text!r}",
        hint="use linux_x86_64, manylinux_2_28_x86_64 (any 2_NN), the same with aarch64, win_amd64, or "
        f"macosx_{DEFAULT_MACOS}_0_arm64 (any NN_0)",
    )


def _refuse_macos(text: str) -> None:
    """Raise InputError for platforms of macOS that no bundle is made for, with the reason."""
    match = _ANY_MACOS.match(text)
    if match is None:
        return
    release, minor, machine = match.groups()
    known = f"use macosx_{DEFAULT_MACOS}_0_arm64, or another release of macOS from 11 on"
    if machine in ("x86_64", "intel", "i386"):
        raise InputError(
            f"platform {text}: torch has had no wheels for Macs with Intel's processors since 2.3, and "
            "compiled ops for them need torch 2.10",
            hint=f"bundles for macOS are for Apple's processors: {known}",
        )
    if machine != "arm64":
        raise InputError(f"platform {text}: bundles for macOS are for arm64, not for {machine}", hint=known)
    if int(release) < 11:
        raise InputError(f"platform {text}: Apple's processors came with macOS 11", hint=known)
    if minor != "0":
        raise InputError(
            f"platform {text}: wheels tell releases of macOS from 11 on apart by the first number alone",
            hint=f"use macosx_{release}_0_arm64",
        )


def parse_python(text: str) -> str:
    """Turn ``--python`` into ``MAJOR.MINOR``; raises InputError for anything else."""
    if re.fullmatch(r"3\.[0-9]{1,2}t", text):
        raise InputError(
            f"Python {text} is a free-threaded build: modules on CPython's stable ABI do not load there, and "
            "most packages have no wheels for it",
            hint=f"use --python {text[:-1]}",
        )
    if not re.fullmatch(r"3\.[0-9]{1,2}", text):
        raise InputError(f"unknown Python {text!r}", hint="give major and minor, as in --python 3.12")
    return text


def parse_backend(text: str) -> str:
    """Turn ``--backend``, in whatever case, into PyTorch's name; raises InputError where it has none."""
    name = text.lower()
    if name not in ("cpu", DEFAULT_BACKEND) and not re.fullmatch(r"cu(9[0-9]|[0-9]{3})", name):
        raise InputError(
            f"unknown backend {text!r}",
            hint="use cpu, cu130 (CUDA 13.0), cu126 and so on, or default: torch as your index offers it",
        )
    return name


def parse_torch(text: str) -> str:
    """Turn ``--torch`` into a normalised public version; raises InputError for anything else."""
    try:
        version = Version(text)
    except ValueError:  # InvalidVersion, and what int says to thousands of digits
        raise InputError(f"unknown torch {text[:40]!r}", hint="write it as in --torch 2.13.0") from None
    if version.local or len(version.release) != 3:
        raise InputError(
            f"torch {text!r} is not a full public version",
            hint="give it as in --torch 2.13.0; what it runs on is chosen with --backend",
        )
    return str(version)
