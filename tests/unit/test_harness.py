"""The harness that travels in bundles: skipping, failing, and leaving a trace."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wheelferry.client.smoke

CHECKS = """
import os
from harness import Skip, check, expect

@check("passes", needs=["ops"])
def passes(context):
    context.value("answer", 42)
    path = os.path.join(context.out, "picture.png")
    open(path, "w").close()
    context.file(path, "a picture")

@check("lacks a feature", needs=["wings"])
def lacks(context):
    raise AssertionError

@check("skips itself")
def skips(context):
    raise Skip("no GPU here")

@check("fails")
def fails(context):
    expect(1 > 2, "one is not more than two")

@check("is of another level", level="train")
def other(context):
    pass
"""


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A harness of its own in a suite folder, as in a bundle."""
    source = Path(wheelferry.client.smoke.__file__).with_name("harness.py")
    (tmp_path / "harness.py").write_text(source.read_text("utf-8"), "utf-8")
    (tmp_path / "check_things.py").write_text(CHECKS, "utf-8")
    suite = {
        "recipe": "tiny",
        "release": "1.0",
        "modules": ["check_things"],
        "features": [],
        "settings": {},
    }
    (tmp_path / "suite.json").write_text(json.dumps(suite), "utf-8")
    spec = importlib.util.spec_from_file_location("harness", tmp_path / "harness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "harness", module)
    monkeypatch.delitem(sys.modules, "check_things", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    spec.loader.exec_module(module)
    return module


def test_every_outcome_is_recorded(harness: ModuleType, tmp_path: Path) -> None:
    assert harness.main(["--out", str(tmp_path / "out")]) == 1
    document = json.loads((tmp_path / "out" / "smoke.json").read_text("utf-8"))
    found = {item["name"]: (item["status"], item["reason"]) for item in document["checks"]}
    assert found == {
        "check_things.passes": ("passed", None),
        "check_things.lacks": ("skipped", "this release has no wings"),
        "check_things.skips": ("skipped", "no GPU here"),
        "check_things.fails": ("failed", "AssertionError: one is not more than two"),
    }
    assert document["running"] is None
    assert document["checks"][0]["values"] == {"answer": 42}
    assert document["checks"][0]["files"] == [{"path": "picture.png", "caption": "a picture"}]


def test_a_wheel_built_without_ops_has_not_the_features_of_ops(
    harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "tiny-1.0+pt2.13.0.noops.dist-info"
    installed.mkdir(parents=True)
    (installed / "wheelferry.json").write_text('{"ops": false}', "utf-8")
    monkeypatch.syspath_prepend(str(installed.parent))
    described = json.loads((tmp_path / "suite.json").read_text("utf-8"))
    described |= {"distribution": "tiny", "features": ["wings"], "ops_features": ["wings"]}
    (tmp_path / "suite.json").write_text(json.dumps(described), "utf-8")
    harness.main(["--out", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "smoke.json").read_text("utf-8"))
    reasons = {item["title"]: item["reason"] for item in document["checks"] if item["status"] == "skipped"}
    assert reasons["passes"] == "this wheel, built without them, has no ops"
    assert reasons["lacks a feature"] == "this wheel, built without them, has no wings"


UNLOADABLE = """
from harness import check

@check("needs films")
def films(context):
    try:
        raise ImportError("DLL load failed", path="Z:/Lib/Films.pyd")
    except ImportError as error:
        raise RuntimeError("no films") from error

@check("passes")
def passes(context):
    pass
"""


@pytest.mark.parametrize("named", ["My.Ops", "my-ops", "my_ops"])
def test_the_stamp_is_found_by_any_spelling_of_the_name(
    named: str, harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, backend in (("my_ops_more-1.0.dist-info", "cpu"), ("my_ops-1.0.dist-info", "cu130")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wheelferry.json").write_text(json.dumps({"backend": backend}), "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert harness.read_stamp(named) == {"backend": "cu130"}
    assert harness.read_stamp("other") == {}


@pytest.mark.parametrize(
    ("unloadable", "status", "reason"),
    [
        ({"z:/lib/films.pyd": "Wine: no mf.dll"}, "skipped", "Wine: no mf.dll"),
        ({"z:/lib/other.pyd": "Wine: no mf.dll"}, "failed", "RuntimeError: no films"),
    ],
)
def test_a_check_that_ends_at_what_the_machine_cannot_load_is_no_failure(
    harness: ModuleType, tmp_path: Path, unloadable: dict[str, str], status: str, reason: str
) -> None:
    (tmp_path / "check_things.py").write_text(UNLOADABLE, "utf-8")
    (tmp_path / "unloadable.json").write_text(json.dumps(unloadable), "utf-8")
    harness.main(["--out", str(tmp_path / "out"), "--unloadable", str(tmp_path / "unloadable.json")])
    document = json.loads((tmp_path / "out" / "smoke.json").read_text("utf-8"))
    assert [(item["status"], item["reason"]) for item in document["checks"]] == [
        (status, reason),
        ("passed", None),
    ]


def test_a_check_knows_that_its_processor_is_emulated(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(harness.EMULATED, raising=False)
    assert not harness.Context("out", (), {}, {}).emulated
    monkeypatch.setenv(harness.EMULATED, "1")
    assert harness.Context("out", (), {}, {}).emulated


def test_losses_are_json_lines_beside_the_check(harness: ModuleType, tmp_path: Path) -> None:
    context = harness.Context(str(tmp_path), (), {}, {})
    context.losses({"loss": loss} for loss in (2.0, 0.5))
    (file,) = context.files
    lines = (tmp_path / file["path"]).read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"iteration": 1, "loss": 2.0},
        {"iteration": 2, "loss": 0.5},
    ]
    assert file["caption"] == "Losses by iteration, as JSON lines"


def test_one_check_alone(harness: ModuleType, tmp_path: Path) -> None:
    assert harness.main(["--out", str(tmp_path / "out"), "--only", "check_things.passes"]) == 0


def test_nothing_but_skips_is_no_success(harness: ModuleType, tmp_path: Path) -> None:
    assert harness.main(["--out", str(tmp_path / "out"), "--only", "check_things.skips"]) == 1


def test_an_interpreter_that_dies_leaves_the_name_of_the_check(harness: ModuleType, tmp_path: Path) -> None:
    suite = harness.load(str(tmp_path))

    class Dies(BaseException):
        pass

    def die(_context: object) -> None:
        raise Dies

    harness.check("dies")(die)
    with pytest.raises(Dies):
        harness.run(suite, "smoke", str(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "smoke.json").read_text("utf-8"))
    assert document["running"].endswith(".die")
    assert len(document["checks"]) == 4


def test_a_level_that_does_not_exist_is_refused_when_registering(harness: ModuleType) -> None:
    with pytest.raises(ValueError, match="level must be one of smoke, train"):
        harness.check("x", level="deploy")


OWN = """
import os
from harness import Skip, Unusable, check
import helper  # of the programs beside the suite

@check("on your data", level="data")
def own_data(context):
    own = context.own
    own.will_measure(["AP", "AP50", "never"])
    if own.weights == "bad":
        raise Unusable("these are weights of another model")
    if own.weights == "none":
        raise Skip("nothing to do")
    own.measured({"AP": helper.FIGURE, "AP50": 60.0, "never": float("nan")})
"""


@pytest.fixture
def own_suite(harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The suite with a check on the user's data, which uses a module of the programs."""
    (tmp_path / "check_own.py").write_text(OWN, "utf-8")
    suite = json.loads((tmp_path / "suite.json").read_text("utf-8"))
    (tmp_path / "suite.json").write_text(json.dumps({**suite, "own_data": ["check_own"]}), "utf-8")
    apps = tmp_path.parent / "apps"
    apps.mkdir(exist_ok=True)
    (apps / "helper.py").write_text("FIGURE = 41.25\n", "utf-8")
    for name in ("check_own", "helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return harness


def prove(harness: ModuleType, folder: Path, *expected: tuple[str, str, float], weights: str = "w") -> Any:
    """What the harness wrote of the level train, with data of the user's."""
    own = {
        "data": str(folder), "weights": weights, "config": None, "seconds": 60, "evaluate_only": False,
        "expectations": [{"metric": m, "relation": r, "value": v} for m, r, v in expected],
    }  # fmt: skip
    (folder / "own.json").write_text(json.dumps(own), "utf-8")
    arguments = ["--level", "train", "--out", str(folder / "out"), "--own", str(folder / "own.json")]
    status = harness.main(arguments)
    document = json.loads((folder / "out" / "train.json").read_text("utf-8"))
    failed = any(item["status"] == "failed" for item in document["checks"])
    assert status == int(failed)
    return document


def test_expectations_are_judged_one_by_one(own_suite: ModuleType, tmp_path: Path) -> None:
    document = prove(
        own_suite, tmp_path,
        ("AP50", ">=", 60), ("AP50", ">", 60), ("AP", "<=", 41.25), ("AP", "<", 41), ("never", ">=", 0),
    )  # fmt: skip
    assert document["figures"] == {"AP": 41.25, "AP50": 60.0}
    assert [(item["name"], item["status"], item["reason"]) for item in document["checks"]] == [
        ("check_things.other", "passed", None),
        ("check_own.own_data", "passed", None),
        ("expected.AP50", "passed", None),
        ("expected.AP50", "failed", "it is 60"),
        ("expected.AP", "passed", None),
        ("expected.AP", "failed", "it is 41.25"),
        ("expected.never", "failed", "it was not measured: nothing was there to measure"),
    ]
    assert document["checks"][3]["title"] == "on your data AP50 is more than 60"


def test_an_unknown_metric_is_told_with_those_that_there_are(own_suite: ModuleType, tmp_path: Path) -> None:
    document = prove(own_suite, tmp_path, ("AP5", ">=", 60))
    (own,) = document["checks"][1:]
    assert own["status"] == "failed"
    assert own["reason"] == "nothing called AP5 is measured of this model; there is AP, AP50, never"
    assert own["traceback"] is None


def test_what_cannot_be_used_fails_without_a_traceback(own_suite: ModuleType, tmp_path: Path) -> None:
    document = prove(own_suite, tmp_path, ("AP", ">=", 0), weights="bad")
    (own,) = document["checks"][1:]
    assert (own["reason"], own["traceback"]) == ("these are weights of another model", None)


def test_a_skipped_check_meets_no_expectation(own_suite: ModuleType, tmp_path: Path) -> None:
    document = prove(own_suite, tmp_path, ("AP", ">=", 0), weights="none")
    assert [item["status"] for item in document["checks"]] == ["passed", "skipped", "failed"]


def test_without_data_nothing_of_it_is_loaded(own_suite: ModuleType, tmp_path: Path) -> None:
    assert own_suite.main(["--level", "train", "--out", str(tmp_path / "out")]) == 0
    assert "check_own" not in sys.modules
