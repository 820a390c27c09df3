"""A user's own data set in a verification: examined first, made ready for the suite, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheelferry.bundle.reader import open_bundle
from wheelferry.cache.tools import Tools
from wheelferry.client.data.ready import make_ready, unpacked
from wheelferry.client.smoke.own_data import OwnData, locate, require_support, write_request
from wheelferry.verification.machines.machine import Machine

REQUEST = "own-data.json"


@dataclass(frozen=True, kw_only=True)
class ReadyData:
    """A data set without errors, as COCO JSON in `folder`; `facts` are what the report says of it."""

    own: OwnData
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """What the machine that is trained on must be able to read."""
        given = [name for name in (self.own.weights, self.own.config) if name and Path(name).is_absolute()]
        return (self.folder, *map(Path, given))

    def request(self, folder: Path, machine: Machine) -> Path:
        """Write what the suite's harness reads on `machine` to `folder`; the file."""
        path = folder / REQUEST
        write_request(str(path), self.own, str(self.folder), lambda name: machine.sandbox.spell(Path(name)))
        return path


def make_data_ready(own: OwnData, root: Path, work: Path, tools: Tools) -> ReadyData:
    """Examine the data set for the bundle in `root`, and write it as COCO JSON below `work`.

    What is not found on this machine is looked for among the bundle's assets. Raises InputError where there
    is no bundle, BadInput with all findings for a data set with errors and for a bundle without such a check.
    """
    open_bundle(root)
    require_support(str(root / "smoke"))
    found = locate(own, str(root))
    data = unpacked(found.data, str(work / "data-set"))
    result = make_ready(data, str(work / "own-data"), tools.progress, tools.jobs)
    facts = {
        **own.to_json(),
        "format": result["format"],
        "parts": {split["name"]: split["fit_pictures"] for split in result["splits"]},
        "objects": sum(split["fit_objects"] for split in result["splits"]),
        "categories": list(result["categories"]),
        "findings": dict(result["counts"]),
    }
    return ReadyData(own=found, folder=Path(result["out"]), facts=facts)
