"""Static verification: a sound bundle passes, and every seeded fault is named with its file."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conftest import EMPTY_ELF, TARGET, elf_with_device_code, locked, pack_bundle, write_wheel
from pefiles import pe_file
from wheelferry.binaries.elf import read_elf
from wheelferry.bundle.pack import check_output
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError
from wheelferry.models.manifest import NAME, File, Manifest, parse_manifest
from wheelferry.models.problems import Code
from wheelferry.models.stable_abi import unstable_calls
from wheelferry.models.targets import Target
from wheelferry.system.files import sha256_file
from wheelferry.verification.static.binary_checks import check_stable
from wheelferry.verification.static.checks import check_cuda
from wheelferry.verification.static.level import verify_static
from wheelferry.wheels.read import read_wheel

TORCH = "wheelhouse/torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl"
TINY = "wheelhouse/tiny-1.0+pt2.13.0cpu-cp311-cp311-manylinux_2_17_x86_64.whl"
LEAF = "wheelhouse/leaf-1.5-py3-none-any.whl"
TWIG = "wheelhouse/twig-2.1-py3-none-any.whl"
MODULE = "tiny/_C.cpython-311-x86_64-linux-gnu.so"


def found(bundle: Path, tools: Tools) -> set[tuple[str, str]]:
    """Codes and files of the problems that verification names."""
    _, problems = verify_static(bundle, tools)
    return {(problem.code.name, problem.file) for problem in problems}


def test_a_sound_bundle_has_no_problems(bundle: Path, tools: Tools) -> None:
    opened, problems = verify_static(bundle, tools)
    assert problems == []
    assert opened is not None
    assert len(opened.wheels) == 4


def test_every_changed_byte_is_found(bundle: Path, tools: Tools) -> None:
    """One byte in the first, middle and last part of every file, the manifest included."""
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        good = path.read_bytes()
        path.chmod(0o644)
        for position in {0, len(good) // 2, len(good) - 1} if good else ():
            changed = bytearray(good)
            changed[position] ^= 0x01
            path.unlink()  # the wheelhouse shares its bytes with the store
            path.write_bytes(bytes(changed))
            named = {file for _, file in found(bundle, tools)}
            assert path.relative_to(bundle).as_posix() in named, (path, position)
        path.write_bytes(good)
    assert found(bundle, tools) == set()


def test_any_single_byte_anywhere_is_found(bundle: Path, tools: Tools) -> None:
    """Random places and random new values, so that parsers meet damage nobody thought of."""
    random = Random(20261121)
    paths = sorted(p for p in bundle.rglob("*") if p.is_file() and p.stat().st_size)
    for _ in range(400):
        path = random.choice(paths)
        good = path.read_bytes()
        changed = bytearray(good)
        position = random.randrange(len(good))
        changed[position] ^= random.randrange(1, 256)
        path.unlink()
        path.write_bytes(bytes(changed))
        named = {file for _, file in found(bundle, tools)}
        assert path.relative_to(bundle).as_posix() in named, (path, position)
        path.write_bytes(good)


def test_a_missing_wheel_is_named_by_all_who_need_it(bundle: Path, tools: Tools) -> None:
    (bundle / TWIG).unlink()
    assert {("FILE_MISSING", TWIG), ("WHEEL_MISSING", TWIG), ("REQUIREMENT", LEAF)} <= found(bundle, tools)


def test_a_missing_built_wheel(bundle: Path, tools: Tools) -> None:
    (bundle / TINY).unlink()
    assert {("FILE_MISSING", TINY), ("WHEEL_MISSING", TINY)} <= found(bundle, tools)


def test_swapped_wheels(bundle: Path, tools: Tools) -> None:
    (bundle / LEAF).rename(bundle / "x")
    (bundle / TWIG).rename(bundle / LEAF)
    (bundle / "x").rename(bundle / TWIG)
    seen = found(bundle, tools)
    assert {("FILE_CHANGED", LEAF), ("FILE_CHANGED", TWIG), ("NAME", LEAF), ("NAME", TWIG)} <= seen


def test_a_renamed_tag(bundle: Path, tools: Tools) -> None:
    other = TINY.replace("cp311-cp311", "cp312-cp312")
    (bundle / TINY).rename(bundle / other)
    assert {("FILE_MISSING", TINY), ("FILE_UNLISTED", other), ("WHEEL_UNLOCKED", other)} <= found(
        bundle, tools
    )


def test_a_foreign_file(bundle: Path, tools: Tools) -> None:
    (bundle / "wheelhouse" / "extra.txt").write_text("hello", "utf-8")
    assert ("FILE_UNLISTED", "wheelhouse/extra.txt") in found(bundle, tools)


def test_a_folder_that_is_no_bundle(tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(InputError, match="is not a bundle"):
        verify_static(tmp_path, tools)


def test_a_manifest_of_another_format(bundle: Path, tools: Tools) -> None:
    path = bundle / NAME
    path.write_text(path.read_text("utf-8").replace('"format": 1', '"format": 99'), "utf-8")
    opened, problems = verify_static(bundle, tools)
    assert opened is None
    assert "format 99" in problems[0].message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"python": "3.11"', '"python": "3.1x"'),
        ('"python": "3.11"', '"python": 3'),
        ('"platform": "manylinux_2_28_x86_64"', '"platform": "linux_x86_64"'),
        ('"torch": "2.13.0"', '"torch": "new"'),
        ('"requirements": "requirements.txt"', '"requirements": "../../etc/passwd"'),
        ('"built": "tiny', '"built": "/tiny'),
        ('"targets": [', '"targets": [7, '),
        ('"recipe": "tiny"', '"recipe": null'),
    ],
)
def test_a_manifest_that_makes_no_sense(bundle: Path, tools: Tools, old: str, new: str) -> None:
    path = bundle / NAME
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    assert found(bundle, tools) == {("MANIFEST", NAME)}


# The faults below come with a manifest and locks that fit them, as a careless repacking would leave:
# hashes alone do not find them.


def replace_wheel(
    bundle: Path, old: str, make: Callable[[Path], Path], version: tuple[str, str] = ("", "")
) -> str:
    """Put another wheel in the place of `old` and make locks and manifest agree with it."""
    old_hash = sha256_file(bundle / old)
    (bundle / old).unlink()
    made = make(bundle / "wheelhouse")
    new = f"wheelhouse/{made.name}"
    for name in ("requirements.txt", *(p.name for p in bundle.glob("pylock.*.toml"))):
        path = bundle / name
        text = path.read_text("utf-8").replace(old_hash, sha256_file(made)).replace(old, new)
        text = text.replace(Path(old).name, made.name)
        text = text.replace(f'"{version[0]}"', f'"{version[1]}"').replace(
            f"=={version[0]} ", f"=={version[1]} "
        )
        text = re.sub(r"(?m)^size = \d+$", "size = 1", text)
        path.write_text(text, "utf-8")
    reseal(bundle, **({"built": made.name} if made.name.startswith("tiny") else {}))
    return new


def reseal(bundle: Path, *, built: str | None = None) -> None:
    """Write a manifest that lists exactly what is there."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    files = tuple(
        File(path=p.relative_to(bundle).as_posix(), size=p.stat().st_size, sha256=sha256_file(p))
        for p in bundle.rglob("*")
        if p.is_file() and p.name != NAME
    )
    (entry,) = manifest.targets
    values = {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}
    fields = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    values["targets"] = (type(entry)(**{**fields, "built": built or entry.built}),)
    (bundle / NAME).write_text(Manifest(**{**values, "files": files}).to_text(), "utf-8", newline="\n")


