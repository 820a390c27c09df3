"""The macOS binaries of all wheels, judged for the target: what dyld would stop at, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import write_wheel
from machofiles import ARM64, DYLIB, EXECUTABLE, X86_64, fat_file, macho_file
from wheelferry.models.manifest import TargetEntry
from wheelferry.models.problems import Problem
from wheelferry.models.targets import Target
from wheelferry.verification.static.binary_checks import check_stable
from wheelferry.verification.static.macos_binaries import check_macos
from wheelferry.wheels.contents import read_contents
from wheelferry.wheels.read import read_wheel

TARGET = Target(python="3.12", platform="macosx_14_0_arm64", torch="2.13.0", backend="default")
TAG = "cp312-cp312-macosx_14_0_arm64"
SYSTEM, CPU, C10 = "/usr/lib/libSystem.B.dylib", "@rpath/libtorch_cpu.dylib", "@rpath/libc10.dylib"
METAL = "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"
# As torch's own wheels for macOS are.
TORCH = {
    "torch/_C.cpython-312-darwin.so": macho_file(needed=[CPU], search_paths=["@loader_path/lib"]),
    "torch/lib/libtorch_cpu.dylib": macho_file(
        needed=[C10, SYSTEM],
        optional=["/System/Library/Frameworks/Gone.framework/Gone"],
        install_name=CPU,
        search_paths=["@loader_path"],
        exported=["aoti_torch_get_dim"],
        kind=DYLIB,
    ),
    "torch/lib/libc10.dylib": macho_file(install_name=C10, exported=["_ZN3c105Error4whatEv"], kind=DYLIB),
    "torch/bin/torch_shm_manager": macho_file(kind=EXECUTABLE),
}
# As zig links the ops here.
OPS = {
    "ops/_C.abi3.so": macho_file(
        needed=[SYSTEM, CPU],
        search_paths=["@loader_path/../torch/lib"],
        wanted={CPU: ["aoti_torch_get_dim"], "": ["PyLong_FromLong"], SYSTEM: ["free"]},
        exported=["PyInit__C", "_Znwm"],
        kind=DYLIB,
    )
}
NOWHERE = "which no wheel brings where dyld looks for it [LIBRARY]"
MODULE = "extra/_x.cpython-312-darwin.so"


class Judge:
    """Writes wheels of torch, of the ops and one more, and says what is found: problems and notes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        ops: Mapping[str, bytes] = OPS,
        platform: str = TARGET.platform,
        requires: tuple[str, ...] = ("torch",),
        torch_unseen: bool = False,
    ) -> tuple[list[str], list[str]]:
        """Problems with their codes, and notes, each without the name of its wheel."""
        write = {"torch": TORCH, "ops": ops, "extra": files or {}}
        if torch_unseen:
            del write["torch"]
        infos, paths, found = {}, {}, {}
        for name, own in write.items():
            needed = requires if name == "extra" else ("torch",) if name == "ops" else ()
            wheel = write_wheel(self._folder, name, "1.0", tag=TAG, files=own, requires=needed)
            info = read_wheel(wheel)
            infos[info.name] = info
            paths[info.name] = f"wheelhouse/{wheel.name}"
            found[paths[info.name]] = read_contents(wheel, self._folder)[1].macho_files
        entry = TargetEntry(
            target=Target(python="3.12", platform=platform, torch="2.13.0", backend="default"),
            requirements="",
            pylock="",
            built=f"ops-1.0-{TAG}.whl",
            extensions=(),
        )
        findings = list(check_macos(entry, infos, paths, found, torch_unseen=torch_unseen))
        problems = [f"{one.message} [{one.code.name}]" for one in findings if isinstance(one, Problem)]
        return problems, [one.message for one in findings if not isinstance(one, Problem)]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def test_what_dyld_finds_is_fine(judge: Judge) -> None:
    files = {
        MODULE: macho_file(needed=["@loader_path/.dylibs/liba.dylib", METAL, "/usr/lib/libc++.1.dylib"]),
        "extra/.dylibs/liba.dylib": macho_file(needed=["@rpath/LibB.dylib"], search_paths=["@loader_path"]),
        "extra/.dylibs/libb.dylib": macho_file(minimum=(11, 0)),
        # as torch builds extensions: without a search path, torch being loaded already
        "extra/_C.so": macho_file(needed=[CPU, C10], wanted={C10: ["_ZN3c105Error4whatEv"]}),
        "extra/fat.so": fat_file((X86_64, macho_file(processor=X86_64)), (ARM64, macho_file())),
        "extra/data.txt": b"text",
    }
    assert judge(files) == ([], [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (macho_file(processor=X86_64), "made for x86_64, the target is macosx_14_0_arm64: {0} [MACHINE]"),
        (macho_file(platform=2), "made for iOS on arm64, the target is macosx_14_0_arm64: {0} [MACHINE]"),
        (macho_file(minimum=(15, 1)), "{0} needs macOS 15.1, the target is macosx_14_0_arm64 [MACOS]"),
        (
            macho_file(signed=False),
            "{0}: it has no code signature; macOS ends a program that loads such a file on Apple's "
            "processors [UNSIGNED]",
        ),
        (
            macho_file(needed=["/opt/homebrew/lib/libomp.dylib"]),
            "{0} needs /opt/homebrew/lib/libomp.dylib, {1}",
        ),
        (
            macho_file(needed=["@rpath/libomp.dylib"], search_paths=["@loader_path/../torch/lib"]),
            "{0} needs @rpath/libomp.dylib, {1}",
        ),
        (
            macho_file(needed=["@executable_path/libomp.dylib"]),
            "{0} needs @executable_path/libomp.dylib, {1}",
        ),
    ],
)
def test_what_dyld_stops_at_is_a_problem_in_a_module(data: bytes, said: str, judge: Judge) -> None:
    assert judge({MODULE: data}) == ([said.format(MODULE, NOWHERE)], [])
    built = {**OPS, "ops/_C.abi3.so": data}
    assert judge(ops=built) == ([said.format("ops/_C.abi3.so", NOWHERE)], [])


