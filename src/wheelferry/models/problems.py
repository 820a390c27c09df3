"""What is found to be wrong with a bundle, and what is only worth knowing."""

from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """What can be wrong with a bundle. The value is the sentence that explains the code."""

    MANIFEST = "the manifest is not the text wheelferry wrote"
    SIGNATURE = "the manifest is not signed as it should be"
    FILE_MISSING = "a file of the manifest is not there"
    FILE_CHANGED = "a file's bytes are not the manifest's"
    FILE_UNLISTED = "a file is there that the manifest does not list"
    REPORT_CHANGED = "an earlier report was altered after it was written"
    LOCK_UNREADABLE = "a lock file cannot be read"
    LOCK_DISAGREES = "requirements and pylock say different things"
    LOCK_HASH = "the lock's hash is not the wheel's"
    WHEEL_MISSING = "the lock names a wheel that is not in the wheelhouse"
    WHEEL_UNLOCKED = "a wheel is in no lock"
    WHEEL_UNREADABLE = "a wheel cannot be read"
    RECORD = "a wheel's contents are not what its RECORD says"
    METADATA = "a wheel's metadata cannot be read by the tools of today"
    COMPRESSION = "a wheel is compressed in a way that not every installer reads"
    INCOMPLETE = "a wheel was built without what its build should have downloaded"
    NAME = "a wheel's file name and its metadata differ"
    TAGS = "a wheel's file name and its WHEEL file give different tags"
    PLATFORM = "a wheel does not fit the target"
    PYTHON = "a wheel does not allow the target's Python"
    REQUIREMENT = "a requirement is not satisfied inside the bundle"
    UNREQUIRED = "a wheel that nothing on the target requires"
    SAME_FILE = "two wheels install the same file with other content"
    SCRIPT = "a wheel's script takes the place of one that the environment or another wheel has"
    TORCH = "the built wheel is not tied to the torch of the lock"
    OPS = "a compiled module is missing"
    CUDA = "code for a GPU that the target promises is missing"
    BUILDS = "torch and torchvision are of different builds"
    SYMBOLS = "a compiled module wants functions that the torch of the lock does not have"
    GLIBC = "a compiled module needs a newer glibc than the target has"
    MACOS = "a compiled module needs a newer macOS than the target has"
    LIBRARY = "a compiled module needs a library that nobody brings"
    MACHINE = "a compiled module is not for the target's system and processor"
    UNSIGNED = "a compiled module is not signed as Macs with Apple's processors demand"
    PATH_LENGTH = "a file's path would be too long for Windows"
    SEARCH_PATH = "a compiled module looks for libraries in folders of the building machine"
    INSTALL = "the installation failed"
    DISAGREES = "pip or uv would not install what the bundle's installer installed, or the lock says"
    NETWORK = "the sandbox could reach a network"
    CONFLICT = "pip check found a conflict"
    IMPORT = "a module cannot be imported"
    CONNECTION = "code of the bundle tried to reach another machine, and nothing allows it"
    ASSET = "weights or data are not where the project looks for them"
    APP = "a program for the client is not whole, or does not start"
    CHECK = "a check of the smoke suite failed"
    CRASH = "the smoke suite ended without saying how"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong: its code, the file (or check) concerned, and what was seen."""

    code: Code
    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message} [{self.code.name}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A remark that is no problem: the file concerned, and on which clients or in which uses it matters."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"
