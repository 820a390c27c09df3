"""Visual Studio: found, chosen for torch and CUDA, and loaded. The tools' outputs are cut to what is read.

Their forms: vswhere's JSON is that of its `-format json` (github.com/microsoft/vswhere, wiki "Examples"); the
banners are what cl and link print first (learn.microsoft.com, "Use the MSVC toolset from the command line").
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from wheelferry.errors import MissingError
from wheelferry.models.cuda import Cuda, msvc_range, msvc_wanted_flags
from wheelferry.system.process import Completed
from wheelferry.toolchains import msvc
from wheelferry.toolchains.msvc import Toolset, choose, parse_installations, room, toolsets

CL = (
    "Microsoft (R) C/C++ Optimizing Compiler Version 19.44.35207 for x64\r\nCopyright (C) …\r\n\r\nusage:\r\n"
)
LINK = "Microsoft (R) Incremental Linker Version 14.44.35207.1\nCopyright (C) …\n"


def installation(folder: Path, name: str = "Visual Studio Build Tools 2022", **more: Any) -> dict[str, Any]:
    return {
        "instanceId": "0f1e2d3c",
        "installationPath": str(folder),
        "installationVersion": "17.14.36015.10",
        "productId": "Microsoft.VisualStudio.Product.BuildTools",
        "isComplete": True,
        "displayName": name,
        **more,
    }


def studio(folder: Path, *versions: str) -> Path:
    """A Visual Studio with the C++ compilers of those versions."""
    for version in versions:
        program = folder / "VC" / "Tools" / "MSVC" / version / "bin" / "Hostx64" / "x64" / "cl.exe"
        program.parent.mkdir(parents=True)
        program.touch()
    return folder


class Machine:
    """Answers as a Windows machine's programs would; `loaded` is the environment after vcvarsall.bat."""

    def __init__(self, *, vswhere: str | None = None, loaded: Mapping[str, str] | None = None) -> None:
        self.vswhere, self.loaded = vswhere, loaded
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []

    def __call__(self, command: Sequence[str | Path], **options: Any) -> Completed:
        self.commands.append([str(part) for part in command])
        self.environments.append(options.get("env") or {})
        name = Path(command[0]).name
        if name == "vswhere.exe":
            if self.vswhere is None:
                raise MissingError("program not found")
            return Completed(returncode=0, output=self.vswhere)
        if name == "cl.exe":
            return Completed(returncode=0, output=CL)
        if name == "link.exe":
            return Completed(returncode=1100, output=LINK)
        if self.loaded is None:
            raise options["error"]("exit status 1", hint=options["hint"])
        # before it, what batch files print; Python prints the environment last
        printed = f"[vcvarsall.bat] Environment initialized for: 'x64'\n@@{json.dumps(self.loaded)}\n"
        return Completed(returncode=0, output=printed)


def toolset(version: str) -> Toolset:
    return Toolset(studio=Path("C:/VS"), title="Visual Studio", version=version)


# ---- found ----


def test_every_toolset_of_every_studio_is_found(tmp_path: Path) -> None:
    old = studio(tmp_path / "2019", "14.29.30133")
    new = studio(tmp_path / "2022", "14.39.33519", "14.44.35207")
    (new / "VC/Tools/MSVC/14.50.1").mkdir()  # left behind without a compiler
    listing = json.dumps([installation(new), installation(old, "Visual Studio Community 2019")])
    found = toolsets(Machine(vswhere=listing), {})
    assert {(one.version, one.title) for one in found} == {
        ("14.44.35207", "Visual Studio Build Tools 2022"),
        ("14.39.33519", "Visual Studio Build Tools 2022"),
        ("14.29.30133", "Visual Studio Community 2019"),
    }


def test_an_installation_that_was_broken_off_does_not_count(tmp_path: Path) -> None:
    listing = json.dumps([installation(tmp_path, isComplete=False)])
    assert parse_installations(listing) == []


@pytest.mark.parametrize("output", ["", "[]", "vswhere: unknown parameter", '{"a": 1}'])
def test_vswhere_without_an_answer(output: str) -> None:
    assert parse_installations(output) == []


