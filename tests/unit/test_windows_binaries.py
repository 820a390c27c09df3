"""Static verification of Windows bundles: what their DLLs need, how long their paths are, what is in them."""

import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import EMPTY_ELF, fat_binary
from pefiles import ARM64, X86, pe_file
from wheelferry.binaries.pe import (
    beside_the_program,
    is_foreign_data,
    is_visual_cpp,
    provided,
    read_device_images,
    read_exports,
    read_functions,
    read_pe,
    write_dll_hook,
)
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.client.preflight.findings import PROBLEM, Needs, Request
from wheelferry.client.preflight.paths import examine_paths, windows_room
from wheelferry.errors import InputError
from wheelferry.models.manifest import NAME, Footprint, Runtime, TargetEntry, parse_manifest
from wheelferry.models.problems import Code, Problem
from wheelferry.models.wheel_info import installed_path, path_length
from wheelferry.verification.static.checks import check_path_lengths, longest_path
from wheelferry.verification.static.level import verify_static
from winbundles import TAG, TINY_VERSION, WINDOWS, Wheel, pack_windows, sound_wheels

Wheels = dict[str, Wheel]
TORCH = f"wheelhouse/torch-2.13.0-{TAG}.whl"
TINY = f"wheelhouse/tiny-{TINY_VERSION}-{TAG}.whl"
LEAF = "wheelhouse/leaf-1.5-py3-none-any.whl"
MODULE = "tiny/_C.cp311-win_amd64.pyd"


def test_the_runtime_of_visual_cpp_is_made_known_at_each_start(tmp_path: Path) -> None:
    write_dll_hook(tmp_path, "tiny")
    (line,) = (tmp_path / "tiny_dlls.pth").read_text("ascii").splitlines()
    scripts = tmp_path / "Scripts"
    scripts.mkdir()
    added: list[str] = []
    newer = SimpleNamespace(path=os.path, pathsep=";", environ={"PATH": "C:"}, add_dll_directory=added.append)
    older = SimpleNamespace(path=os.path, pathsep=";", environ={"PATH": "C:"})
    for fake in (newer, older):
        python = {"os": fake, "sys": SimpleNamespace(prefix=str(tmp_path))}
        assert line.startswith("import os, sys; ")  # else `site` would take it for a folder
        exec(line.removeprefix("import os, sys; "), python)  # noqa: S102 -- as `site` does
    assert added == [str(scripts)]
    assert newer.environ["PATH"] == "C:"
    assert older.environ["PATH"] == f"{scripts};C:"


# ---- reading PE files ----


def test_a_pe_file_says_what_it_imports() -> None:
    facts = read_pe(pe_file(["KERNEL32.dll", "c10.dll"], ["dbghelp.dll"]))
    assert facts.imports == ("KERNEL32.dll", "c10.dll")
    assert facts.delayed == ("dbghelp.dll",)
    assert facts.fits_amd64
    assert facts.machine_name == "amd64"


@pytest.mark.parametrize(
    ("program", "machine"), [("t64.exe", "amd64"), ("t64-arm.exe", "arm64"), ("t32.exe", "x86")]
)
def test_what_a_real_linker_writes(program: str, machine: str) -> None:
    """pip brings launchers made with Visual C++ for three processors."""
    launchers = Path(str(distribution("pip").locate_file("pip/_vendor/distlib")))
    facts = read_pe((launchers / program).read_bytes())
    assert facts.machine_name == machine
    assert {dll.lower() for dll in facts.imports} >= {"kernel32.dll", "shlwapi.dll"}
    assert facts.delayed == ()


@pytest.mark.parametrize(("machine", "name"), [(X86, "x86"), (ARM64, "arm64"), (0x1234, "0x1234")])
def test_other_processors(machine: int, name: str) -> None:
    facts = read_pe(pe_file(["KERNEL32.dll"], machine=machine))
    assert facts.imports == ("KERNEL32.dll",)
    assert not facts.fits_amd64
    assert facts.machine_name == name


