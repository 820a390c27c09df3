"""SBOM: CycloneDX documents about an inspected bundle, one a target; the same bundle gives the same bytes."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from wheelferry import __version__
from wheelferry.cache.pip_config import public_url
from wheelferry.inspection.inspect import InspectedTarget, Inspection, Package, require_outside
from wheelferry.models.manifest import Asset, File, Manifest, Runtime
from wheelferry.system.files import check_folder, write_atomic
from wheelferry.verification.static import checks
from wheelferry.wheels.licences import Licence

# What scanners read today; the library also writes 1.7.
SPECIFICATION = SchemaVersion.V1_6
SUFFIX = ".cdx.json"
_SERIAL = uuid.UUID("6f7f5d5e-2f0c-5a52-9c0b-6b8d1c0b7f3a")


def write_sboms(inspection: Inspection, folder: Path) -> tuple[Path, ...]:
    """Write ``<target>.cdx.json`` into `folder` for every inspected target; returns the files.

    Raises InputError for a folder inside the bundle, which would no longer be what was packed, or a file.
    """
    require_outside(inspection.root, folder, option="--sbom")
    check_folder(folder, option="--sbom")
    texts = {
        folder / f"{target.entry.target.name}{SUFFIX}": sbom(inspection, target)
        for target in inspection.targets
    }
    for path, text in texts.items():
        write_atomic(path, text)
    return tuple(texts)


def sbom(inspection: Inspection, target: InspectedTarget) -> str:
    """The CycloneDX document of one target, as JSON text.

    Its serial number follows from the bundle's digest and the target; it bears no date. Hashes are those of
    the manifest, licences those that the wheels state.
    """
    manifest = inspection.manifest
    files = {file.path: file for file in manifest.files}
    root = _root(manifest, target)
    tool = Component(name="wheelferry", version=__version__, type=ComponentType.APPLICATION)
    wheels = {package.info.name: _wheel(package) for package in target.packages}
    installers = [_wheel(package) for package in target.installers]
    others = [*(_asset(asset, files[asset.path]) for asset in manifest.assets)]
    if target.entry.runtime:
        others.append(_runtime(target.entry.runtime, files[target.entry.runtime.path]))
    bom = Bom(
        serial_number=uuid.uuid5(_SERIAL, f"{manifest.digest}/{target.entry.target.name}"),
        metadata=BomMetaData(
            component=root,
            tools=ToolRepository(components=[tool]),
        ),
        components=[*wheels.values(), *installers, *others],
    )
    roots, graph = _graph(manifest, target)
    bom.register_dependency(root, [*(wheels[name] for name in sorted(roots)), *installers, *others])
    for name, required in sorted(graph.items()):
        bom.register_dependency(wheels[name], [wheels[other] for other in sorted(required)])
    document = json.loads(make_outputter(bom, OutputFormat.JSON, SPECIFICATION).output_as_string())
    del document["metadata"]["timestamp"]  # the library's own clock
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _graph(
    manifest: Manifest, target: InspectedTarget
) -> tuple[set[NormalizedName], Mapping[NormalizedName, Iterable[NormalizedName]]]:
    """The wheels that were asked for, and for every wheel those that it requires on the target.

    What nothing requires counts as asked for: older bundles do not say what was.
    """
    infos = {package.info.name: package.info for package in target.packages}
    environment = target.entry.target.marker_environment
    own = [Requirement(project.distribution) for project in manifest.projects]
    asked = [*own, *map(Requirement, target.entry.requested)]
    asked = [one for one in asked if one.marker is None or one.marker.evaluate({**environment, "extra": ""})]
    left = set(infos) - set(checks.reached(asked, infos, environment))
    asked += [Requirement(name) for name in sorted(left)]
    roots = {canonicalize_name(one.name) for one in asked} & set(infos)
    return roots, checks.reached(asked, infos, environment)


def _root(manifest: Manifest, target: InspectedTarget) -> Component:
    identity = target.entry.target
    return Component(
        name=" + ".join(one.recipe for one in manifest.projects),
        version=" + ".join(one.release for one in manifest.projects),
        type=ComponentType.APPLICATION,
        bom_ref=f"bundle:{manifest.digest}",
        properties=[
            Property(name="wheelferry:digest", value=manifest.digest),
            Property(name="wheelferry:target", value=identity.name),
            *(Property(name="wheelferry:commit", value=one.commit) for one in manifest.projects),
        ],
    )


def _wheel(package: Package) -> Component:
    purl = PackageURL(
        type="pypi",
        name=package.info.name,
        version=str(package.info.version),
        qualifiers={"file_name": package.filename},
    )
    return Component(
        name=package.info.name,
        version=str(package.info.version),
        type=ComponentType.LIBRARY,
        bom_ref=package.file.path,
        purl=purl,
        hashes=_hashes(package.file),
        licenses=_licences(package.licence),
        external_references=_references(package),
        properties=_properties(package),
    )


def _asset(asset: Asset, file: File) -> Component:
    return Component(
        name=asset.path.rpartition("/")[2],
        type=ComponentType.DATA,
        bom_ref=asset.path,
        hashes=_hashes(file),
        licenses=[DisjunctiveLicense(name=asset.licence)] if asset.licence else [],
        external_references=_distribution(asset.origin),
    )


def _runtime(runtime: Runtime, file: File) -> Component:
    return Component(
        name="CPython",
        version=runtime.version,
        type=ComponentType.PLATFORM,
        bom_ref=runtime.path,
        hashes=_hashes(file),
    )


def _hashes(file: File) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)]


def _licences(licence: Licence) -> list[License]:
    declared = LicenseAcknowledgement.DECLARED
    if is_supported_id(licence.expression):
        return [DisjunctiveLicense(id=licence.expression, acknowledgement=declared)]
    if licence.expression:
        return [LicenseExpression(licence.expression, acknowledgement=declared)]
    return [DisjunctiveLicense(name=licence.stated, acknowledgement=declared)] if licence.stated else []


def _references(package: Package) -> Iterable[ExternalReference]:
    if package.origin.kind == "built":
        return _address(ExternalReferenceType.VCS, package.origin.url)
    kind = ExternalReferenceType
    return _address(
        kind.SOURCE_DISTRIBUTION if package.origin.kind == "sdist" else kind.DISTRIBUTION, package.origin.url
    )


def _distribution(origin: str) -> Iterable[ExternalReference]:
    return _address(ExternalReferenceType.DISTRIBUTION, public_url(origin))


def _address(kind: ExternalReferenceType, url: str) -> list[ExternalReference]:
    """A reference, where there is an address that somebody else can follow."""
    return [ExternalReference(type=kind, url=XsUri(url))] if url.startswith(("https:", "http:")) else []


def _properties(package: Package) -> Iterator[Property]:
    yield Property(name="wheelferry:origin", value=package.origin.kind)
    if package.origin.commit:
        yield Property(name="wheelferry:commit", value=package.origin.commit)
    if package.origin.key:
        yield Property(name="wheelferry:build-key", value=package.origin.key)
    if package.licence.doubt:
        yield Property(name="wheelferry:licence-doubt", value=package.licence.doubt)