def tiny(folder: Path, backend: str = "cpu", **changes: object) -> Path:
    """The built wheel again, with one thing changed."""
    torch_hash = sha256_file(folder / Path(TORCH).name)
    options: dict[str, object] = {
        "requires": ["torch==2.13.0", "leaf>=1"],
        "tag": "cp311-cp311-manylinux_2_17_x86_64",
        "files": {MODULE: EMPTY_ELF},
        "stamp": json.dumps({"torch": {"sha256": torch_hash}}).encode(),
        **changes,
    }
    return write_wheel(folder, "tiny", f"1.0+pt2.13.0{backend}", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("torch", "digest", "sound"),
    [("2.13.0", None, True), ("2.12.1", None, False), ("2.13.0", "f" * 64, False)],
)
def test_other_wheels_built_with_torch_are_held_to_the_torch_that_ships(
    torch: str, digest: str | None, sound: bool, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    made = tmp_path / "made"
    shipped = write_wheel(made, "torch", "2.13.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    stamp = json.dumps({"torch": {"sha256": digest or sha256_file(shipped)}}).encode()
    hull = write_wheel(
        tmp_path / "other", "hull", "1.0+pt2.13.0cpu", requires=[f"torch=={torch}"], stamp=stamp
    )
    out = pack_bundle(tmp_path / "bundle", made, tools, located, more=[locked(hull, tools.store)])
    assert (("TORCH", f"wheelhouse/{hull.name}") not in found(out, tools)) == sound


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"requires": ["torch==2.12.1", "leaf>=1"]}, "TORCH"),
        ({"requires": ["torch>=2.0", "leaf>=1"]}, "TORCH"),
        ({"requires": ["leaf>=1"]}, "TORCH"),
        ({"stamp": json.dumps({"torch": {"sha256": "f" * 64}}).encode()}, "TORCH"),
        ({"stamp": None}, "TORCH"),
        ({"stamp": b"{"}, "TORCH"),
        ({"files": {}}, "OPS"),
        ({"files": {MODULE.replace("311", "312"): EMPTY_ELF}}, "OPS"),
        ({"files": {MODULE: b"not an ELF file"}}, "OPS"),
        ({"requires": ["torch==2.13.0", "leaf>=2"]}, "REQUIREMENT"),
        ({"requires": ["torch==2.13.0", "leaf[fast]", "absent"]}, "REQUIREMENT"),
        ({"tag": "cp312-cp312-manylinux_2_17_x86_64"}, "PLATFORM"),
        ({"tag": "cp311-cp311-manylinux_2_34_x86_64"}, "PLATFORM"),
        ({"tag": "cp311-cp311-win_amd64"}, "PLATFORM"),
        ({"requires_python": ">=3.12"}, "PYTHON"),
    ],
)
def test_a_built_wheel_that_does_not_belong(
    bundle: Path, tools: Tools, changes: dict[str, Any], code: str
) -> None:
    new = replace_wheel(bundle, TINY, lambda folder: tiny(folder, **changes))
    seen = found(bundle, tools)
    assert (code, new) in seen
    expected = {code, "REQUIREMENT"} if "2.12" in str(changes) else {code}
    assert {name for name, _ in seen} == expected, "one fault, one kind of finding"


