"""Symbols of torch that wheels want: read from their binaries, compared with what the lock's torch has."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import locked, pack_bundle, write_wheel
from elffiles import elf_file
from wheelferry.binaries.dynamic import Excerpt, read_dynamic
from wheelferry.binaries.symbols import TorchNames, readable
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.verification.static.level import verify_static

EMPTY = "_ZN2at5emptyEN3c108ArrayRefIlEE"
CHECK = "_ZN3c106detail14torchCheckFailEPKcS2_jS2_"
OLD = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"
STABLE = "aoti_torch_empty_strided"
TAG = "cp311-cp311-manylinux_2_17_x86_64"
MODULE = "extra/_x.cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize("gnu_hash", [False, True])
def test_the_symbols_of_torch_are_read_and_no_others(gnu_hash: bool) -> None:
    wanted = [
        EMPTY,
        "_ZTVN5torch3jit6ModuleE",
        STABLE,
        "THPVariable_Wrap",
        "malloc",
        "_ZNSt6vectorIN2at6TensorE",
    ]
    had = ["_ZN3c104SizeEv", "PyInit__x", "_ZN9torchtext3runEv", "torch_call_dispatcher"]
    excerpt = Excerpt()
    excerpt.add(elf_file(["libtorch.so"], wanted=wanted, had=had, gnu_hash=gnu_hash))
    found = read_dynamic(excerpt)
    assert found is not None
    assert found.torch_names == TorchNames(wanted=frozenset(wanted[:4]), had=frozenset([had[0], had[3]]))


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (CHECK, "c10::detail::torchCheckFail"),
        ("_ZNK2at10TensorBase4sizeEl", "at::TensorBase::size"),
        ("_ZTIN5torch3jit6ModuleE", "the type torch::jit::Module"),
        (STABLE, STABLE),
        ("?empty@at@@YA?AVTensor@1@XZ", "at::empty"),
        ("??0Device@c10@@QEAA@XZ", "c10::Device"),
        ("_Z3runv", "_Z3runv"),
    ],
)
def test_symbols_are_told_as_people_know_them(symbol: str, name: str) -> None:
    assert readable(symbol) == name


class Judge:
    """Verifies a bundle with a torch that has some symbols, and one more wheel."""

    def __init__(self, folder: Path, tools: Tools, located: LocatedRecipe) -> None:
        self.folder, self.tools, self.located = folder, tools, located

    def __call__(self, files: Mapping[str, bytes], libraries: Mapping[str, bytes]) -> list[str]:
        extra = locked(write_wheel(self.folder, "extra", "1.0", tag=TAG, files=files), self.tools.store)
        bundle = pack_bundle(
            self.folder / "b",
            self.folder / "made",
            self.tools,
            self.located,
            more=[extra],
            torch_files={f"torch/lib/{name}": data for name, data in libraries.items()},
        )
        _, problems = verify_static(bundle, self.tools)
        return [str(problem).split(": ", 1)[1] for problem in problems]


@pytest.fixture
def judge(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Judge:
    return Judge(tmp_path, tools, located)


TORCH = {
    "libtorch_cpu.so": elf_file(had=[EMPTY, STABLE]),
    "libc10.so": elf_file(had=[CHECK]),
    "libtorch.so": elf_file(["libtorch_cpu.so"]),
}


def test_what_torch_has_is_fine(judge: Judge) -> None:
    own = "_ZN5torch5extra3runEv"
    files = {
        MODULE: elf_file(["libtorch.so", "libextra.so"], wanted=[EMPTY, CHECK, STABLE, own]),
        "extra/libextra.so": elf_file(had=[own]),
    }
    assert judge(files, TORCH) == []


def test_what_torch_does_not_have_is_named_with_what_to_do(judge: Judge) -> None:
    (problem,) = judge({MODULE: elf_file(["libc10.so"], wanted=[EMPTY, OLD])}, TORCH)
    assert problem.startswith(
        f"{MODULE} wants what torch 2.13.0 does not have: c10::detail::torchCheckFail. It was compiled with "
        "another torch: require the release of extra that was made for torch 2.13.0 (--with extra==VERSION)"
    )
    assert problem.endswith("[SYMBOLS]")


def test_a_module_that_names_no_library_of_torch_is_held_to_it_all_the_same(judge: Judge) -> None:
    assert len(judge({MODULE: elf_file(wanted=[OLD])}, TORCH)) == 1


def test_what_can_be_absent_is_no_problem(judge: Judge) -> None:
    assert judge({MODULE: elf_file(["libc10.so"], wanted=[OLD], weak=True)}, TORCH) == []


def test_a_library_of_torch_that_is_not_there_is_told_once(judge: Judge) -> None:
    (problem,) = judge({MODULE: elf_file(["libtorch_cuda.so"], wanted=[OLD])}, TORCH)
    assert (
        "needs libtorch_cuda.so, which torch 2.13.0 of this bundle does not have: it is for another"
        in problem
    )
    assert problem.endswith("[LIBRARY]")


def test_a_library_of_torch_that_only_some_files_need_is_worth_a_note(judge: Judge) -> None:
    files = {
        MODULE: elf_file(["libc10.so"], wanted=[CHECK]),
        "extra/gpu.so": elf_file(["libtorch_cuda.so"], wanted=[OLD]),
    }
    assert judge(files, TORCH) == []


def test_of_modules_for_several_torch_one_has_to_fit(judge: Judge) -> None:
    files = {
        "extra/libextra_torch24.so": elf_file(["libc10.so"], wanted=[OLD]),
        "extra/libextra_torch213.so": elf_file(["libc10.so"], wanted=[CHECK]),
    }
    assert judge(files, TORCH) == []
    del files["extra/libextra_torch213.so"]
    assert len(judge(files, TORCH)) == 1
