"""Manifests and recipes changed at random: a value or an error that names file and place, no traceback."""

import contextlib
import copy
import hashlib
import json
import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from conftest import RECIPE, TARGET, wheelferry
from effort import trials
from wheelferry.bundle.reader import open_bundle
from wheelferry.cache.tools import Tools
from wheelferry.client.common.bundle import open_bundle as open_as_client
from wheelferry.client.common.errors import Stop
from wheelferry.errors import InputError, IntegrityError, WheelferryError
from wheelferry.models.manifest import Manifest, is_untouched, parse_manifest
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.report import Level
from wheelferry.transfer.merge import merge
from wheelferry.verification.verify import verify

ROUNDS = trials(300, 20_000)

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**70, -(10**30), 1e308, "", " ", "x", "\0", "a\0b",
    "\x1b[2J", "\u202e", "ü" * 300, "x" * 5000, "..", "../../etc/passwd", "/etc/passwd", "C:\\Windows",
    "c:evil", "nul", "a//b", "wheelhouse/../x", "a\nb", "9" * 5000, "1." + "9" * 5000, ">=" + "9" * 5000,
    "manylinux_2_999999999_x86_64",
    "3.99", "cu1234567", "{{7*7}}", "$(id)", "<script>", [], {}, [[]], [None], {"": ""},
    {"x": {"y": []}}, ["x"] * 50,
]  # fmt: skip
TOKENS = [
    "[" * 3000,
    "{" * 3000,
    '"',
    "\\",
    "\\ud800",
    "\0",
    "9" * 5000,
    "1e999",
    "NaN",
    "-",
    ",",
    ":",
    "\n",
    "\ufeff",
]


def mutated(document: dict[str, Any], chance: random.Random, odd: list[Any]) -> dict[str, Any]:
    """One to three places of a document replaced, removed, doubled or renamed."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return document
        holder, key = chance.choice(places)
        match chance.randrange(5):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[str(chance.choice(["", "x", "path", "..", key * 2]))] = holder.pop(key)
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 3:
                other, name = chance.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case _:
                holder[key] = copy.deepcopy(chance.choice(odd))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def scribbled(text: str, chance: random.Random) -> str:
    """One to three places of a text overwritten, removed, doubled, or filled with something odd."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randrange(30))
        piece = [chance.choice(TOKENS), "", text[start:end] * 2, chr(chance.randrange(1, 0x2FF))]
        text = text[:start] + chance.choice(piece) + text[end:]
    return text


def crafted(document: dict[str, Any]) -> str:
    """The text of a manifest with the digest that fits: somebody wrote it like that."""
    body = {name: value for name, value in document.items() if name != "digest"}
    canonical = json.dumps(body, indent=1, sort_keys=True) + "\n"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps({**body, "digest": digest}, indent=1, sort_keys=True) + "\n"


@pytest.fixture
def text(bundle: Path) -> str:
    return (bundle / "bundle.json").read_text("utf-8")


@pytest.fixture
def rich(text: str) -> dict[str, Any]:
    """A manifest in which every optional key is there."""
    document: dict[str, Any] = json.loads(text)
    footprint = {"bytes": 1, "files": 1, "longest_path": 1}
    document["assets"] = [{"path": "assets/cache/x", "licence": "MIT", "origin": "here", "unpack": False}]
    document["asset_variables"] = {"cache": "X_CACHE"}
    document["targets"][0] |= {
        "cuda": {"modules": ["tiny._C"], "images": ["sm_90"], "kernels": ["k"]},
        "requested": ["scipy>=1"],
        "runtime": {
            "path": "runtime/p.tar.gz",
            "program": "bin/p",
            "version": "3.11.1",
            "footprint": footprint,
        },
    }
    assert isinstance(parse_manifest(crafted(document)), Manifest)
    return document


def read(text: str) -> Manifest | None:
    """The manifest in a text; None after an error that says where."""
    try:
        return parse_manifest(text, file="stick/bundle.json")
    except InputError as error:
        assert str(error).startswith("stick/bundle.json ")  # noqa: PT017 -- most rounds end here, not all
        assert len(str(error)) < 500  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
        return None


