"""Sources of the kind sdist: fetched, compared with their pin, unpacked into one folder and nowhere else."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import RECIPE, TARGET
from wheelferry.build.fetch import fetch
from wheelferry.cache.source import Source, export
from wheelferry.cache.tools import Tools
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.system.process import Completed, run

NEWEST = 1_600_000_000
URL = "https://index.example/tiny_project-1.0.tar.gz"


def member(
    name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mtime: int = NEWEST
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime, info.mode = kind, link, mtime, 0o644
    return info


SOUND = [
    member("tiny-1.0", kind=tarfile.DIRTYPE, mtime=NEWEST + 5),
    member("tiny-1.0/setup.py"),
    member("tiny-1.0/tiny/__init__.py", mtime=NEWEST - 5),
]


def write_sdist(path: Path, members: Iterable[tarfile.TarInfo] = SOUND) -> Path:
    """An archive whose files hold their own names."""
    with tarfile.open(path, "w:gz") as stream:
        for info in members:
            data = info.name.encode() if info.isfile() else b""
            info.size = len(data)
            stream.addfile(info, io.BytesIO(data))
    return path


def a_plan(sdist: str | None) -> Plan:
    """A plan whose recipe pins `sdist`, the hash of an archive."""
    text = RECIPE.replace(
        '{ kind = "folder", path = "tiny/project" }', '{ kind = "sdist", name = "Tiny_Project" }'
    )
    pin = f'sdist = "{sdist}"' if sdist else ""
    text = text.replace(f'tree = "{"0" * 64}"', pin)
    return make_plan(parse_recipe(text, file="tiny.toml"), "1.0", [TARGET])


def plan_for(archive: Path) -> Plan:
    return a_plan(hashlib.sha256(archive.read_bytes()).hexdigest())


def test_a_release_without_hash_is_refused_with_the_key_path() -> None:
    with pytest.raises(InputError, match=r'releases\."1\.0"\.sdist: an sdist source pins each release'):
        a_plan(None)
    with pytest.raises(InputError, match=r'tiny\.toml: releases\."1\.0"\.sdist: String should match'):
        a_plan("69b3aa")


def test_the_manifest_says_where_the_source_is() -> None:
    assert a_plan("0" * 64).recipe.source.place == "pkg:pypi/tiny-project"


def test_a_given_archive_is_checked_and_unpacked(tmp_path: Path, tools: Tools) -> None:
    archive = write_sdist(tmp_path / "tiny-1.0.tar.gz")
    source = fetch(plan_for(archive), tmp_path, tools, source=str(archive))
    assert source.identity == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert source.epoch == NEWEST, "the newest file, not the folder, gives the date"
    export(source, tmp_path / "tree", run)
    assert {p.relative_to(tmp_path / "tree").as_posix() for p in (tmp_path / "tree").rglob("*")} == {
        "setup.py", "tiny", "tiny/__init__.py",
    }  # fmt: skip
    assert (tmp_path / "tree" / "setup.py").read_text("utf-8") == "tiny-1.0/setup.py"
    assert not (tmp_path / "tree.unpacked").exists()


def test_a_date_before_zip_is_zips_first_day(tmp_path: Path, tools: Tools) -> None:
    archive = write_sdist(tmp_path / "x.tar.gz", [member("tiny-1.0/setup.py", mtime=0)])
    assert fetch(plan_for(archive), tmp_path, tools, source=str(archive)).epoch == 315_532_800


def test_another_archive_than_the_pinned_one_is_refused(tmp_path: Path, tools: Tools) -> None:
    archive = write_sdist(tmp_path / "tiny-1.0.tar.gz")
    with pytest.raises(IntegrityError, match=f"tiny-1.0.tar.gz has the SHA-256 .* pins {'0' * 64}"):
        fetch(a_plan("0" * 64), tmp_path, tools, source=str(archive))


@pytest.mark.parametrize("given", ["nowhere.tar.gz", "."])
def test_what_is_no_file_is_refused(given: str, tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(InputError, match="is not a file"):
        fetch(a_plan("0" * 64), tmp_path, tools, source=str(tmp_path / given))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (member("../evil.py"), "leads out"),
        (member("tiny-1.0/../../evil.py"), "leads out"),
        (member("/evil.py"), "leads out"),
        (member("tiny-1.0\\..\\evil.py"), "leads out"),
        (member("tiny-1.0/out", kind=tarfile.SYMTYPE, link="/etc/passwd"), "leads out"),
        (member("tiny-1.0/out", kind=tarfile.SYMTYPE, link="../../up"), "leads out"),
        (member("tiny-1.0/out", kind=tarfile.SYMTYPE, link=".."), "beside the source folder"),
        (member("tiny-1.0/out", kind=tarfile.SYMTYPE, link="../other/x"), "holds 2 folders"),
        (member("tiny-1.0/out", kind=tarfile.LNKTYPE, link="../../up"), "leads out"),
        (member("tiny-1.0/out", kind=tarfile.LNKTYPE, link="/etc/passwd"), "leads out"),
        (member("other/evil.py"), "holds 2 folders"),
        (member("evil.py"), "beside the source folder"),
        (member("evil", kind=tarfile.SYMTYPE, link="/etc"), "beside the source folder"),
    ],
)
def test_an_archive_that_is_not_one_folder_is_refused(
    extra: tarfile.TarInfo, said: str, tmp_path: Path, tools: Tools
) -> None:
    archive = write_sdist(tmp_path / "tiny-1.0.tar.gz", [*SOUND, extra])
    with pytest.raises(IntegrityError, match=said):
        fetch(plan_for(archive), tmp_path, tools, source=str(archive))


def test_devices_are_not_unpacked(tmp_path: Path, tools: Tools) -> None:
    archive = write_sdist(
        tmp_path / "tiny-1.0.tar.gz", [*SOUND, member("tiny-1.0/device", kind=tarfile.CHRTYPE)]
    )
    source = fetch(plan_for(archive), tmp_path, tools, source=str(archive))
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        export(source, tmp_path / "tree", run)
    assert not (tmp_path / "tree").exists()


def test_links_inside_the_folder_are_kept(tmp_path: Path, tools: Tools) -> None:
    link = member("tiny-1.0/tiny/same.py", kind=tarfile.SYMTYPE, link="../setup.py")
    archive = write_sdist(tmp_path / "tiny-1.0.tar.gz", [*SOUND, link])
    export(fetch(plan_for(archive), tmp_path, tools, source=str(archive)), tmp_path / "tree", run)
    assert (tmp_path / "tree" / "tiny" / "same.py").read_text("utf-8") == "tiny-1.0/setup.py"


@pytest.mark.parametrize("damage", [lambda _: b"no archive", lambda data: data[:-30]])
def test_what_is_no_archive_is_refused(
    damage: Callable[[bytes], bytes], tmp_path: Path, tools: Tools
) -> None:
    archive = write_sdist(tmp_path / "tiny-1.0.tar.gz")
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(IntegrityError, match="not a readable tar archive"):
        fetch(plan_for(archive), tmp_path, tools, source=str(archive))


class FakeUv:
    """Answers as uv does; `asked` holds the commands."""

    def __init__(self, url: str, sha256: str, *, status: int = 0) -> None:
        self.asked: list[list[str]] = []
        self._url, self._sha256, self._status = url, sha256, status

    def __call__(self, command: Sequence[str | Path], **_: Any) -> Completed:
        arguments = [str(part) for part in command]
        self.asked.append(arguments)
        result = Path(arguments[arguments.index("--output-file") + 1])
        result.write_text(
            'lock-version = "1.0"\ncreated-by = "uv"\n[[packages]]\nname = "tiny-project"\nversion = "1.0"\n'
            f'sdist = {{ url = "{self._url}", hashes = {{ sha256 = "{self._sha256}" }} }}\n',
            "utf-8",
        )
        return Completed(returncode=self._status, output="no version of tiny-project==1.0")


def with_uv(tools: Tools, uv: FakeUv) -> Tools:
    return replace(tools, uv=replace(tools.uv, run=uv))


def test_the_users_index_is_asked_once(tmp_path: Path, tools: Tools) -> None:
    archive = write_sdist(tmp_path / "tiny_project-1.0.tar.gz")
    plan = plan_for(archive)
    uv = FakeUv(archive.as_uri(), plan.release.pin)
    first = fetch(plan, tmp_path, with_uv(tools, uv))
    archive.unlink()
    second = fetch(plan, tmp_path, with_uv(tools, uv))
    assert isinstance(first, Source)
    assert first == second
    (command,) = uv.asked
    assert command[command.index("--no-binary") + 1] == "Tiny_Project"
    assert "--no-deps" in command


def test_an_index_with_another_archive_is_refused_before_it_is_fetched(tmp_path: Path, tools: Tools) -> None:
    uv = FakeUv(URL, "1" * 64)
    with pytest.raises(
        IntegrityError, match=r"the index has tiny_project-1\.0\.tar\.gz with the SHA-256 1111"
    ):
        fetch(a_plan("0" * 64), tmp_path, with_uv(tools, uv))


def test_an_index_without_the_archive(tmp_path: Path, tools: Tools) -> None:
    uv = FakeUv(URL, "1" * 64, status=1)
    with pytest.raises(InputError, match=r"cannot find the sdist of Tiny_Project 1\.0"):
        fetch(a_plan("0" * 64), tmp_path, with_uv(tools, uv))
