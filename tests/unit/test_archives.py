"""Unpacking archives: what is in them lands in the folder, and nothing anywhere else."""

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from packed import Content, entry, symlink, write_tar, write_zip
from wheelferry.client.common.archives import unpack_archive
from wheelferry.client.common.errors import Damaged


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_files_folders_links_and_the_executable_bit(tmp_path: Path, mode: str) -> None:
    archive = write_tar(
        tmp_path / "python.tar",
        ("./", entry(tarfile.DIRTYPE, mode=0o755)),
        ("python/empty", entry(tarfile.DIRTYPE, mode=0o700)),
        ("python/lib/os.py", b"import sys"),
        ("python/bin/python3.12", entry(mode=0o4755)),
        ("python/bin/python3", symlink("python3.12")),
        ("python/lib64", symlink("./lib")),
        ("python/bin/again", entry(tarfile.LNKTYPE, "python/lib/os.py")),
        mode=mode,
    )
    seen: list[int] = []
    written = unpack_archive(archive, tmp_path / "out", seen.append)
    assert written == [
        "python/lib/os.py", "python/bin/python3.12", "python/bin/python3", "python/lib64", "python/bin/again",
    ]  # fmt: skip
    root = tmp_path / "out" / "python"
    assert sum(seen) == len(b"import sys")
    assert (root / "empty").is_dir()
    assert (root / "lib64" / "os.py").read_bytes() == (root / "bin" / "again").read_bytes() == b"import sys"
    assert (root / "bin" / "python3").readlink() == Path("python3.12")
    assert os.access(root / "bin" / "python3", os.X_OK)
    assert not os.access(root / "lib" / "os.py", os.X_OK)
    assert stat.S_IMODE((root / "bin" / "python3.12").stat().st_mode) & stat.S_ISUID == 0
    assert (root / "lib" / "os.py").stat().st_mtime == 1_600_000_000


def test_a_zip_file(tmp_path: Path) -> None:
    archive = write_zip(
        tmp_path / "data.zip",
        ("coco/", b"", stat.S_IFDIR | 0o755),
        ("coco/annotations/a.json", b"{}", 0),
        ("coco/tool", b"#!/bin/sh", stat.S_IFREG | 0o755),
        ("coco/latest", b"annotations", stat.S_IFLNK | 0o777),
    )
    written = unpack_archive(archive, tmp_path / "out")
    assert written == ["coco/annotations/a.json", "coco/tool", "coco/latest"]
    assert (tmp_path / "out/coco/latest/a.json").read_bytes() == b"{}"
    assert os.access(tmp_path / "out/coco/tool", os.X_OK)


def test_archives_of_several_calls_share_folders(tmp_path: Path) -> None:
    unpack_archive(write_tar(tmp_path / "1.tar.gz", ("coco/a", b"1")), tmp_path / "out")
    unpack_archive(write_tar(tmp_path / "2.tar.gz", ("coco/b", b"2")), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out/coco").iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", b"")],
        [("a/../../evil", b"")],
        [("/evil", b"")],
        [("a", symlink("/etc"))],
        [("a", symlink(".."))],
        [("a/b", symlink("../../evil"))],
        # each is harmless by its own words; together they lead out
        [("x/y/up", symlink("../..")), ("evil", symlink("x/y/up/.."))],
        [("x/y/up", symlink("../..")), ("one", symlink("x/y/up")), ("evil", symlink("one/../z"))],
        [("round", symlink("trip")), ("trip", symlink("round"))],
        [("a", symlink("b")), ("a/evil", b"through a link")],
        [("a", symlink("b")), ("b", b"1"), ("a", b"2")],
        [("twice", b"1"), ("twice", b"2")],
        [("a", b""), ("a/b", b"")],
        [("hard", entry(tarfile.LNKTYPE, "../outside"))],
        [("hard", entry(tarfile.LNKTYPE, "later")), ("later", b"")],
        [("soft", symlink("../outside")), ("hard", entry(tarfile.LNKTYPE, "soft"))],
        [("pipe", entry(tarfile.FIFOTYPE))],
        [("null", entry(tarfile.CHRTYPE))],
    ],
    ids=lambda members: " ".join(name for name, _ in members),
)
def test_what_could_land_or_lead_outside_is_refused(
    tmp_path: Path, members: list[tuple[str, Content]]
) -> None:
    (tmp_path / "outside").write_text("mine")
    before = sorted(p for p in tmp_path.rglob("*"))
    archive = write_tar(tmp_path / "bad.tar.gz", *members)
    with pytest.raises(Damaged, match=r"bad\.tar\.gz: the entry '"):
        unpack_archive(archive, tmp_path / "out")
    left = {p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "out")}
    assert left == {*before, archive}
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_link_that_many_others_lead_to_is_decided_quickly(tmp_path: Path) -> None:
    """Each of these follows the one before twice: naively that is a number of steps with nine digits."""
    links = [(f"a{n}", symlink(f"a{n - 1}/../a{n - 1}/..")) for n in range(1, 30)]
    with pytest.raises(Damaged, match="leads out"):
        unpack_archive(write_tar(tmp_path / "bad.tar.gz", *links), tmp_path / "out")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(Damaged, match="'mine' is there already"):
        unpack_archive(write_tar(tmp_path / "a.tar.gz", ("mine", b"theirs")), tmp_path / "out")
    assert (tmp_path / "out/mine").read_text() == "mine"


def test_unsafe_zip_files_are_refused(tmp_path: Path) -> None:
    for name, data, mode in [
        ("../evil", b"", 0),
        ("/evil", b"", 0),
        ("evil", b"../..", stat.S_IFLNK | 0o777),
        ("evil", b"", stat.S_IFIFO | 0o644),
    ]:
        with pytest.raises(Damaged, match="the entry '"):
            unpack_archive(write_zip(tmp_path / "bad.zip", (name, data, mode)), tmp_path / "out")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _scribbled(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"scribble" * 8 + data[len(data) // 2 + 64 :]


@pytest.mark.parametrize("damage", [_cut, _scribbled, lambda _: b"", lambda _: b"no archive" * 100])
@pytest.mark.parametrize("kind", ["w:gz", "w:xz", "w:bz2", "zip"])
def test_a_damaged_archive_is_said(tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]) -> None:
    data = os.urandom(200_000)
    path = tmp_path / "archive"
    if kind == "zip":
        write_zip(path, ("file", data, 0))
    else:
        write_tar(path, ("file", data), mode=kind)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged, match="archive cannot be unpacked"):
        unpack_archive(path, tmp_path / "out")