def test_any_change_of_a_manifests_text_is_found(text: str) -> None:
    chance = random.Random(11)
    for _ in range(ROUNDS):
        changed = scribbled(text, chance)
        manifest = read(changed)
        assert changed == text or manifest is None or not is_untouched(changed, manifest)


def test_a_manifest_of_odd_values_is_read_or_refused(rich: dict[str, Any]) -> None:
    chance = random.Random(12)
    passed = 0
    for _ in range(ROUNDS):
        manifest = read(crafted(mutated(rich, chance, ODD)))
        if manifest is not None:
            passed += 1
            assert parse_manifest(manifest.to_text()).to_text() == manifest.to_text()
    assert 0 < passed < ROUNDS / 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("files"), "files is missing"),
        (lambda d: d["files"][2].pop("size"), "files[2].size is missing"),
        (lambda d: d["files"][1].update(path="../x"), "files[1].path: '../x' is not a path inside"),
        (lambda d: d["files"].append(d["files"][0]), "files: 'README.txt' is there twice"),
        (lambda d: d["targets"].append(d["targets"][0]), "is there twice"),
        (lambda d: d["files"][0].update(size=-1), "files[0].size: '-1' is not a whole number"),
        (lambda d: d["files"][0].update(size=True), "files[0].size: 'True' is not a whole number"),
        (lambda d: d.update(files={}), "files: '{}' is not a list"),
        (lambda d: d.update(release=7), "release: '7' is not a text"),
        (lambda d: d.update(release="\ud800"), "release: "),
        (lambda d: d.update(release="a\0"), "release: 'a\\x00' has a NUL"),
        (lambda d: d["targets"][0]["target"].update(python="4"), "targets[0].target: unknown Python '4'"),
        (lambda d: d["targets"][0]["runtime"]["footprint"].pop("files"), "footprint.files is missing"),
        (lambda d: d["targets"][0].update(requested=["a b"]), "targets[0].requested: "),
        (lambda d: d.update(format=99), "has format 99"),
        (lambda d: d.update(origins=[]), "origins: "),
        (lambda d: d["assets"].append(None), "assets[1].path: "),
    ],
)  # fmt: skip
def test_the_place_is_named(
    rich: dict[str, Any], change: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(rich)
    with pytest.raises(InputError) as caught:
        parse_manifest(crafted(rich), file="stick/bundle.json")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "7", '"x"', "[" * 100_000, '{"format": ' + "9" * 5000 + "}",
        '{"format": NaN}',
        '{"format": 1}', '{"format": [1]}', "\ufeff{}", '{"a": 1, "a": 2}', '{"format": 1, "format": 2}',
    ],
)  # fmt: skip
def test_what_is_no_manifest_at_all(text: str, bundle: Path) -> None:
    assert read(text) is None
    (bundle / "bundle.json").write_text(text, "utf-8")
    with pytest.raises(Stop, match=r"bundle\.json"):
        open_as_client(str(bundle))


def test_a_key_that_is_there_twice_is_a_change(text: str) -> None:
    doubled = text.replace('"release": "1.0"', '"release": "6.6",\n "release": "1.0"')
    manifest = read(doubled)
    assert manifest is not None
    assert not is_untouched(doubled, manifest)


def test_random_bytes_are_no_manifest(bundle: Path, tools: Tools) -> None:
    chance = random.Random(13)
    for _ in range(50):
        (bundle / "bundle.json").write_bytes(chance.randbytes(chance.randrange(2000)))
        with pytest.raises(InputError, match=r"bundle\.json"):
            open_bundle(bundle)
        with pytest.raises(Stop, match=r"bundle\.json"):
            open_as_client(str(bundle))
    assert verify(bundle, Level.STATIC, tools).problems