def test_vswhere_is_where_the_installer_puts_it() -> None:
    machine = Machine(vswhere="[]")
    toolsets(machine, {"ProgramFiles(x86)": "/programs"})
    (command,) = machine.commands
    assert Path(command[0]) == Path("/programs/Microsoft Visual Studio/Installer/vswhere.exe")
    assert command[command.index("-products") + 1] == "*"  # else the Build Tools are not listed
    assert "-utf8" in command


def test_no_visual_studio_says_what_to_install() -> None:
    with pytest.raises(MissingError, match="no C\\+\\+ compiler") as caught:
        choose(toolsets(Machine(), {}), torch="2.13.0", cuda=None)
    assert "winget install Microsoft.VisualStudio.2022.BuildTools" in (caught.value.hint or "")
    assert msvc.WORKLOAD in (caught.value.hint or "")


def test_an_environment_that_is_loaded_is_the_one_that_is_used() -> None:
    loaded = {"VSCMD_ARG_TGT_ARCH": "x64", "VCToolsVersion": "14.38.33130", "VisualStudioVersion": "17.0"}
    (found,) = toolsets(Machine(), loaded)
    assert found.active
    assert found.compiler == (19, 38)


def test_an_environment_for_another_processor_is_refused() -> None:
    with pytest.raises(MissingError, match="is for x86, not for x64"):
        toolsets(Machine(), {"VSCMD_ARG_TGT_ARCH": "x86"})


# ---- chosen ----


@pytest.mark.parametrize(
    ("torch", "cuda", "chosen"),
    [
        ("2.13.0", None, "14.50.35717"),
        ("2.13.0", "13.2", "14.50.35717"),
        ("2.13.0", "13.0", "14.44.35207"),
        ("2.6.0", "12.4", "14.44.35207"),
        ("2.3.1", "12.1", "14.39.33519"),
        ("1.12.1", "11.3", "14.29.30133"),
    ],
)
def test_the_newest_that_fits_is_chosen(torch: str, cuda: str | None, chosen: str) -> None:
    known = [toolset(v) for v in ("14.29.30133", "14.39.33519", "14.50.35717", "14.44.35207", "14.16.27023")]
    assert choose(known, torch=torch, cuda=Cuda(version=cuda) if cuda else None).version == chosen


def test_studio_2022_of_today_passes_with_a_word_to_nvcc() -> None:
    cuda = Cuda(version="12.1")
    assert choose([toolset("14.44.35207")], torch="2.3.1", cuda=cuda).version == "14.44.35207"
    assert msvc_wanted_flags("12.1", (19, 44)) == (
        "-allow-unsupported-compiler",
        "-D_ALLOW_COMPILER_AND_STL_VERSION_MISMATCH",
    )
    assert msvc_wanted_flags("12.1", (19, 39)) == msvc_wanted_flags("12.4", (19, 44)) == ()
    assert msvc_wanted_flags("13.0", (19, 44)) == ("-Xcompiler", "/Zc:preprocessor")