def test_programs_and_what_only_some_files_need_are_notes(judge: Judge) -> None:
    files = {
        MODULE: macho_file(),
        "extra/bin/tool": macho_file(kind=EXECUTABLE, minimum=(15, 0), signed=False),
        "extra/plugin.so": macho_file(needed=["/opt/local/lib/libx.dylib"]),
        "extra/old.dylib": macho_file(processor=X86_64, needed=["/nowhere"]),
    }
    problems, notes = judge(files)
    assert problems == []
    assert notes == [
        "made for x86_64, the target is macosx_14_0_arm64: extra/old.dylib",
        "extra/bin/tool needs macOS 15.0, the target is macosx_14_0_arm64",
        "extra/bin/tool: it has no code signature; macOS ends a program that loads such a file on Apple's "
        "processors",
        "extra/plugin.so needs /opt/local/lib/libx.dylib, which no wheel brings where dyld looks for it: "
        "what loads them fails",
    ]


def test_a_library_loaded_before_counts_for_those_who_require_its_wheel(judge: Judge) -> None:
    files = {MODULE: macho_file(needed=[CPU])}
    assert judge(files) == ([], [])
    said = f"{MODULE} needs {CPU}, which no wheel brings where dyld looks for it [LIBRARY]"
    assert judge(files, requires=()) == ([said], [])
    # what the client of a thin bundle has of torch
    assert judge(files, torch_unseen=True) == ([], [])


def test_search_paths_that_lead_out_are_told(judge: Judge) -> None:
    outside = macho_file(
        search_paths=["/Users/runner/lib", "@loader_path/../../../../..", "@loader_path/../torch"]
    )
    problems, notes = judge({MODULE: outside})
    assert problems == []
    assert notes == [
        f"{MODULE} looks into /Users/runner/lib as well, which no wheel has",
        f"{MODULE} looks into @loader_path/../../../../.. as well, which no wheel has",
    ]
    problems, _ = judge(ops={"ops/_C.abi3.so": macho_file(search_paths=["/Users/runner/lib"])})
    assert problems == ["ops/_C.abi3.so looks into /Users/runner/lib [SEARCH_PATH]"]


def test_names_must_be_in_the_library_that_they_are_bound_to(judge: Judge) -> None:
    """c10 has the first, torch_cpu does not: with names bound to libraries that is not enough."""
    wanted = {CPU: ["_ZN3c105Error4whatEv", "aoti_torch_get_dim"], "": ["aoti_torch_gone"]}
    problems, notes = judge({MODULE: macho_file(needed=[CPU], wanted=wanted)})
    assert notes == []
    (problem,) = problems
    assert problem.startswith(
        f"{MODULE} wants what torch 1.0 does not have: c10::Error::what, aoti_torch_gone."
    )
    assert problem.endswith("[SYMBOLS]")


def test_a_file_that_cannot_be_read(judge: Judge) -> None:
    problems, notes = judge({"extra/bin/tool": macho_file(kind=EXECUTABLE)[:150], MODULE: macho_file()[:150]})
    assert problems == [f"{MODULE} cannot be read: its tables lead out of the file [OPS]"]
    assert notes == ["extra/bin/tool cannot be read: its tables lead out of the file"]


def test_a_wheel_on_the_stable_abi_calls_nothing_else_of_torch(tmp_path: Path) -> None:
    good = {CPU: ["aoti_torch_get_dim"], "": ["PyLong_FromLong"], SYSTEM: ["free"]}
    for wanted, blamed in ((good, []), ({**good, C10: ["_ZN3c105Error4whatEv"]}, ["_ZN3c105Error4whatEv"])):
        files = {"ops/_C.abi3.so": macho_file(needed=[SYSTEM, CPU, C10], wanted=wanted)}
        wheel = write_wheel(tmp_path, "ops", "1.0", tag=TAG, files=files)
        problems = list(check_stable(wheel, "ops.whl", TARGET))
        assert [name for name in blamed if name in " ".join(map(str, problems))] == blamed
        assert len(problems) == len(blamed)