def test_the_client_reads_or_refuses_too(bundle: Path, rich: dict[str, Any], text: str) -> None:
    chance = random.Random(14)
    for number in range(ROUNDS // 3):
        changed = crafted(mutated(rich, chance, ODD)) if number % 2 else scribbled(text, chance)
        (bundle / "bundle.json").write_bytes(changed.encode("utf-8", "surrogatepass"))
        with contextlib.suppress(Stop):
            opened = open_as_client(str(bundle))
            for target in opened.targets:
                assert all(".." not in name.split("/") for name in opened.files_for(target))


def test_a_crafted_manifest_is_never_believed(bundle: Path, rich: dict[str, Any], tools: Tools) -> None:
    """Its digest fits, so only what it says can give it away: verification says problems, merging refuses."""
    chance = random.Random(15)
    original = crafted(json.loads((bundle / "bundle.json").read_text("utf-8")))
    for _ in range(max(20, ROUNDS // 50)):
        changed = crafted(mutated(rich, chance, ODD))
        assert changed != original
        (bundle / "bundle.json").write_text(changed, "utf-8", newline="\n")
        assert verify(bundle, Level.STATIC, tools).problems
        out = bundle.with_name("merged")
        with pytest.raises((InputError, IntegrityError)) as caught:
            merge([bundle], out, tools)
        assert str(bundle) in str(caught.value)
        assert not out.exists()


def plan(text: str) -> bool:
    """Whether a recipe is read and planned; an error names the file."""
    try:
        recipe = parse_recipe(text, file="tiny.toml")
    except InputError as error:
        assert all(line.startswith("tiny.toml: ") for line in str(error).splitlines())  # noqa: PT017
        return False
    try:
        make_plan(recipe, "1.0", [TARGET])
    except WheelferryError as error:
        assert error.exit_code == 2  # noqa: PT017
    return True


def test_a_recipe_of_odd_values_is_read_or_refused() -> None:
    chance = random.Random(16)
    document = tomllib.loads(RECIPE)
    odd = [value for value in ODD if value is not None]
    read = sum(plan(tomli_w.dumps(_toml(mutated(document, chance, odd)))) for _ in range(ROUNDS))
    assert 0 < read < ROUNDS


def _toml(value: Any) -> Any:
    """Without what TOML has no word for."""
    if isinstance(value, dict):
        return {key: _toml(item) for key, item in value.items() if item is not None}
    return [_toml(item) for item in value if item is not None] if isinstance(value, list) else value


def test_a_scribbled_recipe_is_read_or_refused() -> None:
    chance = random.Random(17)
    read = sum(plan(scribbled(RECIPE, chance)) for _ in range(ROUNDS))
    assert 0 < read < ROUNDS


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000, "x = " + "9" * 5000, "x = 1e9999", "x = 0x" + "f" * 5000, "a." * 3000 + "b = 1",
        "a = 1\na = 2", "[a]\n[a]", 'x = "\\ud800"', "x = 2026-99-99", "\ufeffformat = 1", "\0", "[[[",
        "x = '''", "= 1", "\r", "[a.b]\n[a]\nb = 1",
    ],
)  # fmt: skip
def test_what_is_no_recipe_at_all(text: str) -> None:
    assert not plan(text)


def test_a_nul_character_is_named_with_its_key() -> None:
    changed = RECIPE.replace('path = "tiny/smoke"', 'path = "tiny/\\u0000"').replace(
        'summary = "', '"sum\\u0000" = "\\u0000", summary = "'.replace(", ", "\n")
    )
    with pytest.raises(InputError) as caught:
        parse_recipe(changed, file="tiny.toml")
    assert "tiny.toml: smoke.path: has a NUL" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("command", ["plan ./bad.toml@1.0", "merge bad --out out", "install bad --check"])
@pytest.mark.parametrize("content", [b"\xff\xfe\0\0", b"[" * 20_000, b'{"format": 1}', b"x = 1"])
def test_the_program_says_so_and_ends_as_promised(tmp_path: Path, command: str, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bundle.json").write_bytes(content)
    done = wheelferry(*command.split(), cwd=tmp_path)
    assert done.returncode in (2, 4), done.stderr
    assert "bad.toml" in done.stderr or "bundle.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
