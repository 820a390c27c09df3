"""The top-level modules of all distributions: found in RECORD, imported, and judged where they fail."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from wheelferry.cache.tools import Tools
from wheelferry.catalog import shipped_not_imported
from wheelferry.models.manifest import parse_manifest
from wheelferry.system.process import run
from wheelferry.system.sandbox import Sandbox
from wheelferry.verification.installation.install import Trial, import_modules
from wheelferry.verification.installation.modules import importable, not_brought, remedy, top_modules
from wheelferry.verification.machines.machine import Machine


def test_modules_packages_and_compiled_files_are_found() -> None:
    paths = [
        "a.py", "b/__init__.py", "b/c.py", "d.cpython-311-x86_64-linux-gnu.so", "e.abi3.so",
        "f.cp311-win_amd64.pyd", "g.pyd", "b/__init__.pyi", "namespace/x/__init__.py", "libh.so",
        "i.pth", "a-1.0.dist-info/RECORD",
        "../../../bin/tool.py",
    ]  # fmt: skip
    assert list(importable(paths)) == ["a", "b", "d", "e", "f", "g"]


@pytest.mark.parametrize(
    "path",
    [
        "_a.py",
        "tests/__init__.py",
        "docs/__init__.py",
        "setup.py",
        "conftest.py",
        "81d2__mypyc.abi3.so",
        "a-b.py",
        "if.py",
    ],
)
def test_what_is_private_or_part_of_no_package_is_left_out(path: str) -> None:
    assert list(importable([path])) == []


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ("ModuleNotFoundError: No module named 'boto3'", "boto3"),
        ("ModuleNotFoundError: No module named 'google.cloud'; try pip", "google"),
        ("ModuleNotFoundError: No module named 'torch.gone'", None),
        ("ModuleNotFoundError: No module named 'imp'", None),
        ("ImportError: cannot import name 'boto3'", None),
    ],
)
def test_a_module_that_no_wheel_has_was_optional(message: str, missing: str | None) -> None:
    assert not_brought(message, frozenset({"torch"})) == missing


def test_a_package_may_say_itself_what_is_optional() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        "ModuleNotFoundError: No module named 'aiohttp'\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        "ImportError: install the extra\n"
    )
    assert not_brought(trace, frozenset({"leaf"})) == "aiohttp"
    assert not_brought(trace, frozenset({"aiohttp"})) is None
    told = "ImportError: aiohttp is not installed: No module named 'aiohttp'. Install leaf[d]"  # from None
    assert not_brought(told, frozenset({"leaf"})) == "aiohttp"
    assert not_brought(trace.replace("ImportError: install", "ValueError: bad"), frozenset()) is None


def test_the_remedy_for_a_missing_library() -> None:
    message = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    assert remedy(message, "leaf") == " (Debian's package libgl1 has it)"
    assert remedy(message, "opencv_python") == (
        " (Debian's package libgl1 has it; opencv-python-headless does without)"
    )
    assert remedy(message.replace("libGL", "libfoo"), "leaf") == ""
    assert remedy("ImportError: no", "leaf") == ""


def environment(folder: Path, modules: Mapping[str, str]) -> Path:
    """An environment in which each module is a distribution of its own; returns it."""
    packages = folder / "env" / "lib" / "python3.12" / "site-packages"
    for name, text in modules.items():
        info = packages / f"dist_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (packages / f"{name}.py").write_text(text, "utf-8")
        (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/RECORD,,\n", "utf-8")
    return folder / "env"


class Importer:
    """Imports the modules of an environment, and those that the tests' recipe names, with this Python."""

    def __init__(self, bundle: Path, folder: Path, tools: Tools) -> None:
        self.bundle = bundle
        self.folder = folder
        self.tools = tools

    def __call__(self, modules: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The problems by the module, and what was not tried."""
        env = environment(self.folder, {"tiny": "", **modules})
        packages = next(env.glob("lib/*/site-packages"))
        (packages / "tiny.py").unlink()
        (packages / "tiny").mkdir()
        (packages / "tiny" / "__init__.py").touch()
        (packages / "tiny" / "_C.py").touch()
        values = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
        sandbox = Sandbox(
            prefix=(), kind="", isolated=True, evidence={}, home=self.folder, run=run, environment=values
        )
        machine = Machine(
            runner="here", sandbox=sandbox, base=Path(sys.executable), python=lambda _: Path(sys.executable)
        )
        (entry,) = parse_manifest((self.bundle / "bundle.json").read_text("utf-8")).targets
        trial = Trial(
            root=self.bundle, entry=entry, pins={}, folder=self.folder, machine=machine, tools=self.tools
        )
        problems, not_tried = import_modules(trial, env)
        return {problem.file: problem.message for problem in problems}, not_tried


@pytest.fixture
def imports(bundle: Path, tmp_path: Path, tools: Tools) -> Importer:
    return Importer(bundle, tmp_path, tools)


def test_every_distribution_is_imported(imports: Importer) -> None:
    problems, not_tried = imports({"fine": "x = 1", "broken": "1 / 0", "optional": "import boto3_of_nobody"})
    assert problems == {"broken": "ZeroDivisionError: division by zero"}
    assert not_tried == ["import optional: it needs boto3_of_nobody, which no wheel brings"]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 11)", "os._exit(0)", "os._exit(3)"])
def test_what_ends_the_interpreter_hides_no_other(end: str, imports: Importer) -> None:
    problems, not_tried = imports({"before": "1 / 0", "dies": f"import os; {end}", "last": "open('/absent')"})
    assert set(problems) == {"before", "dies", "last"}
    said = problems["dies"]
    if "kill" in end:
        assert said.startswith("import dies ended Python with an access violation; this processor is ")
    else:
        assert said.startswith("ended the interpreter (exit status ")
    assert problems["last"].startswith("FileNotFoundError")
    assert not_tried == []


@pytest.mark.parametrize("end", ["raise ImportError('no')", "import os; os.kill(os.getpid(), 11)"])
def test_what_fails_only_after_another_was_imported_is_fine(end: str, imports: Importer) -> None:
    """As setuptools, where distutils came first, or two packages that each bring a copy of one library."""
    text = f"import sys\nif 'first' in sys.modules:\n    {end}"
    assert imports({"first": "", "second": text}) == ({}, [])


def test_a_module_that_wants_a_screen_is_not_tried(imports: Importer) -> None:
    assert imports({"mouseinfo": "1 / 0"}) == ({}, ["import mouseinfo: needs a screen"])
    assert all(shipped_not_imported().values())


def test_all_names_of_an_environment_are_known(tmp_path: Path) -> None:
    found = top_modules(environment(tmp_path, {"a": "", "_b": ""}))
    assert found.owners == {"a": "dist-a"}
    assert found.all >= {"a", "_b"}
