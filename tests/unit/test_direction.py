"""The direction of imports: each package uses those below it, and no module outside its place."""

import ast
import sys
from pathlib import Path

import pytest

import wheelferry

ROOT = Path(wheelferry.__file__).parent
# Top first. A package may import from those that stand below it.
ORDER = (
    "__main__", "cli", "serving", "doctor", "proving", "pipeline", "drafting", "inspection", "matrix",
    "transfer", "verification", "distributed", "bundle", "build", "toolchains", "cache", "wheels", "binaries",
    "catalog", "system", "models", "client", "progress", "errors", "__init__",
)  # fmt: skip
# The same for the client's own packages.
CLIENT_ORDER = ("installer", "data", "transfer", "smoke", "apps", "preflight", "probe", "common")
# Values and decisions, no I/O: all of `models`, and these of the packages above it.
DECISIONS = {
    "errors", "progress", "client.common.paths", "client.common.processors", "client.common.sizes",
    "client.data.geometry", "client.data.kinds", "client.data.formats.rle", "client.data.values",
    "inspection.vulnerabilities",
    "matrix.alike", "matrix.ci_jobs", "matrix.coverage", "matrix.fit", "matrix.grid", "matrix.heat_map",
    "matrix.next_cell", "matrix.spans",
    "serving.simple_api", "transfer.differences", "transfer.volumes",
    "verification.static.form", "verification.static.ownership", "wheels.licences",
}  # fmt: skip
# What they may use besides the standard library: values, parsers and validators.
PURE_LIBRARIES = {"cvss", "packaging", "pydantic", "tomli_w"}


# `from wheelferry.client import preflight` imports a module.
PACKAGES = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py")}
# What modules of the client import inside functions, and do without where the environment lacks it.
IF_THERE = {"client.data.pillow": {"PIL"}, "client.data.formats.yolo": {"yaml"}}
# What is run as a file of its own.
ALONE = {"system.enter_root", "system.sandbox_entry", "client.smoke.harness", "client.apps.start"}


def modules() -> dict[str, set[str]]:
    """Every module of the package (``build.lock``) with the dotted names it imports."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                imported.update(f"{base}.{a.name}" if base in PACKAGES else base for a in node.names)
        found[name] = imported
    return found


MODULES = modules()


def own(imported: set[str]) -> set[str]:
    return {name.removeprefix("wheelferry.") for name in imported if name.startswith("wheelferry.")}


def package(name: str) -> str:
    return name.split(".")[0]


def test_every_package_has_its_place() -> None:
    assert {package(name) for name in MODULES} == set(ORDER)


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_upwards(name: str) -> None:
    place = ORDER.index(package(name))
    assert [i for i in own(MODULES[name]) if package(i) in ORDER[:place]] == []


@pytest.mark.parametrize("name", [n for n in MODULES if n.count(".") == 2 and n.startswith("client.")])
def test_nobody_in_the_client_imports_upwards(name: str) -> None:
    place = CLIENT_ORDER.index(name.split(".")[1])
    assert [i for i in own(MODULES[name]) if i.split(".")[1] in CLIENT_ORDER[:place]] == []


PURE = {n for n in MODULES if n.startswith(("models", "client.preflight"))} | DECISIONS


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_pure_ones(name: str) -> None:
    assert own(MODULES[name]) - PURE == set()
    foreign = {i.split(".")[0] for i in MODULES[name] if not i.startswith("wheelferry")}
    assert foreign - set(sys.stdlib_module_names) - PURE_LIBRARIES == set()


@pytest.mark.parametrize("name", [n for n in MODULES if not n.startswith("cli.")])
def test_typer_and_rich_live_in_the_cli_only(name: str) -> None:
    assert {i.split(".")[0] for i in MODULES[name]} & {"typer", "rich"} == set()


@pytest.mark.parametrize("name", [n for n in MODULES if n != "distributed.cluster"])
def test_dask_lives_in_one_place(name: str) -> None:
    assert {i.split(".")[0] for i in MODULES[name]} & {"distributed", "dask"} == set()


# The client has two places of its own: what it does, and what it only asks, with a limit of time. What stands
# in for a compiler is a process in its place: bytes, streams and exit status go through it unchanged.
STARTERS = {"system.process", "client.common.processes", "client.probe.programs", "toolchains.object_cache"}


@pytest.mark.parametrize("name", [n for n in MODULES if n not in STARTERS])
def test_processes_are_started_in_one_place(name: str) -> None:
    assert "subprocess" not in MODULES[name]


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("client.") or n in ALONE])
def test_what_runs_elsewhere_needs_the_standard_library_alone(name: str) -> None:
    imported = {i for i in MODULES[name] if name in ALONE or not i.startswith("wheelferry.client")}
    foreign = {i.split(".")[0] for i in imported} - set(sys.stdlib_module_names)
    assert foreign == IF_THERE.get(name, set())


def test_the_tool_knows_no_project_by_name() -> None:
    """Nothing but help texts in the CLI may say the name of a recipe."""
    names = [p for p in ROOT.rglob("*.py") if "cli" not in p.parts and "recipes" not in p.parts]
    naming = [p.name for p in names if "detectron2" in _code(p).lower()]
    assert naming == []


def _code(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
