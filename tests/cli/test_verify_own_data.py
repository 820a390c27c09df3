"""A data set of the user's in a verification, and beside an installation, on bundles of small files."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clients import PYTHON, one_python, pack_client_bundle
from conftest import RECIPE
from datasets import MAKERS
from wheelferry.cache.tools import Tools
from wheelferry.catalog import LocatedRecipe
from wheelferry.models.recipes.file import parse_recipe
from yard import Yard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="install.sh")

# Counts what it was given, instead of training on it.
CHECK = """
import json, os
from harness import Unusable, check

@check("pictures are counted", level="data")
def count(context):
    own = context.own
    own.will_measure(["pictures", "objects"])
    if own.weights == "bad":
        raise Unusable("these are weights of another model")
    document = {}
    for part in ("train", "val"):
        with open(os.path.join(own.data, part, "annotations.json"), encoding="utf-8") as stream:
            document[part] = json.load(stream)
    own.measured({
        "pictures": sum(len(one["images"]) for one in document.values()),
        "objects": sum(len(one["annotations"]) for one in document.values()),
    })
    picture = os.path.join(context.out, "seen.png")
    name = document["val"]["images"][0]["file_name"]
    with open(os.path.join(own.data, "val", "images", name), "rb") as stream, open(picture, "wb") as out:
        out.write(stream.read())
    context.file(picture, "one of your pictures")
"""
TRAIN = """
@check("it trains", level="train")
def trains(context):
    pass

@check("it is there")
def there(context):
    import leaf
"""
OWN = 'own_data = ["check_own"]\n'
JOB = ["bundle", "./tiny.toml@1.0", "--python", PYTHON, "--torch", "2.13.0", "--without-ops", "--no-verify"]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """A bundle with a check on the user's data, which carries a data set as well."""
    yard = Yard(tmp_path_factory.mktemp("own") / "y ard ü", checks=TRAIN)
    recipe = yard.folder / "tiny.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("[smoke]\n", f"[smoke]\n{OWN}"), "utf-8")
    (yard.folder / "tiny" / "smoke" / "check_own.py").write_text(CHECK, "utf-8")
    for form, make in MAKERS.items():
        make(yard.folder / f"{form} ü")
    yard.run(*JOB, "--out", "packed")
    return yard


def verify(yard: Yard, *options: str, status: int = 0) -> dict[str, Any]:
    """What verification says of the bundle, as JSON; of an error the message."""
    process = yard.start("verify", "packed", "--json", "-q", *options)
    said = process.communicate()[0]
    assert process.returncode == status, said
    document: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return document


@pytest.mark.parametrize("form", sorted(MAKERS))
def test_a_data_set_of_any_format_reaches_the_checks(yard: Yard, form: str) -> None:
    options = ["--data", f"{form} ü", "--expect", "pictures>=5", "--expect", "objects<=10"]
    report = verify(yard, *options)
    level = report["targets"][0]["levels"][-1]
    assert [check["name"] for check in level["checks"]] == [
        "check_tiny.trains", "check_own.count", "expected.pictures", "expected.objects",
    ]  # fmt: skip
    own = level["facts"]["own_data"]
    assert own["figures"] == {"pictures": 5, "objects": 10}
    assert (own["data"], own["format"], own["expected"]) == (
        f"{form} ü",
        form,
        ["pictures >= 5", "objects <= 10"],
    )
    page = (yard.folder / "packed" / "report" / "report.html").read_text("utf-8")
    assert f"On your own data: {form} ü" in page
    assert "data:image/png;base64," in page


def test_what_is_not_reached_is_a_problem_with_what_was_wanted_and_measured(yard: Yard) -> None:
    report = verify(yard, "--data", "coco ü", "--expect", "pictures>=6", "--expect", "objects>=1", status=1)
    (problem,) = report["problems"]
    assert (problem["code"], problem["file"]) == ("CHECK", "expected.pictures")
    assert problem["message"] == "on your data pictures is at least 6: it is 5"
    assert not report["passed"]


