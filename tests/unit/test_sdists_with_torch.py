"""Sdists whose build needs torch: found out, built with the bundle's torch, or refused in time."""

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from conftest import RECIPE, TARGET, write_wheel
from wheelferry.build.dependencies import lock, with_torch
from wheelferry.build.dependencies.closure import Closure, Wanted, resolve_closure
from wheelferry.build.dependencies.with_torch import build_with_torch, obstacle
from wheelferry.build.populate import build_sdists, populate
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import NeedsTorchError, speaks_of_torch
from wheelferry.errors import BuildError, InputError, IntegrityError
from wheelferry.models.lock import Choice
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.planning.requirements import given_with
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import Interpreter
from wheelferry.system.process import Completed
from wheelferry.toolchains import native
from wheelferry.toolchains.native import Compiler
from wheelferry.wheels.read import read_wheel

OLDER = replace(TARGET, torch="2.12.1")
WINDOWS = replace(TARGET, platform="win_amd64", backend="default")
HULL = "hull-1.0.tar.gz"

IMPORTED = """error: Failed to build `hull==1.0`
  cause: Call to `setuptools.build_meta:__legacy__.get_requires_for_build_wheel` failed (exit status: 1)
         ModuleNotFoundError: No module named 'torch'
"""
QUIET = """error: Failed to build `/work/hull-1.0.tar.gz`
hint: This error likely indicates that `hull@1.0` depends on `torch`, but doesn't declare it as a build
"""
DECLARED = """error: Failed to download and build `hull==1.0`
  cause: Failed to resolve requirements from `build-system.requires`
  cause: you require torch<0, which does not allow any versions
"""
OTHER = """error: Failed to build `hull==1.0`
         ModuleNotFoundError: No module named 'torchlike'
"""

# Builds a wheel without setuptools, a compiler or torch.
BACKEND = """
import zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    if {fails}:
        raise SystemExit("this does not compile")
    files = {{
        "hull/__init__.py": "",
        "hull-1.0.data/scripts/hull": "#!python",
        "hull-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: hull\\nVersion: 1.0\\n\\n",
        "hull-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "hull-1.0.dist-info/RECORD": "",
    }}
    with zipfile.ZipFile(directory + "/hull-1.0-py3-none-any.whl", "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return "hull-1.0-py3-none-any.whl"
"""