def test_the_replacement_itself_is_no_fault(bundle: Path, tools: Tools) -> None:
    replace_wheel(bundle, TINY, tiny)
    assert found(bundle, tools) == set()


def leaf(folder: Path, **changes: object) -> Path:
    """The leaf again, with one thing changed."""
    options: dict[str, object] = {"requires": ["twig<3"], **changes}
    return write_wheel(folder, "leaf", "1.5", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        (
            {"files": {"twig/__init__.py": b"x"}},
            "SAME_FILE",
            "installs a file that twig-2.1-py3-none-any.whl",
        ),
        (
            {"files": {"leaf-1.5.data/scripts/pip": b""}},
            "SCRIPT",
            "installs bin/pip, which takes the place of",
        ),
        ({"metadata_version": "4.0"}, "METADATA", "the METADATA of leaf 1.5: '4.0' is not a valid metadata"),
        ({"metadata_version": "new"}, "METADATA", "the METADATA of leaf 1.5: 'new' is not a valid metadata"),
        ({"requires_python": "nonsense"}, "METADATA", "'nonsense' is invalid for 'requires-python'"),
        (
            {"files": {"leaf-1.5.dist-info/entry_points.txt": b"[console_scripts]\nleaf leaf:main"}},
            "METADATA",
            "neither pip nor uv installs it, because of its entry_points.txt: 'leaf leaf:main' is not an ",
        ),
        ({"compression": zipfile.ZIP_BZIP2}, "COMPRESSION", " and 3 more files are compressed with bzip2"),
        ({"compression": zipfile.ZIP_LZMA}, "COMPRESSION", " and 3 more files are compressed with LZMA"),
    ],
)
def test_a_wheel_that_not_everybody_installs_well(
    bundle: Path, tools: Tools, changes: dict[str, Any], code: str, said: str
) -> None:
    replace_wheel(bundle, LEAF, lambda folder: leaf(folder, **changes))
    _, (problem,) = verify_static(bundle, tools)
    assert (problem.code.name, problem.file) == (code, LEAF)
    assert said in problem.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": {"twig/__init__.py": b""}}, "that twig-2.1-py3-none-any.whl installs too, with the same"),
        (
            {"requires_python": ">=3.6.*"},
            "mistakes in its METADATA, which installers pass over: requires-python",
        ),
        ({"metadata_version": "2.0"}, "which installers pass over: metadata-version"),
        ({"metadata_lines": ["License-Expression: no such"]}, "installers pass over: license-expression"),
        ({"metadata_lines": ["New-Field: x", "Keywords: a", "Keywords: b"]}, "over: keywords, new-field"),
    ],
)
def test_what_is_only_worth_knowing_of_a_wheel(
    bundle: Path, tools: Tools, changes: dict[str, Any], said: str
) -> None:
    replace_wheel(bundle, LEAF, lambda folder: leaf(folder, **changes))
    opened, problems = verify_static(bundle, tools)
    assert problems == []
    assert opened is not None
    (note,) = opened.notes
    assert said in str(note)