@pytest.mark.parametrize(
    ("version", "torch", "cuda", "said", "hint"),
    [
        ("14.50.1", "2.6.0", "12.6", "CUDA 12.6 accepts cl older than 19.50", "from v14.20 to before v14.50"),
        ("14.44.1", "1.10.2", "11.3", "CUDA 11.3 accepts cl older than 19.30", "to before v14.30"),
        ("14.16.1", "2.13.0", "13.0", "torch 2.13.0 is written in C++20", "from v14.29"),
        ("14.28.1", "2.13.0", None, "cl 19.29 was the first to know", "winget install"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    version: str, torch: str, cuda: str | None, said: str, hint: str
) -> None:
    with pytest.raises(MissingError) as caught:
        choose([toolset(version)], torch=torch, cuda=Cuda(version=cuda) if cuda else None)
    assert said in str(caught.value)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ("11.8", ((19, 10), (19, 40))),
        ("12.3", ((19, 10), (19, 40))),
        ("12.9", ((19, 10), (19, 50))),
        ("13.1", ((19, 20), (19, 50))),
        ("13.5", ((19, 20), (19, 60))),
        ("9.0", ((19, 10), (19, 30))),
    ],
)
def test_what_nvcc_accepts_is_what_its_headers_say(
    cuda: str, expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert msvc_range(cuda) == expected


# ---- loaded ----


def test_the_environment_is_what_the_batch_file_changes() -> None:
    before = {"Path": r"C:\Windows", "PROMPT": "", "TEMP": r"C:\T", "COMSPEC": r"C:\Windows\cmd.exe"}
    after = {
        "PATH": r"C:\VS\bin;C:\Windows", "TEMP": r"C:\T", "COMSPEC": r"C:\Windows\cmd.exe",
        "INCLUDE": r"C:\VS\Jürgen\include",
        "PROMPT": "$P$G",
        "WHEELFERRY_SETUP": '"C:\\VS\\VC\\Auxiliary\\Build\\vcvarsall.bat"',
    }  # fmt: skip
    machine = Machine(loaded=after)
    changed = msvc.load(Toolset(studio=Path(r"C:\VS"), title="VS", version="14.44.35207"), machine, before)
    assert changed == {"PATH": r"C:\VS\bin;C:\Windows", "INCLUDE": r"C:\VS\Jürgen\include"}
    (command,) = machine.commands
    assert command[:4] == [r"C:\Windows\cmd.exe", "/d", "/c", "call"]
    assert "-vcvars_ver=14.44" in command
    # cmd gets them unharmed only if subprocess sees nothing to quote in them
    assert not any(" " in part or '"' in part for part in command)
    assert machine.environments[0]["VSCMD_SKIP_SENDTELEMETRY"] == "1"


def test_a_batch_file_that_fails() -> None:
    with pytest.raises(MissingError) as caught:
        msvc.load(toolset("14.44.1"), Machine(), {})
    assert "repair it" in (caught.value.hint or "")


def test_a_batch_file_that_ends_cmd() -> None:
    with pytest.raises(MissingError, match=r"printed no environment:\n.*not recognized"):
        msvc.changes("'reg' is not recognized", {}, step="load", hint="")


def test_the_toolchain_is_identified_by_what_its_programs_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cl.exe", "link.exe"):
        (tmp_path / name).touch()
    listing = json.dumps([installation(studio(tmp_path / "VS", "14.44.35207"))])
    machine = Machine(vswhere=listing, loaded={"PATH": f"{tmp_path / 'absent'};{tmp_path}"})
    monkeypatch.delenv("VSCMD_ARG_TGT_ARCH", raising=False)
    found = msvc.find_toolchain(machine, torch="2.13.0", cuda=Cuda(version="13.0"))
    assert found.compiler == tmp_path / "cl.exe"
    assert found.identity == (
        "Microsoft (R) C/C++ Optimizing Compiler Version 19.44.35207 for x64; "
        "Microsoft (R) Incremental Linker Version 14.44.35207.1"
    )
    assert found.nvcc_flags == ("-Xcompiler", "/Zc:preprocessor")


@pytest.mark.parametrize(("version", "maps"), [("14.44.1", True), ("14.28.1", False)])
def test_the_same_source_gives_the_same_module(version: str, maps: bool, tmp_path: Path) -> None:
    toolchain = msvc.Toolchain(
        compiler=tmp_path / "cl.exe", identity="", toolset=toolset(version), variables={"INCLUDE": "x"}
    )
    variables = msvc.compile_environment(toolchain, {Path("/w/source"): "source"}, tmp_path / "t")
    assert variables["INCLUDE"] == "x"
    assert variables["DISTUTILS_USE_SDK"] == "1"
    assert "/Brepro" in variables["LINK"]
    assert (f"/pathmap:{Path('/w/source')}=source" in variables["CL"]) == maps
    assert ("/Brepro" in variables["CL"]) != maps  # /experimental:deterministic implies it
    assert variables["TMP"] == str(tmp_path / "t")


# ---- paths ----


def test_the_object_of_the_longest_file_has_a_path_that_fits() -> None:
    longest = 138  # the figure of Detectron2's repository
    allowed = room(longest)
    assert allowed > len(r"C:\wf-abcdefgh\source")

    def object_path(length: int) -> int:
        tree = "C:" + "\\" + "t" * (length - 3)
        place = rf"{tree}\build\temp.win-amd64-cpython-312\Release{tree[2:]}"
        return len(place + "\\" + "s" * longest + ".obj")

    assert object_path(allowed) <= 259
    assert object_path(allowed + 1) > 259 or object_path(allowed + 2) > 259