def test_a_metric_that_there_is_not_and_weights_that_do_not_fit(yard: Yard) -> None:
    report = verify(yard, "--data", "coco ü", "--expect", "bbox/AP50>=6", status=1)
    (problem,) = report["problems"]
    assert (
        "nothing called bbox/AP50 is measured of this model; there is pictures, objects" in problem["message"]
    )
    report = verify(yard, "--data", "coco ü", "--weights", "bad", "--expect", "objects>=1", status=1)
    (problem,) = report["problems"]
    assert problem["message"] == "pictures are counted: these are weights of another model"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nowhere"], "nowhere is not there"),
        (["--data", "tiny"], "is no data set in a known format"),
        (["--data", "coco ü", "--expect", "objects"], "is no expectation"),
        (["--data", "coco ü", "--budget", "soon"], "is no time"),
        (["--data", "coco ü", "--level", "smoke"], "--data is for the level train, not smoke"),
        (["--data", "coco ü", "--weights", "gone.pth"], "gone.pth is not there"),
        (["--evaluate-only"], "--evaluate-only goes with --data"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_runs(yard: Yard, options: list[str], said: str) -> None:
    assert said in verify(yard, *options, status=2)["error"]


def test_errors_in_the_data_end_it_with_the_findings(yard: Yard) -> None:
    MAKERS["coco"](yard.folder / "broken")
    (yard.folder / "broken" / "val" / "p3.png").write_bytes(b"no picture")
    error = verify(yard, "--data", "broken", status=2)["error"]
    assert "the data set has errors" in error
    assert "error picture-unreadable (1)" in error
    assert "p3.png" in error


def run(*command: str | Path, status: int = 0) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={"PATH": one_python(), "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_beside_an_installation_it_is_refused_in_time(
    tmp_path: Path, tools: Tools, located: LocatedRecipe
) -> None:
    """These environments have no Pillow, without which no picture can be looked at."""
    (located.folder / "tiny" / "smoke" / "check_own.py").write_text(CHECK, "utf-8")
    recipe = replace(
        located, recipe=parse_recipe(RECIPE.replace("[smoke]\n", f"[smoke]\n{OWN}"), file="tiny.toml")
    )
    bundle, prefix = tmp_path / "stick", tmp_path / "prefix"
    pack_client_bundle(bundle, tools, recipe)
    MAKERS["coco"](tmp_path / "good")
    MAKERS["coco"](tmp_path / "bad")
    (tmp_path / "bad" / "annotations" / "val.json").write_text('{"images": [], "annotations": 7}', "utf-8")
    start: list[str | Path] = ["sh", bundle / "install.sh", "--prefix", prefix, "--yes"]
    data: list[str | Path] = ["--verify", "train", "--data"]
    assert "--data is for the level train" in run(*start, "--data", tmp_path / "good", status=2)
    assert "the data set has errors" in run(*start, *data, tmp_path / "bad", status=2)
    assert not prefix.exists()
    said = run(*start, *data, tmp_path / "good", status=3)
    assert "a conversion needs Pillow" in said
    assert "--with pillow" in said
    assert not (prefix / "current").exists()
    run(*start, "--verify", "smoke")
    assert "a conversion needs Pillow" in run(prefix / "wheelferry", *data, tmp_path / "good", status=3)
    assert "--expect 'x' is no expectation" in run(
        prefix / "wheelferry", *data, tmp_path / "good", "--expect", "x", status=2
    )


def test_a_bundle_without_such_a_check_says_so(tmp_path: Path, tools: Tools, located: LocatedRecipe) -> None:
    bundle = tmp_path / "stick"
    pack_client_bundle(bundle, tools, located)
    MAKERS["coco"](tmp_path / "set")
    start: list[str | Path] = ["sh", bundle / "install.sh", "--prefix", tmp_path / "prefix", "--yes"]
    said = run(*start, "--verify", "train", "--data", tmp_path / "set", status=2)
    assert "tiny cannot be proven with data of your own" in said
    assert not (tmp_path / "prefix").exists()
