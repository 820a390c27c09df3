"""Diff: what another bundle has that this one has not, from what the two say of themselves."""

from pathlib import Path

from wheelferry.bundle.reader import open_untouched
from wheelferry.errors import IntegrityError
from wheelferry.models.lock import parse_requirements
from wheelferry.transfer.differences import Bundle, Difference, compare


def diff(old: Path, new: Path) -> Difference:
    """Compare two bundles by their manifests and locks; the other files are not read."""
    return compare(read_bundle(old), read_bundle(new))


def read_bundle(root: Path) -> Bundle:
    """What is compared; InputError for a folder that is no bundle, IntegrityError for a damaged one."""
    manifest = open_untouched(root)
    pins = {}
    for entry in manifest.targets:
        path = root / entry.requirements
        try:
            pins[entry.target.name] = parse_requirements(path.read_text("utf-8"))
        except FileNotFoundError:
            raise IntegrityError(
                f"{path} is missing", hint="diff needs bundle.json and the locks of both bundles"
            ) from None
        except ValueError as error:
            raise IntegrityError(f"{path}: {error}", hint="copy the bundle again") from None
    return Bundle(manifest=manifest, pins=pins)