def test_fields_that_are_newer_than_the_metadata_says_are_not_worth_a_word(
    bundle: Path, tools: Tools
) -> None:
    """setuptools wrote License-File for years before Metadata-Version 2.4 had it."""
    replace_wheel(bundle, LEAF, lambda folder: leaf(folder, metadata_lines=["License-File: LICENSE"]))
    opened, problems = verify_static(bundle, tools)
    assert opened is not None
    assert (problems, opened.notes) == ([], ())


def exclude(bundle: Path, name: str) -> None:
    """Let the manifest say that a package was left out."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    (entry,) = manifest.targets
    text = replace(manifest, targets=(replace(entry, excluded=(name,)),)).to_text()
    (bundle / NAME).write_text(text, "utf-8", newline="\n")


def test_what_was_left_out_on_purpose_is_no_missing_requirement(bundle: Path, tools: Tools) -> None:
    replace_wheel(bundle, LEAF, lambda folder: leaf(folder, requires=["twig<3", "absent>=2"]))
    assert found(bundle, tools) == {("REQUIREMENT", LEAF)}
    exclude(bundle, "other")
    assert found(bundle, tools) == {("REQUIREMENT", LEAF)}
    exclude(bundle, "absent")
    opened, problems = verify_static(bundle, tools)
    assert opened is not None
    assert problems == []
    assert [str(note) for note in opened.notes] == [
        f"{LEAF}: requires absent>=2, which was left out of the bundle on purpose"
    ]


def test_what_was_asked_for_and_left_out_is_told(bundle: Path, tools: Tools) -> None:
    """As a recipe's own requirement, which no wheel has to repeat."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    (entry,) = manifest.targets
    asked = replace(entry, requested=(*entry.requested, "absent>=2"), excluded=("absent",))
    text = replace(manifest, targets=(asked,)).to_text()
    (bundle / NAME).write_text(text, "utf-8", newline="\n")
    opened, problems = verify_static(bundle, tools)
    assert opened is not None
    assert problems == []
    assert [str(note) for note in opened.notes] == [
        f"{entry.pylock}: absent>=2 was left out of the bundle on purpose"
    ]


