"""Sources that travel: the same files arrive, whatever kind they are, and nothing else is taken for them."""

import hashlib
import io
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from wheelferry.cache.source import Source
from wheelferry.cache.store import Store
from wheelferry.distributed.source_archive import SourceArchive, pack_source, unpack_source
from wheelferry.errors import IntegrityError
from wheelferry.system.files import files_below, tree_hash
from wheelferry.system.process import run


def folder_source(folder: Path) -> Source:
    (folder / "pkg" / "__pycache__").mkdir(parents=True)
    (folder / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"byte code")
    (folder / "pkg" / "añb c.py").write_text("x = 1\n", "utf-8")
    (folder / "run.sh").write_text("#!/bin/sh\n", "utf-8")
    (folder / "run.sh").chmod(0o755)
    return Source(location=folder, identity=tree_hash(folder), epoch=7, kind="folder")


def test_a_folder_arrives_with_its_files_and_modes(tmp_path: Path) -> None:
    source = folder_source(tmp_path / "here")
    store = Store(tmp_path / "there")
    arrived = unpack_source(pack_source(source), store, run)
    assert replace(arrived, location=source.location) == source
    names = [path.relative_to(arrived.location).as_posix() for path in files_below(arrived.location)]
    assert names == ["run.sh", "pkg/añb c.py"]
    if os.name == "posix":
        assert os.access(arrived.location / "run.sh", os.X_OK)
    assert list((store.root / "work").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_that_leads_out_arrives_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "licence").write_text("free", "utf-8")
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "LICENCE").symlink_to(tmp_path / "licence")
    source = Source(location=folder, identity=tree_hash(folder), epoch=0, kind="folder")
    arrived = unpack_source(pack_source(source), Store(tmp_path / "there"), run)
    assert not (arrived.location / "LICENCE").is_symlink()
    assert (arrived.location / "LICENCE").read_text("utf-8") == "free"


def test_it_is_unpacked_once_and_again_when_it_was_changed(tmp_path: Path) -> None:
    packed = pack_source(folder_source(tmp_path / "here"))
    store = Store(tmp_path / "there")
    arrived = unpack_source(packed, store, run)
    before = (arrived.location / "run.sh").stat()
    unpack_source(packed, store, run)
    assert (arrived.location / "run.sh").stat().st_ino == before.st_ino
    (arrived.location / "run.sh").write_text("changed", "utf-8")
    unpack_source(packed, store, run)
    assert tree_hash(arrived.location) == packed.identity


def test_an_sdist_arrives_as_it_is(tmp_path: Path) -> None:
    archive = tmp_path / "tiny-1.0.tar.gz"
    archive.write_bytes(b"an archive")
    identity = hashlib.sha256(b"an archive").hexdigest()
    source = Source(location=archive, identity=identity, epoch=3, kind="sdist")
    store = Store(tmp_path / "there")
    arrived = unpack_source(pack_source(source), store, run)
    assert arrived == replace(source, location=store.path(identity))
    assert arrived.location.read_bytes() == b"an archive"


def test_bytes_that_changed_on_the_way_are_refused(tmp_path: Path) -> None:
    packed = pack_source(folder_source(tmp_path / "here"))
    with pytest.raises(IntegrityError, match="damaged on its way"):
        unpack_source(replace(packed, data=packed.data[:-1]), Store(tmp_path / "there"), run)


def sealed(data: bytes, identity: str = "0" * 64) -> SourceArchive:
    return SourceArchive(
        kind="folder", identity=identity, epoch=0, sha256=hashlib.sha256(data).hexdigest(), data=data
    )


def test_another_folder_under_that_name_is_refused(tmp_path: Path) -> None:
    other = pack_source(folder_source(tmp_path / "here"))
    store = Store(tmp_path / "there")
    with pytest.raises(IntegrityError, match="something else"):
        unpack_source(replace(other, identity="0" * 64), store, run)
    assert not store.sources.exists()
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack_source(sealed(b"no archive"), store, run)


def test_an_archive_that_leads_out_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("../evil")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack_source(sealed(buffer.getvalue()), Store(tmp_path / "there"), run)
    assert not list(tmp_path.rglob("evil"))
