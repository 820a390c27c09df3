"""A user's own data in a verification: what is asked for, what is refused, what the suite gets."""

import json
import shutil
from pathlib import Path

import pytest

from datasets import MAKERS, edit
from wheelferry.client.common.errors import BadInput
from wheelferry.client.common.files import write_json
from wheelferry.client.data.ready import check_before, make_ready, unpacked
from wheelferry.client.installer.options import parse_options
from wheelferry.client.smoke import harness
from wheelferry.client.smoke.own_data import (
    OwnData,
    locate,
    parse_budget,
    parse_expectation,
    read_own_data,
    require_support,
    write_request,
)
from wheelferry.models.report import shown_command
from wheelferry.progress import Silent


def own(data: str = "parts", weights: str | None = None, config: str | None = None) -> OwnData:
    return OwnData(data, weights, config, [parse_expectation("bbox/AP50>=60")], 600.0, False)


@pytest.mark.parametrize(
    ("text", "metric", "relation", "value"),
    [
        ("bbox/AP50>=60", "bbox/AP50", ">=", 60),
        ("  segm/AP > 12.5 ", "segm/AP", ">", 12.5),
        ("bbox/AP-small dent<=1e1", "bbox/AP-small dent", "<=", 10),
        ("loss<0", "loss", "<", 0),
        ("AP>=-1", "AP", ">=", -1),
    ],
)
def test_expectations(text: str, metric: str, relation: str, value: float) -> None:
    assert parse_expectation(text) == {"metric": metric, "relation": relation, "value": value}


@pytest.mark.parametrize(
    "text",
    [
        "", "bbox/AP50", "bbox/AP50>=", ">=60", "bbox/AP50=60", "bbox/AP50==60", "bbox/AP50=>60", "AP>=6 0",
        "bbox/AP50>=sixty", "bbox/AP50>=nan", "bbox/AP50>=inf", "1<AP<2", "AP>=60%",
    ],
)  # fmt: skip
def test_what_is_no_expectation_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no expectation") as caught:
        parse_expectation(text)
    assert "bbox/AP50>=60" in caught.value.hint


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 m ", 120)])
def test_times(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "0s", "ten minutes", "1d", "1e3s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no time"):
        parse_budget(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--weights", "w.pth"], ["--config", "c"], ["--expect", "AP>=1"], ["--budget", "5m"],
        ["--evaluate-only"],
    ],
)  # fmt: skip
def test_the_options_need_a_data_set(arguments: list[str]) -> None:
    given = parse_options(arguments, "install")
    with pytest.raises(BadInput, match=f"{arguments[0]} goes with --data"):
        read_own_data(
            given.data, given.weights, given.config, given.expect, given.budget, given.evaluate_only
        )


def test_nothing_asked_for_is_nothing() -> None:
    assert read_own_data(None, None, None, None, None, False) is None
    read = read_own_data("parts", None, None, ["a>1", "b<2"], None, True)
    assert (read.seconds, len(read.expectations), read.evaluate_only) == (600, 2, True)


def test_files_are_found_here_or_among_what_is_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = tmp_path / "bundle" / "assets" / "files"
    carried.mkdir(parents=True)
    for name in ("parts.zip", "w.pth"):
        (carried / name).write_bytes(b"")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "w.pth").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    found = locate(own("parts.zip", "w.pth", "COCO-Detection/x.yaml"), str(tmp_path / "bundle"))
    assert found.data == str(carried / "parts.zip")
    assert found.weights == str(tmp_path / "here" / "w.pth")
    assert found.config == "COCO-Detection/x.yaml"
    assert locate(own("parts.zip", "R-50"), str(tmp_path / "bundle")).weights == "R-50"
    with pytest.raises(BadInput, match="--data nowhere is not there") as caught:
        locate(own("nowhere"), str(tmp_path / "bundle"))
    assert "what the bundle carries: parts.zip, w.pth" in caught.value.hint
    with pytest.raises(BadInput, match=r"--weights other\.pth is not there"):
        locate(own("parts.zip", "other.pth"), str(tmp_path / "bundle"))


def test_what_is_handed_in_is_spelled_for_its_reader(tmp_path: Path) -> None:
    weights = tmp_path / "w ü.pth"
    weights.write_bytes(b"")
    asked = locate(own(str(tmp_path), str(weights), "zoo/name"), str(tmp_path))
    write_request(str(tmp_path / "own.json"), asked, str(tmp_path), lambda path: "Z:" + path)
    document = json.loads((tmp_path / "own.json").read_text("utf-8"))
    assert document["data"] == f"Z:{tmp_path}"
    assert document["weights"] == f"Z:{weights}"
    assert document["config"] == "zoo/name"
    assert document["expectations"] == [{"metric": "bbox/AP50", "relation": ">=", "value": 60.0}]


