"""What is read of macOS binaries: by files made here, with damage and without."""

import random
import struct
from pathlib import Path

import pytest

from conftest import write_wheel
from effort import trials
from machofiles import ARM64, DYLIB, OBJECT, X86_64, fat_file, macho_file
from wheelferry.binaries.macho import is_macho, read_macho, read_names
from wheelferry.binaries.macho_names import read_bindings, read_chained, read_exports
from wheelferry.wheels.contents import read_contents

SYSTEM, CPU = "/usr/lib/libSystem.B.dylib", "@rpath/libtorch_cpu.dylib"
NAMES = {SYSTEM: ["free"], CPU: ["aoti_torch_get_dim", "_ZN2at3addEv"], "": ["PyLong_FromLong", "torch_call"]}


@pytest.mark.parametrize("chained", [False, True])
def test_a_module_says_what_it_is_and_needs(chained: bool) -> None:
    data = macho_file(
        needed=[SYSTEM, CPU],
        optional=["/System/Library/Frameworks/Metal.framework/Metal"],
        search_paths=["@loader_path/../torch/lib"],
        minimum=(11, 3),
        wanted=NAMES,
        exported=["PyInit__C", "torch_mine"],
        chained=chained,
    )
    assert is_macho(data[:8])
    found = read_macho(data)
    assert found is not None
    assert (found.processors, found.platform, found.minimum) == (("arm64",), "macOS", (11, 3))
    assert found.needed[:2] == (SYSTEM, CPU)
    assert found.optional == {"/System/Library/Frameworks/Metal.framework/Metal"}
    assert found.search_paths == ("@loader_path/../torch/lib",)
    assert found.unsigned == ""
    assert found.fits_arm64
    # of the names those of torch alone
    assert found.wanted == {CPU: {"aoti_torch_get_dim", "_ZN2at3addEv"}, "": {"torch_call"}}
    assert found.exported == {"torch_mine"}
    wanted, exported = read_names(data)
    assert wanted == {library: frozenset(names) for library, names in NAMES.items()}
    assert exported == {"PyInit__C", "torch_mine"}


@pytest.mark.parametrize("chained", [False, True])
def test_names_that_may_be_missing_are_not_wanted(chained: bool) -> None:
    wanted = {CPU: ["torch_a", "torch_b"]}
    found = read_macho(macho_file(needed=[CPU], wanted=wanted, weak=["torch_b"], chained=chained))
    assert found is not None
    assert found.wanted == {CPU: {"torch_a"}}


def test_of_a_fat_file_the_part_for_arm64_counts() -> None:
    thin = macho_file(needed=[SYSTEM], minimum=(12, 0))
    found = read_macho(fat_file((X86_64, macho_file(processor=X86_64, minimum=(10, 9))), (ARM64, thin)))
    assert found is not None
    assert (found.processors, found.minimum, found.unsigned) == (("x86_64", "arm64"), (12, 0), "")
    intel = read_macho(macho_file(processor=X86_64))
    assert intel is not None
    assert (intel.fits_arm64, intel.made_for) == (False, "x86_64")
    phone = read_macho(macho_file(platform=2))
    assert phone is not None
    assert (phone.fits_arm64, phone.made_for) == (False, "iOS on arm64")


def test_what_is_not_loaded_is_passed_over() -> None:
    assert read_macho(macho_file(kind=OBJECT)) is None
    java = b"\xca\xfe\xba\xbe\x00\x00\x00\x3d" + bytes(100)  # a class file of Java 17
    assert not is_macho(java[:8])
    with pytest.raises(ValueError, match="not a Mach-O file"):
        read_macho(java)


def test_a_signature_must_be_there_and_cover_every_byte() -> None:
    unsigned = read_macho(macho_file(signed=False))
    assert unsigned is not None
    assert unsigned.unsigned == "it has no code signature"
    data = bytearray(macho_file(exported=[f"torch_{number:080}" for number in range(250)], kind=DYLIB))
    assert len(data) > 4 * 4096
    place = data.index(b"torch_" + b"0" * 77 + b"150")
    data[place + 20 : place + 21] = b"1"
    changed = read_macho(bytes(data))
    assert changed is not None
    assert changed.unsigned == "it was changed after it was signed"


def test_damage_is_told_and_never_more_than_that() -> None:
    """Bytes changed and cut at random: it is read, or ValueError says that it cannot be."""
    data = macho_file(needed=[SYSTEM, CPU], wanted=NAMES, exported=["PyInit__C", "torch_mine"])
    both = [data, macho_file(needed=[SYSTEM, CPU], wanted=NAMES, exported=["torch_mine"], chained=True)]
    dice = random.Random(7)
    told = 0
    for _ in range(trials(400, 20_000)):
        damaged = bytearray(dice.choice(both))
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(8, len(damaged))] = dice.randrange(256)
        if dice.random() < 0.3:
            del damaged[dice.randrange(8, len(damaged)) :]
        try:
            read_macho(bytes(damaged))
        except ValueError:
            told += 1
    assert told


def test_tables_in_circles_and_without_end_are_refused() -> None:
    circle = bytes([0, 1]) + b"a\0" + bytes([0])  # a branch back to the root
    with pytest.raises(ValueError, match="contradicts itself"):
        list(read_exports(circle))
    with pytest.raises(ValueError, match="no end"):
        list(read_bindings(b"\x40_name"))
    with pytest.raises(ValueError, match="opcode 0xe0"):
        list(read_bindings(b"\xe0"))
    with pytest.raises(ValueError, match="nobody here knows"):
        list(read_chained(struct.pack("<7I", 0, 28, 28, 28, 0, 9, 0)))


def test_a_wheels_binaries_are_read_whatever_their_names(tmp_path: Path) -> None:
    files = {
        "tiny/_C.abi3.so": macho_file(needed=[SYSTEM]),
        "tiny/bin/tool": macho_file(kind=2),
        "tiny/broken.dylib": macho_file()[:200],
        "tiny/text.so": b"INPUT(libother.so)",
    }
    wheel = write_wheel(tmp_path, "tiny", "1.0", tag="cp312-cp312-macosx_14_0_arm64", files=files)
    _, contents = read_contents(wheel, tmp_path)
    assert set(contents.macho_files.facts) == {"tiny/_C.abi3.so", "tiny/bin/tool"}
    assert set(contents.macho_files.unreadable) == {"tiny/broken.dylib"}
    assert not contents.sound
