"""The profile of a client: what its document must hold for a bundle to be made for that machine."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wheelferry.client.preflight.examine import PROFILE_FORMAT
from wheelferry.errors import InputError

Profile = Mapping[str, Any]


class _Part(BaseModel):
    # a command that reads none of these must not wait for their validators
    model_config = ConfigDict(extra="ignore", defer_build=True)


class _Cpu(_Part):
    model: str
    level: int | None
    features: list[str] | None = None


class _Python(_Part):
    path: str
    version: Annotated[str, Field(pattern=r"^3\.\d+\.")]
    implementation: str
    bits: int
    platform: str
    musl: bool
    free_threaded: bool
    virtual: bool
    venv: bool
    conda: bool
    conda_base: bool


class _Device(_Part):
    name: str
    capability: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None


class _Nvidia(_Part):
    driver: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")] | None
    devices: list[_Device]
    error: str


class _Variable(_Part):
    name: str
    value: str


class _TorchBuild(_Part):
    version: str
    cuda: str
    cxx11_abi: bool | None
    libraries: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]


class _Environment(_Part):
    python: str
    version: Annotated[str, Field(pattern=r"^3\.\d+\.")]
    soabi: str
    packages: dict[str, str]
    torch: _TorchBuild | None


class _Folder(_Part):
    path: str
    existing: str
    device: str | None
    free_bytes: int | None
    free_inodes: int | None
    file_system: str
    noexec: bool
    read_only: bool
    writable: bool
    reason: str
    symlinks: bool | None
    hard_links: bool | None
    executable: bool | None
    largest_file: int | None
    longest_name: int | None


class _Profile(_Part):
    """What preflight reads of a profile."""

    system: str
    machine: str
    os: str
    glibc: Annotated[str, Field(pattern=r"^2\.\d+$")] | None
    loader: bool | None
    # of profiles that were written before macOS was known
    macos: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")] | None = None
    translated: bool = False
    cpu: _Cpu
    pythons: list[_Python]
    environments: list[_Environment] = []
    nvidia: _Nvidia | None
    vc_runtime: list[str] | None
    long_paths: bool | None
    environment: list[_Variable]
    configuration: list[str]
    folders: list[_Folder]


def parse_profile(text: str, *, file: str) -> Profile:
    """Read what ``wheelferry probe`` or probe.pyz wrote; raises InputError that names every problem."""
    again = "write it on the client with probe.pyz (wheelferry probe --script probe.pyz)"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a profile: it is not JSON ({error})", hint=again) from None
    made_for = document.get("format") if isinstance(document, dict) else None
    if made_for is None:
        raise InputError(f"{file} is not a profile: it does not say its format", hint=again)
    if made_for != PROFILE_FORMAT:
        raise InputError(
            f"{file} has format {made_for}, this wheelferry reads {PROFILE_FORMAT}",
            hint="write it with this wheelferry's own script (wheelferry probe --script probe.pyz)",
        )
    try:
        return TypeAdapter(_Profile).validate_python(document, strict=True).model_dump()
    except ValidationError as error:
        found = [f"{file}: {'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()]
        raise InputError("\n".join(found), hint=again) from None
