"""The matrix command as a user meets it, and the files in docs/ and ci/ that it wrote."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import wheelferry

ROOT = Path(__file__).parents[2]
CELL = ["--python", "3.14", "--torch", "2.5.1", "--backend", "cpu", "--platform", "linux_x86_64"]
GENERATED = {
    "ci/github/detectron2.yml": ["detectron2", "--github"],
    "ci/gitlab/detectron2.yml": ["detectron2", "--gitlab"],
}


def test_one_cell_answers_with_its_reason_and_the_nearest_that_works() -> None:
    done = wheelferry("matrix", "detectron2@v0.6", *CELL, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (cell,) = document["cells"]
    assert (cell["release"], cell["target"]) == ("v0.6", "cp314-manylinux_2_28_x86_64-torch2_5_1-cpu")
    assert cell["status"] == "unsupported"
    assert "torch 2.5.1 has no wheels for Python 3.14" in cell["reason"]
    assert cell["nearest"]["status"] != "unsupported"
    assert cell["nearest"]["platform"] == "manylinux_2_28_x86_64"
    assert set(cell) == {
        "recipe", "release", "python", "platform", "torch", "backend", "target", "status", "reason",
        "evidence", "nearest",
    }  # fmt: skip
    assert document["counts"]["unsupported"] == 1
    shown = wheelferry("matrix", "detectron2@v0.6", *CELL).stdout
    assert "nearest: --python" in shown
    assert "has no wheels for Python 3.14" in shown


def test_asking_to_build_such_a_cell_is_refused_with_the_same() -> None:
    done = wheelferry("plan", "detectron2@v0.6", *CELL)
    assert done.returncode == 2
    assert "has no wheels for Python 3.14" in done.stderr
    assert "nearest: --python" in done.stderr


def test_the_whole_matrix_is_a_grid_and_its_json_has_every_cell() -> None:
    shown = wheelferry("matrix", "detectron2@v0.6")
    assert shown.returncode == 0, shown.stderr
    assert "✓ verified" in shown.stdout
    assert "2.9.1" in shown.stdout
    # what one wheel serves is one row, and unfolds
    assert "│ 2.10.0 to 2.1" in shown.stdout
    assert "wheelferry matrix detectron2@v0.6 --cells" in shown.stdout
    every = wheelferry("matrix", "detectron2@v0.6", "--cells")
    assert "2.10.0 to" not in every.stdout
    assert len(every.stdout.splitlines()) > 30
    document = json.loads(wheelferry("matrix", "detectron2", "sample", "--json").stdout)
    cells = document["cells"]
    assert {cell["recipe"] for cell in cells} == {"detectron2", "sample"}
    assert sum(document["counts"].values()) == len(cells)
    assert {wheel["recipe"] for wheel in document["wheels"]} == {"detectron2", "sample"}
    assert all(sum(wheel["counts"].values()) == wheel["cells"] for wheel in document["wheels"])
    assert all(cell["reason"] for cell in cells if cell["status"] == "unsupported")
    assert all(cell["evidence"] for cell in cells if cell["status"] == "verified")
    few = wheelferry("matrix", "sample", "--torch", "2.13.0", "--python", "3.12", "--status", "unsupported")
    assert "0 unsupported" in few.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonesuch"], "no recipe called 'nonesuch'"),
        (["detectron2@v9"], "no release 'v9'"),
        (["sample", "--python", "3"], "unknown Python '3'"),
        (["sample", "--github", "--gitlab"], "--github and --gitlab do not go together"),
        (["sample", "detectron2", "--github"], "a pipeline is for one recipe"),
        (["sample", "--github", "--backend", "cu128"], "a hosted runner has no compiler for it"),
        (["sample", "--record"], "--record was given no bundle"),
        (["--record"], "--record was given no bundle"),
        (["detectron2@v0.6", "detectron2@main", "--github"], "a bundle holds one release"),
        (["--record", "nowhere"], "nowhere is not a bundle"),
        (["--record", "nowhere", "--records", "r.json"], "--records is for one recipe"),
        (["sample", "--record", "nowhere"], "nowhere is not a bundle"),
    ],
)
def test_bad_input(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = wheelferry("matrix", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_records_of_ones_own_show_as_verified(tmp_path: Path) -> None:
    records = tmp_path / "records.json"
    records.write_text('{"format": 1, "recipe": "detectron2", "records": []}', "utf-8")
    done = wheelferry("matrix", "sample", "--records", records)
    assert done.returncode == 2
    assert "holds records of detectron2" in done.stderr


@pytest.mark.parametrize("name", GENERATED)
def test_generated_files_are_what_the_command_writes(name: str, tmp_path: Path) -> None:
    written = (ROOT / name).read_text("utf-8")
    done = wheelferry("matrix", *GENERATED[name], "--out", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = f"wheelferry matrix {' '.join(GENERATED[name])} --out {name}"
    assert done.stdout == written, f"{name} is out of date; write it with: {again}"
    placed = wheelferry("matrix", *GENERATED[name], "--out", tmp_path / "x" / "y.yml")
    assert placed.stdout.strip() == str(tmp_path / "x" / "y.yml")
    assert (tmp_path / "x" / "y.yml").read_text("utf-8") == written


def test_generated_pages_are_what_the_command_writes(tmp_path: Path) -> None:
    done = wheelferry("matrix", "--markdown", "--out", "coverage.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = "wheelferry matrix --markdown --out docs/coverage.md"
    names = {path.name for path in (tmp_path / "coverage").iterdir()}
    assert names == {path.name for path in (ROOT / "docs/coverage").iterdir()}, f"run {again}"
    for name in ("coverage.md", *(f"coverage/{name}" for name in sorted(names))):
        same = (tmp_path / name).read_bytes() == (ROOT / "docs" / name).read_bytes()
        assert same, f"docs/{name} is out of date; write the pages with: {again}"


def test_own_recipes_have_pages_with_their_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my recipes"
    shutil.copytree(ROOT / "recipes/torch-scatter", folder / "own-scatter")
    text = (ROOT / "recipes/torch-scatter.toml").read_text("utf-8")
    text = text.replace("torch-scatter/", "own-scatter/").replace("torch-scatter", "own-scatter", 1)
    (folder / "own-scatter.toml").write_text(text, "utf-8")
    records = folder / "own-scatter/records.json"
    records.write_text(records.read_text("utf-8").replace('"torch-scatter"', '"own-scatter"', 1), "utf-8")
    monkeypatch.setenv("WHEELFERRY_RECIPES", str(folder))
    done = wheelferry("matrix", "--markdown", "--out", "c.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    overview = (tmp_path / "c.md").read_text("utf-8")
    own, shipped = overview.index("## Your own recipes"), overview.index("## Recipes of wheelferry")
    assert own < overview.index("[own-scatter](c/own-scatter.md)") < shipped < overview.index("c/mmcv.md")
    evidence = (tmp_path / "c/own-scatter-evidence.md").read_text("utf-8")
    (first, *_) = json.loads(records.read_text("utf-8"))["records"]
    assert first["wheel"]["sha256"] in evidence


@pytest.mark.parametrize("out", ["-", "pages", "pages.html"])
def test_the_pages_need_a_file_for_the_overview(out: str, tmp_path: Path) -> None:
    done = wheelferry("matrix", "sample", "--markdown", "--out", out, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--out {out} is no file for the overview" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("provider", "schema"),
    [
        ("github", ["--builtin-schema", "vendor.github-workflows"]),
        ("gitlab", ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["detectron2"],
        ["sample", "--platform", "linux_x86_64", "--python", "3.12"],
        ["sample", "--platform", "win_amd64", "--backend", "cpu"],
    ],
    ids=["both", "linux", "windows"],
)
def test_the_providers_own_schemas_accept_the_pipelines(
    provider: str, schema: list[str], arguments: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.yml"
    assert wheelferry("matrix", *arguments, f"--{provider}", "--out", file).returncode == 0
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    file.write_text(file.read_text("utf-8").replace("timeout", "tiemout"), "utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1, "the schema accepts anything"


def test_the_github_workflow_has_nothing_unsafe() -> None:
    zizmor = shutil.which("zizmor", path=Path(sys.executable).parent)
    assert zizmor, "install the development dependencies: pip install -e '.[dev]'"
    checked = subprocess.run(
        [zizmor, "--offline", "--quiet", ROOT / "ci/github/detectron2.yml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