def test_dotnet_runs_on_any_processor() -> None:
    assert read_pe(pe_file(["mscoree.dll"], machine=X86, managed=True)).fits_amd64


def test_exports() -> None:
    assert read_exports(pe_file(exports=["alpha", "beta"])) == ("alpha", "beta")
    assert read_exports(pe_file()) == ()


def test_every_export_is_read() -> None:
    names = [f"?function{number}@@YAXXZ" for number in range(20_000)]
    assert read_exports(pe_file(exports=names)) == tuple(names)


def test_functions_are_read_by_dll() -> None:
    long = "?f@@" + "x" * 5000
    data = pe_file({"torch_cpu.dll": [long, "g"], "c10.dll": ["h"], "KERNEL32.dll": []})
    assert read_functions(data) == {
        "torch_cpu.dll": {long, "g"},
        "c10.dll": {"h"},
        "kernel32.dll": frozenset(),
    }


def test_a_module_that_calls_what_this_torch_does_not_have(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    wheels = sound_wheels()
    exports = ["?empty@at@@", "?zeros@at@@"]
    wheels["torch"]["files"]["torch/lib/torch_cpu.dll"] = pe_file(
        ["c10.dll", "libomp.dll", "KERNEL32.dll"], exports=exports
    )
    module = {"python311.dll": [], "Torch_CPU.dll": ["?empty@at@@"]}
    holds(wheels, "tiny", MODULE, pe_file(module))
    sound = pack_windows(tmp_path / "sound", tools, located, wheels)
    assert verify_static(sound, tools)[1] == []
    module["Torch_CPU.dll"] = ["?empty@at@@", "?empty@at@@YA_OLD", "?sort@at@@"]
    holds(wheels, "tiny", MODULE, pe_file(module))
    (problem,) = verify_static(pack_windows(tmp_path / "other", tools, located, wheels), tools)[1]
    assert (problem.code, problem.file) == (Code.TORCH, f"wheelhouse/tiny-{TINY_VERSION}-{TAG}.whl")
    assert problem.message.startswith(f"{MODULE} wants what torch 2.13.0 does not have: at::empty, at::sort.")


def test_device_code() -> None:
    assert read_device_images(pe_file(device_code=fat_binary(75, 90))) == {"sm_75", "sm_90"}
    assert read_device_images(pe_file()) == set()


@pytest.mark.parametrize("data", [b"", b"MZ", EMPTY_ELF, pe_file()[:100]])
def test_what_is_no_pe_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a PE file"):
        read_pe(data)


def test_a_file_that_ends_before_its_tables() -> None:
    with pytest.raises(ValueError, match="imported DLLs cannot be read"):
        read_pe(pe_file()[:1024])


def test_names_of_functions_that_lie_outside_the_file() -> None:
    outside = struct.pack("<I", 0x7FFFFFF0)
    exporting = pe_file([], exports=["one"])
    name = struct.pack("<I", 0x1000 + exporting.index(b"one\0") - 0x400)
    with pytest.raises(ValueError, match="table of exports cannot be read"):
        read_exports(exporting.replace(name, outside))
    importing = pe_file({"c10.dll": ["two"]})
    name = struct.pack("<I", 0x1000 + importing.index(b"\0\0two\0") - 0x400)
    with pytest.raises(ValueError, match="table of imported DLLs cannot be read"):
        read_functions(importing.replace(name, outside))


def test_an_import_table_that_leads_nowhere_is_not_an_empty_one() -> None:
    data = bytearray(pe_file(["c10.dll"]))
    directories = 64 + 24 + 112
    data[directories + 8 : directories + 12] = (0x7FFFFFFF).to_bytes(4, "little")
    with pytest.raises(ValueError, match="imported DLLs cannot be read"):
        read_pe(bytes(data))


def test_a_name_that_leads_nowhere() -> None:
    data = bytearray(pe_file(["c10.dll"]))
    name = data.index(b"c10.dll")
    data[name] = 0
    with pytest.raises(ValueError, match="leads nowhere"):
        read_pe(bytes(data))


def test_any_number_of_delayed_imports() -> None:
    names = tuple(f"lib{number}.dll" for number in range(9000))
    assert read_pe(pe_file(["KERNEL32.dll"], names)).delayed == names


# ---- what is there without a wheel ----


@pytest.mark.parametrize(
    ("dll", "there"),
    [
        ("KERNEL32.dll", True),
        ("ucrtbase.dll", True),
        ("api-ms-win-crt-math-l1-1-0.dll", True),
        ("ext-ms-win-ntuser-window-l1-1-0.dll", True),
        ("d3dcompiler_47.dll", True),
        ("Normaliz.dll", True),
        ("mscms.dll", True),
        ("WINSPOOL.DRV", True),
        ("python311.dll", True),
        ("python3.dll", True),
        ("python310.dll", False),
        ("python311_d.dll", False),
        ("vcruntime140.dll", False),
        ("vcruntime140_1.dll", False),
        ("MSVCP140.dll", False),
        ("vcomp140.dll", False),
        ("concrt140.dll", False),
        ("mfc140u.dll", False),
        ("ucrtbased.dll", False),
        ("nvcuda.dll", False),
        ("kernel32.dll.extra", False),
    ],
)
def test_what_a_client_has_of_itself(dll: str, there: bool) -> None:
    assert (provided(dll, WINDOWS) is not None) is there


@pytest.mark.parametrize(
    ("dll", "carried"),
    [
        ("VCRUNTIME140.dll", True),
        ("vcruntime140_1.dll", True),
        ("msvcp140_atomic_wait.dll", True),
        ("vcomp140.dll", True),
        ("vcruntime140d.dll", False),
        ("vcruntime140_1d.dll", False),
        ("msvcp120.dll", False),
    ],
)
def test_which_runtime_msvc_runtime_would_bring(dll: str, carried: bool) -> None:
    assert is_visual_cpp(dll) is carried


def test_the_drivers_dlls_count_for_cuda_targets() -> None:
    assert provided("nvcuda.dll", replace(WINDOWS, backend="cu130")) is not None
    assert provided("nvml.dll", WINDOWS) is None


@pytest.mark.parametrize(
    ("member", "foreign"),
    [
        ("debugpy/attach_x86.dll", True),
        ("clr_loader/ffi/dlls/x86/ClrLoader.dll", True),
        ("tool/lib-arm64.dll", True),
        ("debugpy/attach_amd64.dll", False),
        ("lib/x86_64/nvjpeg.dll", False),
        ("pkg/x86/module.pyd", False),
        ("pkg/prefix86.dll", False),
    ],
)
def test_dlls_that_are_data(member: str, foreign: bool) -> None:
    assert is_foreign_data(member) is foreign


@pytest.mark.parametrize(
    ("member", "beside"),
    [
        ("msvc_runtime-14.0.data/data/msvcp140.dll", True),
        ("msvc_runtime-14.0.data/data/Scripts/vcruntime140_1.dll", True),
        ("a-1.data/scripts/a.dll", True),
        ("mkl-2021.data/data/Library/bin/mkl_core.2.dll", False),
        ("a-1.data/purelib/a.dll", False),
        ("data/data/a.dll", False),
    ],
)
def test_dlls_beside_the_program(member: str, beside: bool) -> None:
    assert beside_the_program(member) is beside


# ---- bundles ----


@pytest.fixture
def packed(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Callable[..., Path]:
    """Packs wheels (by name) as a Windows bundle."""

    def make(wheels: Wheels, **options: object) -> Path:
        return pack_windows(tmp_path, tools, located, wheels, **options)  # type: ignore[arg-type]

    return make


def named(bundle: Path, tools: Tools) -> list[str]:
    """What verification says is wrong, with the file and the code."""
    return [str(problem) for problem in verify_static(bundle, tools)[1]]


def test_a_sound_bundle(packed: Callable[..., Path], tools: Tools) -> None:
    opened, problems = verify_static(packed(sound_wheels()), tools)
    assert problems == []
    assert opened is not None
    (note,) = opened.notes
    assert note.file == TINY
    assert "tiny_dlls.pth runs code whenever Python starts (harmless: it tells Windows where" in note.message
    assert {path: len(files.facts) for path, files in opened.binaries.items()} == {
        TORCH: 4,
        TINY: 1,
        f"wheelhouse/msvc_runtime-14.44-{TAG}.whl": 3,
    }
    (entry,) = opened.manifest.targets
    assert entry.requested == ("torch==2.13.0", "leaf", "msvc-runtime")


def without(wheels: Wheels, name: str) -> None:
    del wheels[name]


def lacks(wheels: Wheels, wheel: str, member: str) -> None:
    del wheels[wheel]["files"][member]


def holds(wheels: Wheels, wheel: str, member: str, data: bytes) -> None:
    wheels[wheel].setdefault("files", {})[member] = data


Fault = Callable[[Wheels], object]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(
            lambda wheels: lacks(wheels, "tiny", "tiny_dlls.pth"),
            f"{TINY}: does not tell Windows where the runtime of Visual C++ lies: in a virtual environment "
            "torch would not find it; an older wheelferry built it, build it again [LIBRARY]",
            id="the hook left out",
        ),
        pytest.param(
            lambda w: lacks(w, "torch", "torch/lib/libomp.dll"),
            f"{TORCH}: torch/lib/torch_cpu.dll needs libomp.dll, which no wheel brings and Windows has not "
            "[LIBRARY]",
            id="a DLL removed",
        ),
        pytest.param(
            lambda w: holds(w, "torch", "torch/lib/libomp.dll", pe_file([], ["gone.dll"])),
            f"{TORCH}: torch/lib/libomp.dll needs later (delay-loaded) gone.dll, which no wheel brings and "
            "Windows has not [LIBRARY]",
            id="a delayed import",
        ),
        pytest.param(
            lambda w: lacks(w, "msvc_runtime", "msvc_runtime-14.44.data/data/Scripts/vcruntime140.dll"),
            f"{TORCH}: torch/_C.cp311-win_amd64.pyd needs VCRUNTIME140.dll, which no wheel brings "
            "(msvc-runtime would) [LIBRARY]",
            id="a runtime DLL removed",
        ),
        pytest.param(
            lambda w: without(w, "colorama"),
            f'{TORCH}: requires colorama; sys_platform == "win32", which is not in the bundle [REQUIREMENT]',
            id="a Windows-only dependency left out",
        ),
        pytest.param(
            lambda w: w.update(triton={"version": "3.7.1"}),
            f"wheelhouse/triton-3.7.1-py3-none-any.whl: nothing requires it on {WINDOWS.name} "
            '(torch requires it where platform_system == "Linux") [UNREQUIRED]',
            id="a Linux-only dependency slipped in",
        ),
        pytest.param(
            lambda w: w.update(stray={"version": "1.0"}),
            f"wheelhouse/stray-1.0-py3-none-any.whl: nothing requires it on {WINDOWS.name} [UNREQUIRED]",
            id="a stray wheel",
        ),
        pytest.param(
            lambda w: w["leaf"].update(tag="cp311-cp311-manylinux_2_28_x86_64"),
            "wheelhouse/leaf-1.5-cp311-cp311-manylinux_2_28_x86_64.whl: no tag fits "
            f"{WINDOWS.name} [PLATFORM]",
            id="a wheel for Linux",
        ),
        pytest.param(
            lambda w: w["leaf"].update(tag="cp310-cp310-win_amd64"),
            f"wheelhouse/leaf-1.5-cp310-cp310-win_amd64.whl: no tag fits {WINDOWS.name} [PLATFORM]",
            id="a wheel for another Python",
        ),
        pytest.param(
            lambda w: holds(w, "leaf", "leaf/_x.pyd", pe_file(["python310.dll"])),
            f"{LEAF}: leaf/_x.pyd needs python310.dll, which is of another Python than 3.11 [LIBRARY]",
            id="a module of another Python",
        ),
        pytest.param(
            lambda w: holds(w, "tiny", MODULE, pe_file(["python311.dll"], machine=ARM64)),
            f"{TINY}: {MODULE} is for arm64, the target is win_amd64 [MACHINE]",
            id="a module for another processor",
        ),
        pytest.param(
            lambda w: holds(w, "torch", "torch/lib/c10.dll", pe_file(machine=X86)),
            f"{TORCH}: torch/lib/c10.dll is for x86, the target is win_amd64 [MACHINE]",
            id="a DLL for another processor",
        ),
        pytest.param(
            lambda w: holds(w, "tiny", MODULE, EMPTY_ELF),
            f"{TINY}: {MODULE} cannot be read: not a PE file: DOS Header magic not found. [MACHINE]",
            id="a module of Linux with a Windows name",
        ),
        pytest.param(
            lambda w: holds(w, "leaf", "leaf/_x.pyd", pe_file(["libomp.dll"])),
            f"{LEAF}: leaf/_x.pyd needs libomp.dll, which only torch brings, and "
            "leaf does not require that [LIBRARY]",
            id="a DLL in a wheel that has nothing to do with it",
        ),
        pytest.param(
            lambda w: holds(w, "leaf", "leaf/_x.pyd", pe_file(["nvcuda.dll"])),
            f"{LEAF}: leaf/_x.pyd needs nvcuda.dll, which no wheel brings and Windows has not [LIBRARY]",
            id="a driver's DLL on a target without CUDA",
        ),
    ],
)
def test_every_fault_is_named(packed: Callable[..., Path], tools: Tools, fault: Fault, expected: str) -> None:
    """The bundle agrees with itself in everything: lock, RECORD and manifest are of the faulty wheels."""
    wheels = sound_wheels()
    fault(wheels)
    assert named(packed(wheels), tools) == [expected]


