"""A target: the Python, platform, torch and backend that a set of wheels must fit.

Tags follow PEP 425 and PEP 600; marker values follow PEP 508. Nothing here looks at the host.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.version import Version

from wheelferry.errors import InputError

_MANYLINUX = re.compile(r"^manylinux_2_(?P<minor>[0-9]{1,3})_(?P<arch>x86_64|aarch64)$")
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC_MINOR = {"x86_64": 5, "aarch64": 17}

DEFAULT_BACKEND = "default"

# torch's own Linux wheels have been manylinux_2_28 since 2.6: nothing older can run beside them.
DEFAULT_GLIBC_MINOR = 28


@dataclass(frozen=True, kw_only=True)
class Target:
    """One cell: wheels for this Python on this platform beside this torch.

    `platform` is a wheel platform tag (``manylinux_2_28_x86_64``, ``win_amd64``); `backend` is a build of
    torch and what the compiled ops run on, as PyTorch spells it (``cpu``, ``cu130``), or ``default``:
    the build that the user's own index offers, with ops for the CPU.
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
        """Whether it is Windows, and not Linux."""
        return self.platform.startswith("win")

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
        windows = self.is_windows
        linux_machine = "aarch64" if self.platform.endswith("aarch64") else "x86_64"
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "nt" if windows else "posix",
            "platform_machine": "AMD64" if windows else linux_machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Windows" if windows else "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "win32" if windows else "linux",
        }

    @property
    def uv_platform(self) -> str:
        """The same platform as uv's ``--python-platform`` spells it."""
        if self.platform == "win_amd64":
            return "x86_64-pc-windows-msvc"
        match = _MANYLINUX.match(self.platform)
        if match is None:
            raise InputError(f"platform {self.platform}: uv cannot resolve for it")
        return f"{match['arch']}-manylinux_2_{match['minor']}"


def platform_tags(platform: str) -> Iterator[str]:
    """Yield every platform tag a machine with `platform` accepts, newest first."""
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
    if text == "win_amd64" or _MANYLINUX.match(text):
        return text
    raise InputError(
        f"unknown platform {text!r}",
        hint="use linux_x86_64, manylinux_2_28_x86_64 (any 2_NN), the same with aarch64, or win_amd64",
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
