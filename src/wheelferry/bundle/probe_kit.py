"""A folder to carry to a client before there is a bundle: it writes the client's profile."""

from collections.abc import Sequence
from pathlib import Path

from wheelferry.bundle.pack import CREATED_BY, check_output, seal
from wheelferry.bundle.runtime import STANDALONE, fetch_standalone, take_archive
from wheelferry.cache.tools import Tools
from wheelferry.models.manifest import Manifest
from wheelferry.models.targets import DEFAULT_BACKEND, DEFAULT_GLIBC_MINOR, Target
from wheelferry.system.files import folder_aside

# Any Python does to look at a machine.
_ANY = Target(
    python="3.12", platform=f"manylinux_2_{DEFAULT_GLIBC_MINOR}_x86_64", torch="0", backend=DEFAULT_BACKEND
)


def write_probe_kit(out: Path, runtimes: Sequence[str], tools: Tools) -> Manifest:
    """A bundle in `out` that has no target: its installer can look at a machine, and nothing else."""
    check_output(out)
    manifest = Manifest(
        recipe="probe",
        release="",
        distribution="",
        source="",
        commit="",
        created_by=CREATED_BY,
        targets=(),
        files=(),
    )
    with folder_aside(out) as work:
        known = {}
        for given in runtimes:
            carried = (
                fetch_standalone(_ANY, tools) if given == STANDALONE else take_archive(Path(given), tools)
            )
            (work / "runtime").mkdir(exist_ok=True)
            tools.store.place(carried.entry.sha256, work / carried.runtime.path)
            known[carried.runtime.path] = carried.entry.sha256
        return seal(work, manifest, known)