def test_the_runtime_left_out(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    without(wheels, "msvc_runtime")
    messages = named(packed(wheels), tools)
    assert [m for m in messages if m.endswith("[REQUIREMENT]")] == [
        "pylock.cp311-win_amd64-torch2_13_0-cpu.toml: msvc-runtime was asked for, which is not in the bundle "
        "[REQUIREMENT]"
    ]
    blamed = [m for m in messages if m.endswith("no wheel brings (msvc-runtime would) [LIBRARY]")]
    assert len(blamed) == 4
    assert len(messages) == 5


def forget_requests(bundle: Path) -> None:
    """Make it a bundle from before manifests said what was asked for."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    older = replace(manifest, targets=(replace(manifest.targets[0], requested=()),))
    (bundle / NAME).write_text(older.to_text(), "utf-8", newline="\n")
    assert '"requested"' not in (bundle / NAME).read_text("utf-8")


def test_the_runtime_never_asked_for(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    without(wheels, "msvc_runtime")
    bundle = packed(wheels)
    forget_requests(bundle)
    assert {problem.code.name for problem in verify_static(bundle, tools)[1]} == {"LIBRARY"}


def test_several_members_are_named_once(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    for name in ("a", "b", "c"):
        holds(wheels, "leaf", f"leaf/{name}.pyd", pe_file(["gone.dll"]))
    (message,) = named(packed(wheels), tools)
    assert "leaf/a.pyd (and 2 more) needs gone.dll" in message


def test_a_dll_may_come_from_what_the_wheel_requires(packed: Callable[..., Path], tools: Tools) -> None:
    """Through another wheel, and through an extra, in any spelling of the name."""
    wheels = sound_wheels()
    holds(wheels, "leaf", "leaf/_x.pyd", pe_file(["LIBOMP.DLL"]))
    wheels["leaf"]["requires"] = ["twig[fast]"]
    wheels["twig"] = {"version": "1.0", "requires": ["torch; extra == 'fast'"]}
    assert named(packed(wheels), tools) == []


def test_a_dll_is_found_in_any_spelling_of_its_file(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    lacks(wheels, "torch", "torch/lib/libomp.dll")
    holds(wheels, "torch", "torch/lib/LibOMP.DLL", pe_file())
    assert named(packed(wheels), tools) == []


def test_what_an_extra_requires_was_asked_for(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["leaf"]["requires"] = ["twig; extra == 'fast'"]
    wheels["twig"] = {"version": "1.0"}
    assert named(packed(wheels, extra=["leaf[fast]"]), tools) == []


def test_what_only_an_extra_requires_was_not(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["leaf"]["requires"] = ["twig; extra == 'fast'"]
    wheels["twig"] = {"version": "1.0"}
    (message,) = named(packed(wheels), tools)
    assert message.endswith('(leaf requires it where extra == "fast") [UNREQUIRED]')


def test_what_was_asked_for_in_another_version(packed: Callable[..., Path], tools: Tools) -> None:
    (message,) = named(packed(sound_wheels(), extra=["msvc-runtime>=14.45"]), tools)
    assert "msvc-runtime>=14.45 was asked for, the bundle has msvc-runtime 14.44 [REQUIREMENT]" in message


def test_what_was_asked_for_elsewhere(packed: Callable[..., Path], tools: Tools) -> None:
    extra = ["uvloop; sys_platform == 'linux'"]
    assert named(packed(sound_wheels(), extra=extra), tools) == []


def test_a_carried_copy_of_pythons_library_serves_nobody(packed: Callable[..., Path], tools: Tools) -> None:
    """torchvision 0.28 carries a python311.dll: in a bundle for 3.12 it must not hide a wrong wheel."""
    wheels = sound_wheels()
    holds(wheels, "leaf", "leaf/python310.dll", pe_file())
    holds(wheels, "leaf", "leaf/_x.pyd", pe_file(["python310.dll"]))
    (message,) = named(packed(wheels), tools)
    assert "needs python310.dll, which is of another Python than 3.11" in message


def notes(bundle: Path, tools: Tools) -> list[str]:
    opened, problems = verify_static(bundle, tools)
    assert problems == []
    assert opened is not None
    return [str(note) for note in opened.notes if "_dlls.pth" not in note.message]


def test_what_windows_n_lacks_is_noted(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    holds(wheels, "leaf", "leaf/cv.pyd", pe_file(["MFPlat.DLL", "python3.dll"]))
    (note,) = notes(packed(wheels), tools)
    assert note.startswith(f"{LEAF}: leaf/cv.pyd needs MFPlat.DLL: Windows N")


def test_data_for_another_processor_is_noted(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    holds(wheels, "leaf", "leaf/attach_x86.dll", pe_file(["gone.dll"], machine=X86))
    assert notes(packed(wheels), tools) == [f"{LEAF}: leaf/attach_x86.dll is for x86, as its name says"]


def test_a_dll_for_another_processor_serves_nobody(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    holds(wheels, "leaf", "leaf/_fast.cp311-win_amd64.pyd", pe_file(["helper.dll"]))
    holds(wheels, "leaf", "leaf/x86/helper.dll", pe_file(["KERNEL32.dll"], machine=X86))
    _, problems = verify_static(packed(wheels), tools)
    assert [problem.code for problem in problems] == [Code.LIBRARY]
    assert "needs helper.dll, which no wheel brings" in problems[0].message


def test_a_known_gap_is_noted_and_nothing_beside_it(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["leaf"]["requires"] = ["pywin32"]
    files = {"pythonwin/win32ui.pyd": pe_file(["mfc140u.dll"])}
    wheels["pywin32"] = {"version": "312", "tag": TAG, "files": files}
    (note,) = notes(packed(wheels), tools)
    assert "pythonwin/win32ui.pyd needs mfc140u.dll" in note
    assert "Pythonwin" in note


def test_a_gap_elsewhere_is_a_problem(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["leaf"]["requires"] = ["pywin32"]
    files = {"pythonwin/a.pyd": pe_file(["mfc140u.dll"]), "win32/b.pyd": pe_file(["mfc140u.dll"])}
    wheels["pywin32"] = {"version": "312", "tag": TAG, "files": files}
    (message,) = named(packed(wheels), tools)
    assert "win32/b.pyd needs mfc140u.dll" in message
    assert "pythonwin" not in message


def test_a_driver_is_expected_on_cuda_targets(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["tiny"]["version"] = "1.0+pt2.13.0cu130"
    holds(
        wheels,
        "tiny",
        MODULE,
        pe_file(["nvcuda.dll", "python311.dll"], device_code=fat_binary(75, 90)) + b"tiny_kernel",
    )
    target = replace(WINDOWS, backend="cu130")
    assert named(packed(wheels, target=target, architectures=["7.5", "9.0"]), tools) == []


def test_missing_device_code(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["tiny"]["version"] = "1.0+pt2.13.0cu130"
    holds(wheels, "tiny", MODULE, pe_file(["python311.dll"], device_code=fat_binary(75)) + b"tiny_kernel")
    target = replace(WINDOWS, backend="cu130")
    (message,) = named(packed(wheels, target=target, architectures=["7.5", "9.0"]), tools)
    assert message.endswith("tiny._C has no code for sm_90 (it has sm_75) [CUDA]")


def test_an_older_bundle_does_not_say_what_was_asked_for(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    wheels["stray"] = {"version": "1.0"}
    bundle = packed(wheels)
    forget_requests(bundle)
    assert named(bundle, tools) == []


def test_a_manifest_with_a_requirement_that_is_none(packed: Callable[..., Path]) -> None:
    text = (packed(sound_wheels()) / NAME).read_text("utf-8")
    with pytest.raises(InputError, match=r"targets\[0\]\.requested: "):
        parse_manifest(text.replace('"msvc-runtime"', '"== 3"'))


def test_the_address_of_a_requirement_stays_at_home(packed: Callable[..., Path]) -> None:
    bundle = packed(sound_wheels(), extra=["leaf @ file:///home/ann/leaf-1.5.whl"])
    text = (bundle / NAME).read_text("utf-8")
    assert parse_manifest(text).targets[0].requested[-1] == "leaf"
    assert "ann" not in text


def test_a_damaged_wheel_does_not_stop_the_rest(packed: Callable[..., Path], tools: Tools) -> None:
    bundle = packed(sound_wheels())
    path = bundle / TORCH
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("torch/lib/c10.dll").header_offset
    data[start + 80] ^= 0xFF
    path.unlink()
    path.write_bytes(bytes(data))
    messages = named(bundle, tools)
    assert any("torch/lib/c10.dll cannot be read" in m and m.startswith(TORCH) for m in messages)
    assert any(m.endswith("[RECORD]") for m in messages)


# ---- paths ----


@pytest.mark.parametrize(
    ("member", "windows", "linux"),
    [
        ("torch/a.py", "Lib/site-packages/torch/a.py", "lib/python3.99/site-packages/torch/a.py"),
        ("a-1.data/data/Scripts/b.dll", "Scripts/b.dll", "Scripts/b.dll"),
        ("a-1.data/scripts/run", "Scripts/run", "bin/run"),
        ("a-1.data/platlib/a/b.pyd", "Lib/site-packages/a/b.pyd", "lib/python3.99/site-packages/a/b.pyd"),
        ("a-1.data/headers/a.h", "include/site/python3.99/a/a.h", "include/site/python3.99/a/a.h"),
        ("x.data", "Lib/site-packages/x.data", "lib/python3.99/site-packages/x.data"),
    ],
)
def test_where_members_go(member: str, windows: str, linux: str) -> None:
    assert installed_path(member, windows=True) == windows
    assert installed_path(member, windows=False) == linux


def test_a_folder_needs_room_for_a_short_name() -> None:
    """MAX_PATH less 12 for a folder: 247 characters and the NUL, where a file may have 259."""
    assert path_length("pkg/abcdefghijkl", windows=True) == len("Lib/site-packages/pkg/abcdefghijkl")
    assert path_length("pkg/abcdefghijk", windows=True) == len("Lib/site-packages/pkg") + 12
    assert path_length("pkg/x", windows=True) == len("Lib/site-packages/pkg") + 12
    assert path_length("pkg/x", windows=False) == len("lib/python3.99/site-packages/pkg/x")


# Where the installer puts the recipe "tiny" for a user with the longest name.
PREFIX = len(r"C:\Users\xxxxxxxxxxxxxxxxxxxx\AppData\Local\wf\tiny")


def member_of(total: int) -> str:
    """A file whose installed path has `total` characters below the usual prefix."""
    before = PREFIX + len("\\envs\\9999\\Lib\\site-packages\\")
    return "leaf/" + "n" * (total - before - len("leaf/"))


@pytest.mark.parametrize(("total", "fine"), [(259, True), (260, False)])
def test_the_exact_limit(packed: Callable[..., Path], tools: Tools, total: int, fine: bool) -> None:
    wheels = sound_wheels()
    member = member_of(total)
    holds(wheels, "leaf", member, b"")
    bundle = packed(wheels)
    opened, problems = verify_static(bundle, tools)
    assert opened is not None
    (longest,) = opened.longest_paths
    assert (longest.characters, longest.path, longest.prefix) == (total, member, PREFIX)
    assert longest.target == WINDOWS.name
    assert [problem.code.name for problem in problems] == ([] if fine else ["PATH_LENGTH"])
    if not fine:
        assert problems[0].file == LEAF
        assert "1 characters longer than Windows allows below a folder of 51" in problems[0].message
        assert verify_static(bundle, tools, prefix_length=0)[1] == []
        assert verify_static(bundle, tools, prefix_length=PREFIX - 1)[1] == []


def test_more_than_one_long_path(packed: Callable[..., Path], tools: Tools) -> None:
    wheels = sound_wheels()
    for total in (262, 261):
        holds(wheels, "leaf", member_of(total), b"")
    (message,) = named(packed(wheels), tools)
    assert ", as would 1 more; folders of 48 and less are all right" in message


@pytest.mark.parametrize("folder", [247, 248])
def test_the_exact_limit_of_a_folder(packed: Callable[..., Path], tools: Tools, folder: int) -> None:
    wheels = sound_wheels()
    holds(wheels, "leaf", f"{member_of(folder)}/x", b"")
    problems = verify_static(packed(wheels), tools)[1]
    assert [p.code.name for p in problems] == ([] if folder == 247 else ["PATH_LENGTH"])


def windows_profile(length: int) -> tuple[dict[str, object], Request]:
    prefix = "C:\\" + "p" * (length - 3)
    return {"system": "Windows", "long_paths": False}, Request(prefix=prefix)


@pytest.mark.parametrize("length", range(40, 70))
def test_the_client_says_the_same(packed: Callable[..., Path], tools: Tools, length: int) -> None:
    """What verification finds for a folder is what the installer finds there before it writes anything."""
    wheels = sound_wheels()
    holds(wheels, "leaf", member_of(255), b"")
    bundle = packed(wheels)
    (entry,) = parse_manifest((bundle / NAME).read_text("utf-8")).targets
    assert entry.footprint is not None
    profile, request = windows_profile(length)
    needs = Needs(prefix_bytes=0, prefix_files=0, longest_path=entry.footprint.longest_path)
    findings = list(examine_paths(profile, replace(request, needs=needs)))
    problems = verify_static(bundle, tools, prefix_length=length)[1]
    assert bool(problems) is any(finding.level == PROBLEM for finding in findings)
    assert bool(problems) is (length > PREFIX + 4)


def test_a_carried_python_has_paths_too() -> None:
    room = windows_room(60)
    runtime = Runtime(
        path="runtime/python.zip",
        program="python.exe",
        version="3.11.9",
        footprint=Footprint(bytes=1, files=1, longest_path=room + 1),
    )
    entry = TargetEntry(
        target=WINDOWS, requirements="r", pylock="p", built="b", extensions=(), runtime=runtime
    )
    (problem,) = check_path_lengths(entry, {}, 60)
    assert isinstance(problem, Problem)
    assert problem.file == "runtime/python.zip"
    assert longest_path(entry, {}, 60).characters == 260
    assert list(check_path_lengths(entry, {}, 59)) == []