def test_a_report_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    told = own(f"{tmp_path}/parts/", f"{tmp_path}/w.pth", f"{tmp_path}/c.yaml").to_json()
    assert (told["data"], told["weights"], told["config"]) == ("parts", "w.pth", "c.yaml")
    assert str(tmp_path) not in json.dumps(told)
    command = [
        "verify",
        "/home/me/b",
        "--data",
        "/home/me/parts",
        "--expect",
        "bbox/AP50>=60",
        "--expect=a/b<1",
    ]
    assert shown_command(command) == (
        "wheelferry verify …/b --data …/parts --expect 'bbox/AP50>=60' --expect='a/b<1'"
    )


def test_a_suite_without_such_a_check_is_told(tmp_path: Path) -> None:
    for suite in ({"recipe": "tiny", "modules": []}, {"recipe": "tiny", "own_data": []}):
        (tmp_path / "suite.json").write_text(json.dumps(suite), "utf-8")
        with pytest.raises(BadInput, match="tiny cannot be proven with data of your own"):
            require_support(str(tmp_path))
    (tmp_path / "suite.json").write_text(json.dumps({"own_data": ["check_own"]}), "utf-8")
    require_support(str(tmp_path))


@pytest.mark.parametrize("form", sorted(MAKERS))
def test_every_format_becomes_coco(tmp_path: Path, form: str) -> None:
    MAKERS[form](tmp_path / "set")
    result = make_ready(str(tmp_path / "set"), str(tmp_path / "out"), Silent())
    assert result["counts"]["error"] == 0
    parts = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/*/*.json"))
    assert parts == ["train/annotations.json", "val/annotations.json"]


def test_errors_end_it_with_the_findings_and_nothing_written(tmp_path: Path) -> None:
    MAKERS["coco"](tmp_path / "set")
    (tmp_path / "set" / "train" / "p0.png").unlink()
    with pytest.raises(BadInput, match=r"picture-missing \(1\)") as caught:
        make_ready(str(tmp_path / "set"), str(tmp_path / "out"), Silent())
    assert "p0.png" in str(caught.value)
    assert "data convert" in caught.value.hint
    with pytest.raises(BadInput, match=r"picture-missing \(1\)"):
        check_before(str(tmp_path / "set"), Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_pictures_without_any_label_are_refused(tmp_path: Path) -> None:
    MAKERS["coco"](tmp_path / "set")
    for name in ("train", "val"):
        edit(
            tmp_path / "set" / "annotations" / f"{name}.json",
            lambda document: document["annotations"].clear(),
        )
    with pytest.raises(BadInput, match="no labelled object"):
        make_ready(str(tmp_path / "set"), str(tmp_path / "out"), Silent())


@pytest.mark.parametrize("form", ["zip", "gztar", "xztar"])
def test_an_archive_is_unpacked_first(tmp_path: Path, form: str) -> None:
    MAKERS["yolo"](tmp_path / "set")
    archive = shutil.make_archive(str(tmp_path / "archive"), form, tmp_path / "set")
    folder = unpacked(archive, str(tmp_path / "room"))
    assert make_ready(folder, str(tmp_path / "out"), Silent())["format"] == "yolo"
    assert unpacked(str(tmp_path / "set"), str(tmp_path / "other")) == str(tmp_path / "set")


def test_of_several_projects_the_first_ones_checks_take_the_data(tmp_path: Path) -> None:
    write_json(str(tmp_path / "suites.json"), {"format": 1, "suites": ["one", "two"]})
    for name, checks in (("one", ["check_own"]), ("two", [])):
        (tmp_path / name).mkdir()
        write_json(str(tmp_path / name / "suite.json"), {"recipe": name, "own_data": checks})
    require_support(str(tmp_path))
    write_json(str(tmp_path / "suites.json"), {"format": 1, "suites": ["two", "one"]})
    with pytest.raises(BadInput, match="two cannot be proven with data of your own"):
        require_support(str(tmp_path))


def test_the_programs_that_go_with_a_suite(tmp_path: Path) -> None:
    alone, several = tmp_path / "a" / "smoke", tmp_path / "b" / "smoke"
    (several / "one").mkdir(parents=True)
    write_json(str(several / "suites.json"), {"format": 1, "suites": ["one", "two"]})
    assert harness._programs_of(str(alone)) == str(tmp_path / "a" / "apps")
    assert harness._programs_of(str(several / "one")) == str(tmp_path / "b" / "apps" / "one")