def write_sdist(folder: Path, *, fails: bool = False, ops: bool = False) -> Path:
    """An sdist that declares torch for its build; with `ops` its setup.py compiles something with it."""
    project = '[build-system]\nrequires = ["torch>=2"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": project, "backend.py": BACKEND.format(fails=fails)}
    if ops:
        files["setup.py"] = "from torch.utils.cpp_extension import CppExtension\n"
    path = folder / HULL
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"hull-1.0/{name}")
            info.size, info.mtime = len(text), 1_600_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def package(path: Path) -> str:
    name, version = path.name.removesuffix(".tar.gz").split("-")[:2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = f'{{ name = "{path.name}", url = "{path.as_uri()}", hashes = {{ sha256 = "{digest}" }} }}'
    files = f"sdist = {file}" if path.name.endswith(".tar.gz") else f"wheels = [{file}]"
    return f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n{files}\n'


def pylock(*files: Path) -> str:
    return 'lock-version = "1.0"\ncreated-by = "tests"\n' + "".join(map(package, files))


class FakeUv:
    """An index with torch and an sdist that needs it; what lies in the folder of links counts too."""

    program = Path("uv")

    def __init__(self, folder: Path, sdist: Path) -> None:
        self.folder, self.sdist = folder, sdist
        self.asked: list[dict[str, Any]] = []
        self.environments: list[list[str]] = []

    def resolve(self, target: Target, **options: Any) -> str:
        self.asked.append(options)
        names = [requirement.partition("==")[0] for requirement in options["requirements"]]
        files = [self.torch(target)]
        if "hull" in names:
            made = sorted(options["find_links"].glob("hull-*.whl"))
            if not made and "hull" in options.get("only_binary", ()):
                raise InputError("hull has no usable wheels")
            if not made:
                raise NeedsTorchError("hull", "1.0")
            files += made
        return pylock(*files)

    def torch(self, target: Target) -> Path:
        path = self.folder / f"torch-{target.torch}-py3-none-any.whl"
        return path if path.exists() else write_wheel(self.folder, "torch", target.torch)

    def locate_sdist(self, name: str, version: str, **_: Any) -> str:
        assert (name, version) == ("hull", "1.0")
        return pylock(self.sdist)

    def make_environment(
        self, _folder: Path, _interpreter: Interpreter, wheels: Sequence[Path], **_: Any
    ) -> Path:
        self.environments.append([path.name for path in wheels])
        return Path(sys.executable)


PYTHON = Interpreter(path=Path(sys.executable), version="3.11.7", headers=Path("include"))


def a_plan(target: Target, *required: str) -> Plan:
    """A plan of the tests' own recipe, with another torch beside its own, for Linux and for Windows."""
    entry = '[[torch]]\nversion = "2.13.0"\npython = ">=3.10,<3.15"\n'
    wider = entry + 'windows = ">=3.10,<3.15"\n'
    text = RECIPE.replace(entry, wider + wider.replace("2.13.0", "2.12.1"))
    recipe = parse_recipe(text, file="tiny.toml")
    return make_plan(recipe, "1.0", [target], required=[given_with(line) for line in required])


@pytest.fixture
def uv(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> FakeUv:
    """What would need a compiler is stood in for; the backend of the sdist really runs."""

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(with_torch, "require_headers", lambda *_: None)
    monkeypatch.setattr(native, "find_compiler", lambda *_, **__: Compiler(path=Path("cc"), identity="cc 1"))
    monkeypatch.setattr(with_torch, "build_variables", lambda *_: dict(os.environ))
    return FakeUv(tmp_path / "index", write_sdist(tmp_path))


def with_uv(tools: Tools, uv: FakeUv) -> Tools:
    return replace(tools, uv=uv)  # type: ignore[arg-type]


def build(uv: FakeUv, tools: Tools, target: Target = TARGET, *required: str) -> tuple[Choice, Entry]:
    plan = a_plan(target, *required)
    return build_with_torch(plan, plan.cells[0], "hull", "1.0", PYTHON, with_uv(tools, uv))


# ---------------------------------------------------------------------------------------------- found out


@pytest.mark.parametrize("output", [IMPORTED, QUIET, DECLARED])
def test_a_build_that_lacks_torch_is_recognised(output: str) -> None:
    assert speaks_of_torch(output)


@pytest.mark.parametrize("output", [OTHER, "cause: you require torch<0.9, which", "error: no compiler", ""])
def test_other_failures_are_not_taken_for_it(output: str) -> None:
    assert not speaks_of_torch(output)


class Uvs:
    """Stands in for the program uv: fails with `output`, and keeps the limits for builds."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.limits = ""

    def __call__(self, command: Sequence[str | Path], *, check: bool = True, **_: Any) -> Completed:
        self.limits = Path(command[command.index("--build-constraints") + 1]).read_text("utf-8")
        if check:
            raise BuildError(self.output)
        return Completed(returncode=1, output=self.output)


@pytest.mark.parametrize("output", [IMPORTED, DECLARED])
def test_the_resolver_gives_no_torch_to_builds_and_says_which_wants_it(
    output: str, tmp_path: Path, tools: Tools
) -> None:
    program = Uvs(output)
    uv = replace(tools.uv, run=program)
    with pytest.raises(NeedsTorchError, match=r"hull 1\.0 exists only as an sdist") as caught:
        uv.resolve(
            TARGET, requirements=["hull"], constraints=[], find_links=None, interpreter=PYTHON, work=tmp_path
        )
    assert (caught.value.name, caught.value.version) == ("hull", "1.0")
    assert "--wheel FILE" in (caught.value.hint or "")
    assert "recipe" in (caught.value.hint or "")
    assert program.limits.split() == ["torch<0"]


def test_another_failure_of_the_resolver_stays_what_it_is(tmp_path: Path, tools: Tools) -> None:
    uv = replace(tools.uv, run=Uvs(OTHER))
    with pytest.raises(InputError, match="torchlike") as caught:
        uv.resolve(
            TARGET, requirements=["hull"], constraints=[], find_links=None, interpreter=PYTHON, work=tmp_path
        )
    assert not isinstance(caught.value, NeedsTorchError)


def test_an_sdist_with_metadata_is_found_out_when_it_is_built(tmp_path: Path, tools: Tools) -> None:
    program = Uvs(QUIET)
    tools = replace(tools, uv=replace(tools.uv, run=program))
    path = write_sdist(tmp_path)
    choice = Choice(
        name=canonicalize_name("hull"), version=Version("1.0"), filename=HULL,
        url=path.as_uri(), sha256=None, is_sdist=True,
    )  # fmt: skip
    with pytest.raises(NeedsTorchError, match=r"hull 1\.0"):
        build_sdists([choice], TARGET, PYTHON, tools, sdist_constraints=("setuptools==68.0.0",))
    assert program.limits.split() == ["setuptools==68.0.0", "torch<0"]


# ------------------------------------------------------------------------------------------------ built


def test_the_wheel_says_for_which_torch_it_was_made(uv: FakeUv, tools: Tools) -> None:
    choice, entry = build(uv, tools)
    assert choice.url == uv.sdist.as_uri()
    assert entry.filename == "hull-1.0+pt2.13.0cpu-py3-none-any.whl"
    info = read_wheel(tools.store.path(entry.sha256))
    assert [str(requirement) for requirement in info.requires] == ["torch==2.13.0"]
    assert "hull-1.0+pt2.13.0cpu.data/scripts/hull" in info.files
    stamp = json.loads(info.stamp or b"")
    assert stamp["source"] == hashlib.sha256(uv.sdist.read_bytes()).hexdigest()
    assert stamp["torch"]["sha256"] == hashlib.sha256(uv.torch(TARGET).read_bytes()).hexdigest()
    # what the sdist declares, beside the torch that is shipped
    assert uv.asked[0]["requirements"][0] == "torch==2.13.0"
    assert "torch>=2" in uv.asked[0]["requirements"]
    assert uv.environments == [["torch-2.13.0-py3-none-any.whl"]]


def test_it_is_built_once_for_each_torch(uv: FakeUv, tools: Tools) -> None:
    first = build(uv, tools)
    assert build(uv, tools) == first
    assert len(uv.environments) == 1
    _, other = build(uv, tools, OLDER)
    assert other.filename == "hull-1.0+pt2.12.1cpu-py3-none-any.whl"
    assert uv.environments[1:] == [["torch-2.12.1-py3-none-any.whl"]]


def test_another_file_of_the_same_torch_is_another_torch(uv: FakeUv, tools: Tools) -> None:
    _, first = build(uv, tools)
    write_wheel(uv.folder, "torch", "2.13.0", files={"torch/other.py": b""})
    _, second = build(uv, tools)
    assert second.sha256 != first.sha256
    assert len(uv.environments) == 2


def test_a_failing_build_names_the_other_ways(uv: FakeUv, tools: Tools, tmp_path: Path) -> None:
    write_sdist(tmp_path, fails=True)
    with pytest.raises(
        BuildError, match=r"(?s)hull-1\.0\.tar\.gz does not build with torch 2\.13\.0: .*"
    ) as caught:
        build(uv, tools)
    assert "this does not compile" in str(caught.value)
    assert "--wheel FILE" in (caught.value.hint or "")


def test_an_sdist_that_wants_another_torch_is_named(
    uv: FakeUv, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise InputError("torch==2.13.0 and torch>=2 do not go together")

    monkeypatch.setattr(uv, "resolve", refuse)
    with pytest.raises(InputError, match=r"^hull-1\.0\.tar\.gz declares to be built with torch>=2: torch==2"):
        build(uv, tools)


def test_the_hash_that_the_user_gave_is_that_of_the_sdist(uv: FakeUv, tools: Tools) -> None:
    digest = hashlib.sha256(uv.sdist.read_bytes()).hexdigest()
    plan = a_plan(TARGET, f"hull==1.0 --hash=sha256:{digest}")
    closure = resolve(plan, uv, tools)
    assert [entry.filename for entry in closure.built.values()] == ["hull-1.0+pt2.13.0cpu-py3-none-any.whl"]
    with pytest.raises(IntegrityError, match="given hashes"):
        build(uv, tools, TARGET, f"hull==1.0 --hash=sha256:{'0' * 64}")


# --------------------------------------------------------------------------------------------- resolved


def resolve(plan: Plan, uv: FakeUv, tools: Tools) -> Closure:
    with tools.store.workspace("test") as work:
        (work / "links").mkdir()
        wanted = Wanted(requirements=["hull"], constraints=[], links=work / "links", interpreter=PYTHON)
        return resolve_closure(plan, plan.cells[0], wanted, work, with_uv(tools, uv))


def test_what_was_built_is_resolved_as_a_wheel_and_locked_as_its_sdist(uv: FakeUv, tools: Tools) -> None:
    closure = resolve(a_plan(TARGET), uv, tools)
    assert {choice.name: choice.filename for choice in closure.choices} == {
        "torch": "torch-2.13.0-py3-none-any.whl", "hull": HULL,
    }  # fmt: skip
    wheels = populate(closure.choices, TARGET, PYTHON, with_uv(tools, uv), built=closure.built)
    assert [(wheel.filename, wheel.origin) for wheel in wheels] == [
        ("hull-1.0+pt2.13.0cpu-py3-none-any.whl", HULL),
        ("torch-2.13.0-py3-none-any.whl", "torch-2.13.0-py3-none-any.whl"),
    ]


def test_a_resolver_that_does_not_take_the_wheel_is_not_asked_for_ever(uv: FakeUv, tools: Tools) -> None:
    class Stubborn(FakeUv):
        def resolve(self, target: Target, **options: Any) -> str:
            if "hull" in options["requirements"]:
                raise NeedsTorchError("hull", "1.0")
            return super().resolve(target, **options)

    with pytest.raises(NeedsTorchError):
        resolve(a_plan(TARGET), Stubborn(uv.folder, uv.sdist), tools)


# -------------------------------------------------------------------------------------------- refused


def test_where_it_can_be_built(uv: FakeUv) -> None:
    assert obstacle(a_plan(TARGET).cells[0]) is None
    arm = replace(TARGET, platform="manylinux_2_28_aarch64")
    for foreign in (WINDOWS, arm):
        cell = replace(a_plan(TARGET).cells[0], target=foreign)
        assert foreign.platform in (obstacle(cell) or "")
    gpu = a_plan(replace(TARGET, backend="cu130")).cells[0]
    assert "GPU" in (obstacle(gpu) or "")


def test_for_another_platform_it_is_refused_before_the_project_is_compiled(
    uv: FakeUv, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "find_interpreter", lambda *_, **__: PYTHON)
    plan = a_plan(WINDOWS, "hull")
    write_sdist(uv.sdist.parent, ops=True)
    with pytest.raises(
        InputError, match=r"(?s)no wheel for .*hull: its build needs torch.*win_amd64"
    ) as caught:
        lock.require_resolvable(plan, plan.cells[0], with_uv(tools, uv))
    assert "--wheel FILE" in (caught.value.hint or "")
    assert "recipe" in (caught.value.hint or "")
    assert [list(asked["only_binary"]) for asked in uv.asked] == [[], ["hull"]]
    assert uv.environments == []


def test_for_another_platform_what_compiles_nothing_is_built_without_torch(
    uv: FakeUv, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "find_interpreter", lambda *_, **__: PYTHON)
    plan = a_plan(WINDOWS, "hull")
    cell, own = plan.cells[0], with_uv(tools, uv)
    for _ in range(2):
        lock.require_resolvable(plan, cell, own)
    wanted = Wanted(requirements=["hull"], constraints=[], links=uv.folder / "links", interpreter=PYTHON)
    wanted.links.mkdir()
    closure = resolve_closure(plan, cell, wanted, uv.folder / "work", own)
    (wheel,) = closure.built.values()
    assert wheel.filename == "hull-1.0-py3-none-any.whl", "it is tied to no torch"
    assert HULL in [choice.filename for choice in closure.choices]
    assert [] in [list(asked["requirements"]) for asked in uv.asked], "torch is left out of what it declares"
    assert len(uv.environments) == 1, "it is built once"