def test_what_was_left_out_must_not_be_there(bundle: Path, tools: Tools) -> None:
    exclude(bundle, "twig")
    assert found(bundle, tools) == {("REQUIREMENT", TWIG)}


def test_a_package_in_two_versions(bundle: Path, tools: Tools) -> None:
    """Each lock has one version of a package: another beside it is named in both."""
    other = write_wheel(bundle / "wheelhouse", "leaf", "1.4")
    requirements = bundle / "requirements.txt"
    pin = f"leaf==1.4 \\\n    --hash=sha256:{sha256_file(other)}\n"
    requirements.write_text(requirements.read_text("utf-8") + pin, "utf-8")
    (pylock,) = bundle.glob("pylock.*.toml")
    text = pylock.read_text("utf-8")
    (block,) = re.findall(r'(?ms)^\[\[packages\]\]\nname = "leaf".*?(?=^\[\[packages\]\])', text)
    again = block.replace(Path(LEAF).name, other.name).replace('"1.5"', '"1.4"')
    pylock.write_text(text.replace(block, block + again), "utf-8")
    reseal(bundle)
    _, problems = verify_static(bundle, tools)
    unreadable = {p.file: p.message for p in problems if p.code is Code.LOCK_UNREADABLE}
    assert unreadable == {
        "requirements.txt": "leaf has two versions: 1.5 and 1.4",
        pylock.name: "leaf has two versions: 1.5 and 1.4",
    }


CUDA_TARGET = Target(python="3.11", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="cu130")


