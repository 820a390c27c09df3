"""Archives that were made to do harm, or were damaged at random: bombs, devices, impossible values."""

import io
import os
import random
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import wheelferry, write_wheel
from packed import entry, symlink, write_tar, write_zip
from wheelferry.client.common import archives
from wheelferry.client.common.archives import unpack_archive
from wheelferry.client.common.errors import Damaged
from wheelferry.errors import IntegrityError
from wheelferry.wheels.archive import LARGEST_TEXT, unpack
from wheelferry.wheels.read import read_wheel
from wheelferry.wheels.record import record_problems

MEGABYTE = 1_000_000
ZEROS = bytes(3 * MEGABYTE)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size that any archive may have is a megabyte, so that bombs can be small too."""
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", MEGABYTE)


def size_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_tar_bomb_is_stopped_before_it_goes_off(tmp_path: Path, mode: str) -> None:
    bomb = write_tar(tmp_path / "bomb", ("zeros", ZEROS), mode=mode)
    with pytest.raises(Damaged, match=r"bomb grows to more than 200 times its size"):
        unpack_archive(bomb, tmp_path / "out")
    assert size_below(tmp_path / "out") < 2 * MEGABYTE


@pytest.mark.usefixtures("small")
def test_a_zip_bomb_is_stopped_before_it_goes_off(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path / "bomb", ("zeros", ZEROS, 0))
    with pytest.raises(Damaged, match="grows to more than"):
        unpack_archive(bomb, tmp_path / "out")
    assert size_below(tmp_path / "out") < 2 * MEGABYTE


@pytest.mark.usefixtures("small")
def test_a_bomb_of_empty_files_is_stopped_too(tmp_path: Path) -> None:
    """Each takes a block of the disk, and a name."""
    bomb = write_tar(tmp_path / "bomb", *((f"{number}", b"") for number in range(2000)))
    with pytest.raises(Damaged, match="grows to more than"):
        unpack_archive(bomb, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) < 1900


@pytest.mark.usefixtures("small")
def test_a_file_of_holes_is_stopped_too(tmp_path: Path) -> None:
    """GNU's sparse files: a terabyte of zeros in a hundred bytes, uncompressed."""
    header = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "holes"}
    info = tarfile.TarInfo("holes")
    info.pax_headers = {**header, "GNU.sparse.size": str(10**12), "GNU.sparse.map": f"{10**12 - 1},1"}
    info.size = 1
    with tarfile.open(tmp_path / "bomb", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(Damaged, match="grows to more than"):
        unpack_archive(tmp_path / "bomb", tmp_path / "out")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_what_grows_as_honest_data_does_is_unpacked(tmp_path: Path, kind: str) -> None:
    text = b"".join(b'{"id": %d, "bbox": [0, 0, 1, 1]},\n' % number for number in range(100_000))
    if kind == "tar":
        archive = write_tar(tmp_path / "data", ("annotations.json", text))
    else:
        archive = write_zip(tmp_path / "data", ("annotations.json", text, 0))
    assert len(text) > 3 * MEGABYTE
    unpack_archive(archive, tmp_path / "out")
    assert (tmp_path / "out" / "annotations.json").read_bytes() == text


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
@pytest.mark.parametrize("before", [0, 1])
def test_a_name_of_a_gigabyte_is_not_read(tmp_path: Path, kind: bytes, before: int) -> None:
    """tarfile reads such a header at once; zeros compress to a thousandth."""
    bomb = tmp_path / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz") as archive:
        for number in range(before):
            archive.addfile(tarfile.TarInfo(f"innocent-{number}"))
        info = entry(kind)
        info.name, info.size = "x", 40 * MEGABYTE
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="cannot be unpacked"):
            unpack_archive(bomb, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_link_in_a_zip_file_is_no_place_for_megabytes(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path / "bomb", ("link", ZEROS, stat.S_IFLNK | 0o777))
    with pytest.raises(Damaged, match="is a link with 3000000 bytes"):
        unpack_archive(bomb, tmp_path / "out")


@pytest.mark.parametrize("place", ["", "x/"])
def test_a_path_of_thousands_of_folders(tmp_path: Path, place: str) -> None:
    with pytest.raises(Damaged, match=r"lies in \d+ folders"):
        unpack_archive(write_tar(tmp_path / "deep", (place + "a/" * 3000 + "b", b"")), tmp_path / "out")


@pytest.mark.parametrize("moment", ["1e300", "nan", "-1e300", "9" * 40, "inf"])
def test_an_impossible_date_is_said(tmp_path: Path, moment: str) -> None:
    info = tarfile.TarInfo("file")
    info.pax_headers = {"mtime": moment}
    with tarfile.open(tmp_path / "odd.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(Damaged, match=r"odd\.tar cannot be unpacked"):
        unpack_archive(tmp_path / "odd.tar", tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    ["nul", "a/AUX.py", "com1.txt", "LPT9", "CON .x", "a./b", "b ", "a:b", "c:evil", "a\\b", "x?", "\x01"],
)
def test_what_windows_cannot_hold_is_refused_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archives, "_ON_WINDOWS", True)
    with pytest.raises(Damaged, match="the entry '"):
        unpack_archive(write_tar(tmp_path / "bad.tar", (name, b"")), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["auxiliary.py", "console", "nullable", ".hidden", "a.b.c", "COM", "com10"])
def test_what_windows_can_hold_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archives, "_ON_WINDOWS", True)
    assert unpack_archive(write_tar(tmp_path / "good.tar", (name, b"")), tmp_path / "out") == [name]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)


