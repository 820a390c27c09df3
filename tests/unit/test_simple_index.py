"""A simple index over bundles: what its pages say, and what it refuses to write."""

import hashlib
import json
import os
import stat
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version

from conftest import RECIPE, TARGET, locked, pack_bundle, write_wheel
from wheelferry.bundle.installers import InstallerSet
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.errors import InputError, IntegrityError
from wheelferry.models.lock import parse_pylock, parse_requirements
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.progress import Silent, Task
from wheelferry.serving.index import index
from wheelferry.serving.pages import project_page
from wheelferry.serving.simple_api import ServedWheel, by_project, project_json

OTHER = replace(TARGET, python="3.12")


class Anchors(HTMLParser):
    """The links of a page: attributes by the text between the tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str | None]] = {}
        self._open: dict[str, str | None] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = dict(attrs)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found[data], self._open = self._open, None


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def other_project(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> Path:
    """A bundle of another project with the same torch."""
    text = RECIPE.replace('name = "tiny"', 'name = "second"')
    recipe = replace(located, recipe=parse_recipe(text, file="second.toml"))
    return pack_bundle(tmp_path / "second", tmp_path / "made-second", tools, recipe, [TARGET])


@pytest.fixture
def pair(bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe) -> list[Path]:
    """Two bundles that share what is not tied to a Python."""
    other = pack_bundle(tmp_path / "other", tmp_path / "made-other", tools, located, [OTHER])
    return [bundle, other]


def test_every_wheel_is_on_a_page_with_its_hash_and_its_metadata(
    pair: list[Path], tmp_path: Path, tools: Tools
) -> None:
    out = tmp_path / "index"
    result = index(pair, out, tools)
    root = Anchors((out / "simple" / "index.html").read_text("utf-8")).found
    assert {name: link["href"] for name, link in root.items()} == {
        name: f"{name}/" for name in ("leaf", "pip", "tiny", "torch", "twig", "uv")
    }
    seen = set()
    for project in root:
        page = out / "simple" / project
        document = json.loads((page / "index.json").read_text("utf-8"))
        links = Anchors((page / "index.html").read_text("utf-8")).found
        assert list(links) == [file["filename"] for file in document["files"]]
        for file in document["files"]:
            link = links[file["filename"]]
            url, _, fragment = str(link["href"]).partition("#")
            assert url == file["url"]
            assert "+" not in url
            wheel = (page / unquote(url)).resolve()
            assert wheel.name == file["filename"]
            data = wheel.read_bytes()
            assert file["size"] == len(data)
            assert file["hashes"] == {"sha256": hashlib.sha256(data).hexdigest()}
            assert fragment == f"sha256={file['hashes']['sha256']}"
            metadata = wheel.with_name(wheel.name + ".metadata").read_bytes()
            with zipfile.ZipFile(wheel) as archive:
                (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
                assert archive.read(name) == metadata
            stated = hashlib.sha256(metadata).hexdigest()
            assert file["core-metadata"] == {"sha256": stated}
            assert link["data-core-metadata"] == link["data-dist-info-metadata"] == f"sha256={stated}"
            seen.add(file["filename"])
    assert seen == {wheel.filename for wheel in result.wheels}
    assert seen == {
        p.name for b in pair for folder in ("wheelhouse", "tools") for p in (b / folder).glob("*.whl")
    }
    twig = json.loads((out / "simple" / "twig" / "index.json").read_text("utf-8"))
    assert twig["meta"] == {"api-version": "1.1"}
    assert twig["versions"] == ["2.1"]
    assert twig["files"][0]["requires-python"] == ">=3.8"
    anchors = Anchors((out / "simple" / "twig" / "index.html").read_text("utf-8")).found
    assert anchors["twig-2.1-py3-none-any.whl"]["data-requires-python"] == ">=3.8"
    assert (
        "requires-python" not in json.loads((out / "simple" / "leaf" / "index.json").read_text())["files"][0]
    )


def test_a_wheel_of_two_bundles_is_one_file_linked_and_not_copied(
    pair: list[Path], tmp_path: Path, tools: Tools
) -> None:
    index(pair, tmp_path / "index", tools)
    leaf = tmp_path / "index" / "files" / "leaf-1.5-py3-none-any.whl"
    assert any(leaf.samefile(root / "wheelhouse" / leaf.name) for root in pair)
    assert len(json.loads((tmp_path / "index/simple/leaf/index.json").read_text("utf-8"))["files"]) == 1


def test_the_locks_of_all_targets_lead_to_the_files(pair: list[Path], tmp_path: Path, tools: Tools) -> None:
    out = tmp_path / "index"
    result = index(pair, out, tools)
    assert len(result.locks) == 4
    for root, target in zip(pair, (TARGET, OTHER), strict=True):
        lock = out / "locks" / "tiny-1.0" / f"requirements.{target.name}.txt"
        assert lock.read_bytes() == (root / "requirements.txt").read_bytes()
        pylock = out / "locks" / "tiny-1.0" / f"pylock.{target.name}.toml"
        packages = parse_pylock(pylock.read_text("utf-8"))
        assert set(packages) == set(parse_requirements(lock.read_text("utf-8")))
        for _, path, sha256 in packages.values():
            assert hashlib.sha256((pylock.parent / path).read_bytes()).hexdigest() == sha256
        own = tomllib.loads((root / f"pylock.{target.name}.toml").read_text("utf-8"))
        assert tomllib.loads(pylock.read_text("utf-8"))["environments"] == own["environments"]


def test_bundles_of_several_projects_are_one_index(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    index([bundle, other_project(tmp_path, tools, located)], tmp_path / "index", tools)
    assert sorted(p.name for p in (tmp_path / "index" / "locks").iterdir()) == ["second-1.0", "tiny-1.0"]


def test_the_same_bundles_give_the_same_bytes_in_any_order(
    pair: list[Path], tmp_path: Path, tools: Tools
) -> None:
    index(pair, tmp_path / "one", tools)
    index([*reversed(pair), pair[0]], tmp_path / "two", tools)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_later_index_takes_the_place_of_the_earlier_one(
    pair: list[Path], tmp_path: Path, tools: Tools
) -> None:
    out, again = tmp_path / "index", tmp_path / "again"
    index(pair[:1], out, tools)
    index(pair, out, tools)
    index(pair, again, tools)
    assert contents(out) == contents(again)
    index(pair[1:], out, tools)
    assert not list(out.glob("files/*cp311*"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_with_anything_else_in_it_is_left_alone(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    out = tmp_path / "index"
    index([bundle], out, tools)
    (out / "files" / "mine.whl").write_bytes(b"mine")
    before = contents(out)
    with pytest.raises(InputError, match=r"files/mine\.whl, which no earlier index put there"):
        index([bundle], out, tools)
    assert contents(out) == before
    (out / "files" / "mine.whl").unlink()
    (out / "served.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="which no earlier index put there"):
        index([bundle], out, tools)


@pytest.mark.parametrize("where", ["bundle", "bundle/index", "."])
def test_a_folder_that_would_touch_a_bundle(bundle: Path, tmp_path: Path, tools: Tools, where: str) -> None:
    before = contents(bundle)
    with pytest.raises(InputError, match="is, holds or lies in"):
        index([bundle], tmp_path / where, tools)
    assert contents(bundle) == before


def test_two_wheels_of_one_name(bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    made = tmp_path / "made-rival"
    mine = locked(write_wheel(made / "one", "extra", "1.0"), tools.store)
    rival = locked(write_wheel(made / "two", "extra", "1.0", files={"extra/x.py": b"x"}), tools.store)
    one = pack_bundle(tmp_path / "one", made, tools, located, [TARGET], more=[mine])
    two = pack_bundle(tmp_path / "two", made, tools, located, [OTHER], more=[rival])
    with pytest.raises(IntegrityError) as caught:
        index([one, two], tmp_path / "index", tools)
    (line,) = [line for line in str(caught.value).splitlines() if "extra-1.0" in line]
    assert f"{one / 'wheelhouse'}" in line
    assert f"{two / 'wheelhouse'}" in line
    assert not (tmp_path / "index").exists()


def test_two_wheels_that_differ_in_the_case_of_their_names(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    made = tmp_path / "made-case"
    kit = InstallerSet(
        uv=locked(write_wheel(made, "UV", "0.9.0"), tools.store),
        pip=locked(write_wheel(made, "pip", "26.0"), tools.store),
    )
    other = pack_bundle(tmp_path / "upper", made, tools, located, [OTHER], installer_set=kit)
    with pytest.raises(IntegrityError, match="differ only in case"):
        index([bundle, other], tmp_path / "index", tools)


def test_two_recipes_that_differ_in_the_case_of_their_names(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    upper = replace(located, recipe=located.recipe.model_copy(update={"name": "Tiny"}))
    other = pack_bundle(tmp_path / "upper", tmp_path / "made-upper", tools, upper, [TARGET])
    with pytest.raises(
        IntegrityError, match=r"locks/Tiny-1\.0/.* and locks/tiny-1\.0/.* differ only in case"
    ):
        index([bundle, other], tmp_path / "index", tools)


def test_a_target_that_was_locked_twice_is_not_served(
    bundle: Path, tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    made = tmp_path / "made-more"
    extra = locked(write_wheel(made, "extra", "1.0"), tools.store)
    other = pack_bundle(tmp_path / "more", made, tools, located, [TARGET], more=[extra])
    with pytest.raises(IntegrityError, match=r"requirements\.cp311-.*: [0-9a-f]{64} in") as caught:
        index([bundle, other], tmp_path / "index", tools)
    assert "locked twice" in str(caught.value.hint)


def test_an_altered_bundle_is_refused(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    leaf = bundle / "wheelhouse" / "leaf-1.5-py3-none-any.whl"
    data = bytearray(leaf.read_bytes())
    data[-1] ^= 1
    leaf.unlink()
    leaf.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"leaf-1\.5-py3-none-any\.whl"):
        index([bundle], tmp_path / "index", tools)
    assert not (tmp_path / "index").exists()


def test_an_index_that_is_stopped_leaves_the_earlier_one(
    pair: list[Path], tmp_path: Path, tools: Tools
) -> None:
    class Stop(BaseException):
        pass

    class Stopping(Silent):
        """Ends the work while the wheels are linked."""

        @contextmanager
        def task(self, title: str, *, total: int | None = None, unit: str = "steps") -> Iterator[Task]:
            if title == "link wheels":
                raise Stop
            with super().task(title, total=total, unit=unit) as task:
                yield task

    out = tmp_path / "index"
    index(pair[:1], out, tools)
    before = contents(out)
    with pytest.raises(Stop):
        index(pair, out, replace(tools, progress=Stopping()))
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_everything_may_be_read_by_a_web_server(bundle: Path, tmp_path: Path, tools: Tools) -> None:
    leaf = bundle / "wheelhouse" / "leaf-1.5-py3-none-any.whl"
    leaf.chmod(0o600)
    before = os.umask(0o077)
    try:
        index([bundle], tmp_path / "index", tools)
    finally:
        os.umask(before)
    for path in (tmp_path / "index", *(tmp_path / "index").rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.stat().st_mode) & wanted == wanted, path
    assert stat.S_IMODE(leaf.stat().st_mode) == 0o600


def wheel(filename: str, version: str, requires_python: str = "") -> ServedWheel:
    return ServedWheel(
        filename=filename,
        name=NormalizedName("x"),
        version=Version(version),
        sha256="0" * 64,
        size=1,
        requires_python=requires_python,
        metadata_sha256="1" * 64,
    )


def test_versions_come_in_their_own_order_and_signs_are_escaped() -> None:
    wheels = [
        wheel("x-1.10-py3-none-any.whl", "1.10"),
        wheel("x-1.9+a.b-py3-none-any.whl", "1.9+a.b", '>=3.8,<"4"'),
        wheel("x-1.9+a.b-1-py3-none-any.whl", "1.9+a.b"),
    ]
    offered = by_project(wheels)[NormalizedName("x")]
    document = json.loads(project_json(NormalizedName("x"), offered))
    assert document["versions"] == ["1.9+a.b", "1.10"]
    assert document["files"][0]["url"] == "../../files/x-1.9%2Ba.b-1-py3-none-any.whl"
    page = project_page(NormalizedName("x"), offered)
    assert 'data-requires-python="&gt;=3.8,&lt;&#34;4&#34;"' in page
    assert Anchors(page).found["x-1.9+a.b-py3-none-any.whl"]["data-requires-python"] == '>=3.8,<"4"'
