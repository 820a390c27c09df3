"""The first import of compiled packages at the client, on processors that have it or have it not."""

import contextlib
import io
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extensions import extension
from qemu import python_on
from wheelferry.client.common.bundle import ProcessorNeed
from wheelferry.client.common.deaths import ILLEGAL, VIOLATION, cause_of, explain, innermost_file
from wheelferry.client.common.errors import SmokeFailed
from wheelferry.client.installer.imports import Compiled, compiled_modules, loading, prove_imports

AVX2 = "vpaddd %%ymm0, %%ymm0, %%ymm0"
POPCNT = "popcnt %%rax, %%rax"
OLD = {"model": "An old processor", "cores": 2, "level": 2, "features": ["sse4_2"]}
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))

needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the instructions are those of x86-64")


def install(site: Path, name: str, files: dict[str, bytes], requires: str = "") -> None:
    """Put a distribution into a folder of packages."""
    required = f"Requires-Dist: {requires}\n" if requires else ""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{required}\n"
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    all_files = {**files, f"{info}/METADATA": metadata.encode()}
    all_files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in all_files).encode()
    for path, data in all_files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)


class Session:
    """What the proof needs of an installation that is under way."""

    def __init__(self, folder: Path) -> None:
        self.env, self.held = dict(os.environ), ()
        self.env.pop("OPENBLAS_CORETYPE", None)
        self.log = io.StringIO()
        self.prefix = SimpleNamespace(tmp=str(folder), log="the log")

    @contextlib.contextmanager
    def task(self, *_: object) -> Iterator[Any]:
        yield SimpleNamespace(advance=lambda: None)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Packages: one without compiled parts, one that every processor runs, two that need something."""
    folder = tmp_path / "site"
    install(folder, "plain", {"plain/__init__.py": b"1 / 0\n"})
    install(folder, "mild", {"mild/__init__.py": b"from mild import _m", f"mild/_m{SUFFIX}": b""})
    (folder / f"mild/_m{SUFFIX}").write_bytes(extension("_m", POPCNT, tmp_path))
    keen = {"keen/__init__.py": b"import keen._k", f"keen/_k{SUFFIX}": extension("_k", AVX2, tmp_path)}
    install(folder, "keen", keen)
    hidden = {"_run/__init__.py": b"", f"_run/_r{SUFFIX}": extension("_r", AVX2, tmp_path)}
    install(folder, "keen-runtime", hidden)
    install(folder, "front", {"front/__init__.py": b"import _run._r"}, requires="keen-runtime (==1.0)")
    return folder


@needs_x86
def test_a_package_that_the_processor_cannot_run_is_explained(site: Path, tmp_path: Path) -> None:
    needs = [ProcessorNeed("keen", "1.0", ["x86-64-v3"], "keen-old would run here")]
    with pytest.raises(SmokeFailed) as caught:
        prove_imports(python_on("Nehalem", tmp_path, site), str(site), needs, OLD, Session(tmp_path))
    first, second = str(caught.value).splitlines()[1:]
    assert first.strip() == (
        f"import front (_r{SUFFIX} of keen-runtime) ended Python with an illegal instruction; this processor "
        "is An old processor, x86-64-v2; which instructions it needs the wheel does not say: an older "
        "release, a build for older processors, or a newer processor would do"
    )
    assert second.strip() == (
        f"import keen (_k{SUFFIX} of keen) ended Python with an illegal instruction: keen 1.0 needs a "
        "processor with x86-64-v3 (AVX2), this one is An old processor, x86-64-v2; keen-old would run here"
    )
    assert "--verify none" in str(caught.value.hint)


@needs_x86
@pytest.mark.parametrize(("processor", "dead"), [("qemu64", 3), ("Nehalem", 2), ("Haswell", 0)])
def test_what_runs_on_which_processor(processor: str, dead: int, site: Path, tmp_path: Path) -> None:
    """qemu64 has no POPCNT, Nehalem no AVX2."""
    python, session = python_on(processor, tmp_path, site), Session(tmp_path)
    if not dead:
        prove_imports(python, str(site), None, OLD, session)
        return
    with pytest.raises(SmokeFailed) as caught:
        prove_imports(python, str(site), None, OLD, session)
    assert len(str(caught.value).splitlines()) == dead + 1


@needs_x86
def test_two_that_only_die_together_are_fine(tmp_path: Path) -> None:
    code = b"import os, sys\nif 'aleph' in sys.modules: os.kill(os.getpid(), 11)\n"
    for name in ("aleph", "beth"):
        install(
            tmp_path / "site",
            name,
            {f"{name}/__init__.py": code if name == "beth" else b"", f"{name}/x.so": b""},
        )
    session = Session(tmp_path)
    session.env["PYTHONPATH"] = str(tmp_path / "site")
    prove_imports(sys.executable, str(tmp_path / "site"), None, OLD, session)
    assert session.log.getvalue().count("@>beth") == 2


def test_the_compiled_packages_are_found(site: Path) -> None:
    compiled = Compiled(str(site))
    assert compiled.modules == {"mild": "mild", "keen": "keen", "front": "front"}
    assert compiled.owner(f"/anywhere/_run/_r{SUFFIX}") == "keen-runtime"
    assert compiled.owner("nowhere.py") is None
    assert compiled_modules(
        ["a.cpython-312-x86_64-linux-gnu.so", "_b.abi3.so", "c.libs/libd.so.1", "e/f.so"]
    ) == ["a"]


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (-4, ILLEGAL), (132, ILLEGAL), (3221225501, ILLEGAL), (-1073741795, ILLEGAL),
        (-11, VIOLATION), (139, VIOLATION), (3221225477, VIOLATION), (-1073741819, VIOLATION),
        (0, None), (1, None), (-9, None),
    ],
)  # fmt: skip
def test_the_causes_of_deaths(status: int, cause: str | None) -> None:
    assert cause_of(status) == cause


def test_the_library_that_was_being_loaded() -> None:
    assert loading("@+/s/a.so\n@+/s/b.so\n@-/s/b.so\ntext\n") == "/s/a.so"
    assert loading("@+/s/a.so\n@-/s/a.so\n") is None
    assert loading("@+/s/a.so\n@+/s/b.so\n@-/s/a.so\n") is None


def test_the_place_of_a_death_is_read_from_faulthandler() -> None:
    said = (
        "x\nFatal Python error: Illegal instruction\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "<frozen importlib._bootstrap>", line 488 in f\n'
        '  File "/e/lib/python3.12/ctypes/__init__.py", line 379 in __init__\n'
        '  File "/e/lib/python3.12/site-packages/xgboost/core.py", line 5 in load\n'
    )
    assert innermost_file(said) == "xgboost/core.py"
    frame = '  File "C:\\e\\Lib\\site-packages\\a\\b.py", line 1 in c\n'
    windows = f"Windows fatal exception: code 0xc000001d\n\n{frame}"
    assert innermost_file(windows) == "a/b.py"
    assert innermost_file('  File "/e/site-packages/a.py", line 1') is None


def test_a_processor_that_cannot_be_read_is_said() -> None:
    unknown = {"model": "", "cores": 1, "level": None, "features": None}
    needs = [ProcessorNeed("keen", "1.0", ["x86-64-v3"])]
    said = explain(ILLEGAL, "import keen", "keen", needs, unknown, {})
    assert said == (
        "import keen ended Python with an illegal instruction; this processor is a processor without a name; "
        "its instruction sets cannot be read, and keen 1.0 needs x86-64-v3 (AVX2)"
    )


def test_a_variable_that_chooses_instructions_is_named() -> None:
    said = explain(ILLEGAL, "import numpy", "numpy", None, OLD, {"OPENBLAS_CORETYPE": "Haswell"})
    assert "; OPENBLAS_CORETYPE=Haswell is set: unset it if it names a newer processor; which" in said