def _move(data: bytearray, chance: random.Random) -> None:
    start, size = chance.randrange(len(data)), chance.randrange(600)
    piece = data[start : start + size]
    place = chance.randrange(len(data))
    data[place : place + len(piece)] = piece


def _cut(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randrange(1, 600)]


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_random_damage_is_said_and_never_leaves_the_folder(tmp_path: Path, kind: str) -> None:
    sound = tmp_path / "sound"
    if kind == "zip":
        members = [
            ("a/b", b"x" * 900, 0),
            ("a/link", b"b", stat.S_IFLNK | 0o777),
            ("c", b"y" * 99, 0o755),
        ]
        write_zip(sound, *members)
    else:
        write_tar(
            sound,
            ("a", entry(tarfile.DIRTYPE)),
            ("a/b", b"x" * 900),
            ("a/link", symlink("b")),
            ("a/hard", entry(tarfile.LNKTYPE, "a/b")),
            ("n" * 150, b"y" * 99),
            mode=kind,
        )
    whole = sound.read_bytes()
    chance = random.Random(kind)
    inner = tmp_path / "room"
    said = 0
    for number in range(250):
        data = bytearray(whole)
        chance.choice([_flip, _move, _cut])(data, chance)
        broken = inner / "broken"
        inner.mkdir()
        broken.write_bytes(data)
        out = inner / f"out-{number}"
        complaint = _complaint(unpack_archive, broken, out)
        said += bool(complaint)
        assert not complaint or "broken" in complaint
        assert {path.name for path in inner.iterdir()} <= {"broken", out.name}
        for path in out.rglob("*"):
            assert not path.is_symlink() or path.resolve().is_relative_to(out.resolve())
        _remove(inner)
    assert said > 30  # a plain tar has no checksum over what its files hold


def _complaint(work: Callable[..., object], *arguments: Path) -> str:
    """What is said of an archive; empty for one that passes, because its damage hit nothing that counts."""
    try:
        work(*arguments)
    except (Damaged, IntegrityError) as error:
        return str(error)
    return ""


def _remove(folder: Path) -> None:
    for root, folders, names in os.walk(folder, topdown=False):
        for name in names:
            Path(root, name).unlink()
        for name in folders:
            path = Path(root, name)
            path.unlink() if path.is_symlink() else path.rmdir()
    folder.rmdir()


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..\\evil", "\\evil", "c:evil", "a/../.."]
)
def test_a_wheel_that_leads_out_is_refused_and_reported(tmp_path: Path, name: str) -> None:
    wheel = write_wheel(tmp_path, "tiny", "1.0")
    with zipfile.ZipFile(wheel, "a") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        archive.writestr(info, b"")
    before = sorted(tmp_path.rglob("*"))
    assert any("leads out" in problem for problem in record_problems(wheel))
    with pytest.raises(IntegrityError, match=r"tiny-1\.0.*leads out of the environment"):
        unpack(wheel, tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wheel_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny", "1.0")
    with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("tiny/__init__.py", b"import evil")
    with pytest.raises(IntegrityError, match=r"tiny/__init__\.py: stands in the archive twice"):
        unpack(wheel, tmp_path / "out")


@pytest.mark.usefixtures("small")
def test_a_wheel_that_is_a_bomb_is_refused_and_reported(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny", "1.0")
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/zeros", ZEROS)
    with pytest.raises(IntegrityError, match="more than any honest wheel"):
        unpack(wheel, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert any("more than any honest wheel" in problem for problem in record_problems(wheel))


@pytest.mark.parametrize("text", ["METADATA", "WHEEL", "RECORD"])
def test_a_text_of_gigabytes_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("wheelferry.wheels.archive.LARGEST_TEXT", 1000)
    wheel = write_wheel(tmp_path, "tiny", "1.0")
    large = tmp_path / "large-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as out:
        for info in source.infolist():
            more = b" " * 2000 if info.filename.endswith(f"/{text}") else b""
            out.writestr(info.filename, source.read(info) + more)
    assert LARGEST_TEXT > 1000
    if text == "RECORD":
        assert any("RECORD has" in problem for problem in record_problems(large))
    else:
        with pytest.raises(IntegrityError, match=f"{text} has"):
            read_wheel(large)


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_to_a_wheel_is_said(tmp_path: Path, seed: int) -> None:
    wheel = write_wheel(
        tmp_path, "tiny", "1.0", files={"tiny/data": bytes(range(256)) * 4}, requires=["leaf>=1"]
    )
    chance = random.Random(seed)
    data = bytearray(wheel.read_bytes())
    chance.choice([_flip, _move, _cut])(data, chance)
    wheel.write_bytes(data)
    for look in (read_wheel, lambda path: unpack(path, tmp_path / "out")):
        complaint = _complaint(look, wheel)
        assert not complaint or "tiny-1.0" in complaint
    record_problems(wheel)


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_a_hostile_runtime_ends_with_a_message(tmp_path: Path, kind: str) -> None:
    """What the client's own code refuses has its exit code here, too."""
    program = "python/bin/python3.11" if kind == ".tar.gz" else "python/python.exe"
    archive = tmp_path / f"runtime{kind}"
    if kind == ".tar.gz":
        write_tar(archive, (program, b""), ("python/../../evil", b""))
    else:
        write_zip(archive, (program, b"", 0), ("python/../../evil", b"", 0))
    done = wheelferry("probe", "--kit", "stick", "--runtime", archive, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "leads out of the folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == [archive.name]
