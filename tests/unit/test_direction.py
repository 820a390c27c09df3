"""The direction of imports: cli → stages → {platforms, edges, pure} → errors."""

import ast
import sys
from pathlib import Path

import pytest

import wheelferry

ROOT = Path(wheelferry.__file__).parent
PURE = {
    "errors", "targets", "recipe", "plan", "lock", "manifest", "metadata", "checks", "report", "progress",
    "coverage", "cuda", "stable_abi", "grid", "workflows", "assets", "profiles", "simple", "differences",
    "layout", "client.preflight", "client.paths", "licences", "vulnerabilities",
}  # fmt: skip
# What a pure module may use besides the standard library: values, parsers and validators, never I/O.
PURE_LIBRARIES = {"cvss", "packaging", "pydantic", "tomli_w"}


# `from wheelferry.client import preflight` imports a module; elsewhere a name out of one is meant.
PACKAGES = {"wheelferry", "wheelferry.client"}
# What is run as a file of its own.
ALONE = {"isolated", "client.harness", "client.profile"}


def modules() -> dict[str, set[str]]:
    """Every module of the package (``stages.build``) with the dotted names it imports."""
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


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_import_only_pure_ones(name: str) -> None:
    assert own(MODULES[name]) - PURE == set()
    foreign = {i.split(".")[0] for i in MODULES[name] if not i.startswith("wheelferry")}
    assert foreign - set(sys.stdlib_module_names) - PURE_LIBRARIES == set()


@pytest.mark.parametrize(
    "name", [n for n in MODULES if not n.startswith("cli.") and n not in ("__main__", "stages")]
)
def test_nobody_imports_upwards(name: str) -> None:
    forbidden = ("cli",) if name.startswith("stages.") else ("cli", "stages")
    assert [i for i in own(MODULES[name]) if i.split(".")[0] in forbidden] == []


@pytest.mark.parametrize("name", [n for n in MODULES if not n.startswith("cli.")])
def test_typer_and_rich_live_in_the_cli_only(name: str) -> None:
    assert {i.split(".")[0] for i in MODULES[name]} & {"typer", "rich"} == set()


@pytest.mark.parametrize("name", [n for n in MODULES if n != "cluster"])
def test_dask_lives_in_one_place(name: str) -> None:
    assert {i.split(".")[0] for i in MODULES[name]} & {"distributed", "dask"} == set()


# The client has a place of its own, and the profile travels as one file. What stands in for a compiler is a
# process in its place: bytes, streams and exit status go through it unchanged.
STARTERS = {"process", "client.processes", "client.profile", "platforms.object_cache"}


@pytest.mark.parametrize("name", [n for n in MODULES if n not in STARTERS])
def test_processes_are_started_in_one_place(name: str) -> None:
    assert "subprocess" not in MODULES[name]


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("client.") or n == "isolated"])
def test_what_runs_elsewhere_needs_the_standard_library_alone(name: str) -> None:
    imported = {i for i in MODULES[name] if name in ALONE or not i.startswith("wheelferry.client")}
    assert {i.split(".")[0] for i in imported} - set(sys.stdlib_module_names) == set()


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
