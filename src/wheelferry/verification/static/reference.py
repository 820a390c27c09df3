"""What a thin target's client has already, in the index's wheels: a bundle's own are compared with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from wheelferry.models.lock import LockedWheel
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.present import by_name
from wheelferry.models.problems import Note, Problem
from wheelferry.models.wheel_info import WheelInfo
from wheelferry.verification.static.checks import LongestPath
from wheelferry.verification.static.ownership import check_owners
from wheelferry.verification.static.torch_symbols import TORCH
from wheelferry.wheels.compiled import ElfFiles, MachoFiles, PeFiles
from wheelferry.wheels.contents import Contents


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The index's wheels of what is present on a client, by name; empty for a bundle that carries all.

    `contents` are what is in them, by path; `torch` is torch's own. `lacking` says why there is none of some.
    """

    paths: Mapping[NormalizedName, str] = field(default_factory=dict)
    infos: Mapping[NormalizedName, WheelInfo] = field(default_factory=dict)
    contents: Mapping[str, Contents] = field(default_factory=dict)
    torch: LockedWheel | None = None
    lacking: Mapping[NormalizedName, str] = field(default_factory=dict)

    @property
    def pe_files(self) -> dict[str, PeFiles]:
        """The DLLs of each wheel."""
        return {path: found.pe_files for path, found in self.contents.items()}

    @property
    def elf_files(self) -> dict[str, ElfFiles]:
        """The Linux binaries of each wheel."""
        return {path: found.elf_files for path, found in self.contents.items()}

    @property
    def macho_files(self) -> dict[str, MachoFiles]:
        """The macOS binaries of each wheel."""
        return {path: found.macho_files for path, found in self.contents.items()}

    def lacks_torch(self, entry: TargetEntry) -> bool:
        """Whether the client has a torch that no index has."""
        return TORCH in by_name(entry.present) and TORCH not in self.infos

    def is_about_bundle(self, finding: Problem | Note | LongestPath) -> bool:
        """Whether a finding is about a wheel of the bundle, and not about one of these."""
        return finding.file not in self.paths.values()


def compare_with_present(
    reference: Reference, entry: TargetEntry, wheels: Mapping[str, WheelInfo]
) -> Iterator[Problem | Note]:
    """Files that a wheel and a package of the client both have; and what could not be compared."""
    there = {reference.paths[name]: info for name, info in reference.infos.items()}
    if there:
        alone = set(check_owners(wheels, entry.target))
        together = check_owners({**wheels, **there}, entry.target)
        yield from (one for one in together if one not in alone and reference.is_about_bundle(one))
    for one in entry.present:
        reason = reference.lacking.get(one.name)
        if reason:
            what = "whether the wheels find in its libraries what they want, and " if one.is_torch else ""
            message = f"{one} could not be compared ({reason}): {what}whether files of both are called alike"
            yield Note(file=entry.pylock, message=message)