@pytest.fixture
def cuda_bundle(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A bundle whose built wheel promises code for sm_75, sm_90 and sm_120."""
    made = tmp_path / "made"
    return pack_bundle(
        tmp_path / "cuda", made, tools, located, [CUDA_TARGET], cuda_architectures=["7.5", "9.0", "12.0"]
    )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (elf_with_device_code(75, 90, 120), None),
        (elf_with_device_code(75, 90), "tiny._C has no code for sm_120 (it has sm_75, sm_90)"),
        (EMPTY_ELF, "tiny._C has no CUDA code"),
        (elf_with_device_code(75, 90, 120, kernel="other"), "no module has the CUDA kernel tiny_kernel"),
    ],
)
def test_code_for_every_promised_gpu_is_looked_for(
    cuda_bundle: Path, tools: Tools, module: bytes, said: str | None
) -> None:
    old = TINY.replace("2.13.0cpu", "2.13.0cu130")
    new = replace_wheel(cuda_bundle, old, lambda folder: tiny(folder, "cu130", files={MODULE: module}))
    _, problems = verify_static(cuda_bundle, tools)
    assert {(p.code.name, p.file) for p in problems} == ({("CUDA", new)} if said else set())
    assert not said or said in {p.message for p in problems}


def test_an_altered_promise_of_gpus_is_found(cuda_bundle: Path, tools: Tools) -> None:
    path = cuda_bundle / NAME
    path.write_text(path.read_text("utf-8").replace('"sm_120"', '"sm_100"'), "utf-8")
    assert found(cuda_bundle, tools) == {("MANIFEST", NAME), ("CUDA", TINY.replace("cpu", "cu130"))}


def test_a_dependency_of_another_version(bundle: Path, tools: Tools) -> None:
    replace_wheel(bundle, TWIG, lambda folder: write_wheel(folder, "twig", "3.0"), ("2.1", "3.0"))
    assert found(bundle, tools) == {("REQUIREMENT", LEAF)}


def test_a_lock_whose_version_is_not_its_wheels(bundle: Path, tools: Tools) -> None:
    replace_wheel(bundle, TWIG, lambda folder: write_wheel(folder, "twig", "2.2"))
    pylock = next(path.name for path in bundle.glob("pylock.*"))
    _, problems = verify_static(bundle, tools)
    assert [(p.code.name, p.file) for p in problems] == [("LOCK_UNREADABLE", pylock)]
    assert "twig-2.2" in problems[0].message


def test_another_torch(bundle: Path, tools: Tools) -> None:
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    replace_wheel(
        bundle, TORCH, lambda folder: write_wheel(folder, "torch", "2.12.1", tag=tag), ("2.13.0", "2.12.1")
    )
    assert ("TORCH", TINY) in found(bundle, tools)


STABLE = b'{"stable_abi": "2.10", "torch": {"version": "2.12.0", "sha256": "00"}}'


def with_stable_wheel(bundle: Path, **changes: Any) -> None:
    options = {"requires": ["torch>=2.10", "leaf"], "stamp": STABLE, "files": {MODULE: EMPTY_ELF}, **changes}
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    replace_wheel(
        bundle, TINY, lambda folder: write_wheel(folder, "tiny", "1.0+pt2.13.0cpu", tag=tag, **options)
    )


def test_a_wheel_on_the_stable_abi_need_not_know_the_torch_of_the_lock(bundle: Path, tools: Tools) -> None:
    with_stable_wheel(bundle)
    assert found(bundle, tools) == set()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requires": ["torch==2.12.0", "leaf"]}, "requires torch==2.12.0, the lock has torch 2.13.0"),
        ({"requires": ["torch>=2.14", "leaf"]}, "requires torch>=2.14, the lock has torch 2.13.0"),
        ({"requires": ["leaf"]}, "requires no torch, the lock has torch 2.13.0"),
        ({"stamp": STABLE.replace(b"2.10", b"3.1")}, "requires torch>=2.10, the lock has torch 2.13.0"),
        ({"files": {MODULE: b"\x7fELF"}}, "a compiled module is unreadable"),
    ],
)
def test_a_wheel_that_only_says_that_it_is_on_the_stable_abi(
    changes: dict[str, Any], said: str, bundle: Path, tools: Tools
) -> None:
    with_stable_wheel(bundle, **changes)
    _, problems = verify_static(bundle, tools)
    assert said in " ".join(problem.message for problem in problems if problem.file == TINY)


def test_gpu_code_on_the_stable_abi_must_go_with_the_cuda_of_torch(bundle: Path, tools: Tools) -> None:
    made = STABLE.replace(b"{", b'{"cuda": {"version": "13.0", "architectures": ["9.0"]}, ', 1)
    with_stable_wheel(bundle, stamp=made)
    _, problems = verify_static(bundle, tools)
    (message,) = [problem.message for problem in problems if problem.file == TINY]
    assert message == ("it has code for CUDA 13.0, and what is wanted is the CPU alone: the backend is cpu")
    info = read_wheel(bundle / TINY)
    cuda = {backend: replace(TARGET, backend=backend) for backend in ("cu130", "cu132", "cu126")}
    assert [list(check_cuda(TINY, info, cuda[backend])) for backend in ("cu130", "cu132")] == [[], []]
    (problem,) = check_cuda(TINY, info, cuda["cu126"])
    assert problem.code.name == "CUDA"
    assert "CUDA 12.6 has another runtime" in problem.message


def test_a_call_beyond_the_stable_abi_is_named(
    bundle: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_stable_wheel(bundle)
    calls = ("PyLong_FromLong", "_Py_Dealloc", "aoti_torch_check", "torch_call_dispatcher", "_ZN2at5emptyE")
    fact = replace(read_elf(BytesIO(EMPTY_ELF)), open_names=calls)
    monkeypatch.setattr("wheelferry.binaries.elf.read_elf", lambda _: fact)
    _, problems = verify_static(bundle, tools)
    said = f"{MODULE} calls _ZN2at5emptyE, which is not of torch's stable ABI"
    assert [(problem.code.name, problem.message) for problem in problems] == [("TORCH", said)]


def test_a_windows_module_is_held_to_the_stable_abi_too(tmp_path: Path) -> None:
    good = {
        "torch_cpu.dll": ["aoti_torch_check"],
        "python311.dll": ["PyLong_FromLong"],
        "KERNEL32.dll": ["Sleep"],
    }
    target = replace(TARGET, platform="win_amd64")
    for functions, blamed in ((good, []), ({**good, "c10.dll": ["?f@c10@@YAXXZ"]}, ["?f@c10@@YAXXZ"])):
        files = {"tiny/_C.cp311-win_amd64.pyd": pe_file(functions)}
        wheel = write_wheel(tmp_path, "tiny", "1.0", tag="cp311-cp311-win_amd64", files=files)
        problems = list(check_stable(wheel, "tiny.whl", target))
        assert [name for name in blamed if name in " ".join(map(str, problems))] == blamed
        assert len(problems) == len(blamed)


def test_what_an_extension_leaves_open_is_known() -> None:
    """One that is installed here: it calls Python in no version, the C library in versions."""
    module = Path(find_spec("pydantic_core._pydantic_core").origin)  # type: ignore[union-attr,arg-type]
    with module.open("rb") as stream:
        facts = read_elf(stream)
    assert "PyList_New" in facts.open_names
    assert {name for names in facts.symbol_versions.values() for name in names}.isdisjoint(facts.open_names)
    assert unstable_calls(facts.open_names) == []


def test_contents_that_are_not_the_record(bundle: Path, tools: Tools) -> None:
    def tampered(folder: Path) -> Path:
        path = write_wheel(folder, "leaf", "1.5", requires=["twig<3"], files={"leaf/data.txt": b"good"})
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        contents["leaf/data.txt"] = b"evil"
        contents["leaf/more.txt"] = b"more"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in contents.items():
                archive.writestr(name, data)
        return path

    replace_wheel(bundle, LEAF, tampered)
    opened, problems = verify_static(bundle, tools)
    more = f"{LEAF}: leaf/more.txt: not in RECORD [RECORD]"
    assert [str(p) for p in problems] == [more]
    assert opened is not None
    assert opened.published_so == (f"{LEAF}: leaf/data.txt: hash differs from RECORD",)
    made_here(bundle, LEAF)
    _, problems = verify_static(bundle, tools)
    data = f"{LEAF}: leaf/data.txt: hash differs from RECORD [RECORD]"
    assert [str(p) for p in problems] == [data, more]


def made_here(bundle: Path, wheel: str) -> None:
    """Let the manifest say that `wheel` was built here from an sdist."""
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    origins = {**manifest.origins, Path(wheel).name: "https://index.example/leaf-1.5.tar.gz"}
    (bundle / NAME).write_text(replace(manifest, origins=origins).to_text(), "utf-8", newline="\n")


def test_a_tag_that_the_wheel_itself_does_not_state(bundle: Path, tools: Tools) -> None:
    def retagged(folder: Path) -> Path:
        made = write_wheel(folder, "leaf", "1.5", requires=["twig<3"])
        return made.rename(made.with_name("leaf-1.5-py2.py3-none-any.whl"))

    new = replace_wheel(bundle, LEAF, retagged)
    assert found(bundle, tools) == {("TAGS", new)}


@pytest.mark.parametrize(
    ("stated", "named", "fine"),
    [
        ("cp311-cp311-linux_x86_64", "cp311-cp311-manylinux1_x86_64", True),
        ("cp311-cp311-linux_x86_64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp311-cp311-linux_aarch64", "cp311-cp311-manylinux1_x86_64", False),
        ("cp310-cp310-linux_x86_64", "cp311-cp311-manylinux1_x86_64", False),
        ("cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_17_x86_64", False),
    ],
)
def test_a_plain_linux_tag_counts_for_manylinux(
    bundle: Path, tools: Tools, stated: str, named: str, fine: bool
) -> None:
    """As torch 2.0 was published."""

    def renamed(folder: Path) -> Path:
        made = write_wheel(folder, "leaf", "1.5", requires=["twig<3"], tag=stated)
        return made.rename(made.with_name(f"leaf-1.5-{named}.whl"))

    new = replace_wheel(bundle, LEAF, renamed)
    assert found(bundle, tools) == (set() if fine else {("TAGS", new)})


def test_locks_that_disagree(bundle: Path, tools: Tools) -> None:
    path = bundle / "requirements.txt"
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"leaf==1\.5", "leaf==1.4", text), "utf-8")
    reseal(bundle)
    assert ("LOCK_DISAGREES", "requirements.txt") in found(bundle, tools)


def test_a_lock_that_cannot_be_read(bundle: Path, tools: Tools) -> None:
    (bundle / "requirements.txt").write_text("leaf>=1\n", "utf-8")
    reseal(bundle)
    assert found(bundle, tools) == {("LOCK_UNREADABLE", "requirements.txt")}


def test_an_earlier_bundle_may_be_replaced_but_nothing_else(bundle: Path, tmp_path: Path) -> None:
    check_output(bundle)
    check_output(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    (bundle / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(InputError, match=r"also holds notes\.txt, which would be lost"):
        check_output(bundle)
    with pytest.raises(InputError, match="is not a folder"):
        check_output(bundle / "notes.txt")
    with pytest.raises(InputError, match="something other than a bundle"):
        check_output(bundle / "wheelhouse")


def test_two_targets_share_one_wheelhouse(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    other = Target(python="3.12", platform=TARGET.platform, torch=TARGET.torch, backend=TARGET.backend)
    two = pack_bundle(tmp_path / "two", tmp_path / "made", tools, located, (TARGET, other))
    assert found(two, tools) == set()
    assert len(list((two / "wheelhouse").iterdir())) == 6
    assert {path.name for path in two.glob("requirements*")} == {
        f"requirements.{TARGET.name}.txt",
        f"requirements.{other.name}.txt",
    }
    (two / "wheelhouse" / "torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl").unlink()
    _, problems = verify_static(two, tools)
    assert any(other.name in problem.message for problem in problems)
    assert not any(TARGET.name in problem.message for problem in problems)


def test_packing_twice_gives_the_same_bytes(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    again = pack_bundle(tmp_path / "again", tmp_path / "made2", tools, located)
    one, two = (
        {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (bundle, again)
    )
    assert one == two


def test_a_manifest_from_before_plan_digests_is_still_whole(bundle: Path, tools: Tools) -> None:
    manifest = parse_manifest((bundle / NAME).read_text("utf-8"))
    (entry,) = manifest.targets
    assert len(entry.plan) == 64
    older = replace(manifest, targets=(replace(entry, plan=""),))
    (bundle / NAME).write_text(older.to_text(), "utf-8", newline="\n")
    assert '"plan"' not in (bundle / NAME).read_text("utf-8")
    assert found(bundle, tools) == set()


def test_two_targets_of_one_torch_share_it(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    """Ops for the CPU, and for the GPU too, beside the same build of torch."""
    plain = replace(CUDA_TARGET, backend="default")
    root = pack_bundle(
        tmp_path / "both", tmp_path / "made", tools, located, [plain, CUDA_TARGET], cuda_architectures=["9.0"]
    )
    assert verify_static(root, tools)[1] == []
    assert len(list((root / "wheelhouse").glob("torch-*.whl"))) == 1
    assert len(list((root / "wheelhouse").glob("tiny-*.whl"))) == 2
    entries = {e.target.backend: e for e in parse_manifest((root / NAME).read_text("utf-8")).targets}
    assert set(entries) == {"default", "cu130"}
    assert entries["default"].cuda is None
    assert entries["cu130"].cuda is not None
    assert set(entries["cu130"].cuda.images) == {"sm_90"}
