"""CI pipelines: which cells they build, and what the providers take."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from conftest import RECIPE
from wheelferry.catalog import load_recipe
from wheelferry.errors import InputError
from wheelferry.matrix.ci_jobs import CI_PYTHONS, choose_jobs, newest_release, share_wheels
from wheelferry.matrix.coverage import LINUX, Selection
from wheelferry.matrix.render import github_workflow
from wheelferry.models.recipes.file import parse_recipe

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def torch(version: str, cuda: str) -> str:
    return f"""
[[torch]]
version = "{version}"
python = ">=3.10,<3.14"
windows = ">=3.11,<3.14"
cuda = "{cuda}"
"""


def release(name: str, kind: str = "tag", version: str = "") -> str:
    return f"""
[releases."{name}"]
{kind} = "{name}"
commit = "{COMMIT}"
version = "{version or name}"
torch = ">=2.0"
python = ">=3.9"
"""


def recipe_text(*releases: str, torches: Iterable[str] = ("2.11.0",)) -> str:
    """The tests' recipe with these releases, these torch releases of CUDA 12.8, and one of CUDA 13."""
    head, _, rest = RECIPE.partition("[[torch]]")
    older = "".join(torch(version, "12.8") for version in torches if version != "2.13.0")
    git = head.replace('{ kind = "folder", path = "tiny/project" }', '{ kind = "git", url = "x" }')
    return (
        git + older + torch("2.13.0", "13.0") + "".join(releases) + "[smoke]" + rest.partition("[smoke]")[2]
    )


RELEASES = (release("1.10"), release("1.9"), release("1.8"), release("main", "branch", "2.0"))
TINY = parse_recipe(recipe_text(*RELEASES), file="tiny.toml")


def test_left_open_it_builds_the_newest_tag_with_the_newest_torch() -> None:
    jobs = choose_jobs(TINY, Selection(), provider="github")
    assert newest_release(TINY) == "1.10"
    assert {job.release for job in jobs} == {"1.10"}
    assert {job.target.torch for job in jobs} == {"2.13.0"}
    assert {job.target.backend for job in jobs} == {"cpu", "cu130"}
    linux = [job for job in jobs if not job.windows]
    assert sorted({job.target.python for job in linux}) == list(CI_PYTHONS)
    # torch has no Windows wheels for 3.10: such a cell is no job
    assert {job.target.python for job in jobs if job.windows} == {"3.11", "3.12", "3.13"}
    assert len({job.name for job in jobs}) == len(jobs) == 8 + 6
    assert jobs[0].name == "tiny-1.10-cp310-manylinux_2_28_x86_64-torch2_13_0-cpu"


def test_a_project_for_gpus_alone_has_no_jobs_without_cuda() -> None:
    text = recipe_text(*RELEASES)
    line = next(line for line in text.splitlines() if line.startswith("build = "))
    for_gpus = parse_recipe(text.replace(line, 'build = { cuda_extensions = ["tiny._C"] }'), file="t")
    jobs = choose_jobs(for_gpus, Selection(), provider="github")
    assert {job.target.backend for job in jobs} == {"cu130"}


def test_a_cuda_without_a_compiler_on_pypi_is_left_out_or_refused() -> None:
    chosen = Selection(torches=("2.11.0",), platforms=(LINUX,))
    assert {job.target.backend for job in choose_jobs(TINY, chosen, provider="github")} == {"cpu"}
    with pytest.raises(InputError, match="cu128: a hosted runner has no compiler for it"):
        choose_jobs(TINY, Selection(torches=("2.11.0",), backends=("cu128",)), provider="github")


def test_more_cells_than_github_takes_are_refused_with_their_number() -> None:
    many = [f"2.{minor}.0" for minor in range(5, 69)]
    larger = parse_recipe(recipe_text(*RELEASES, torches=many), file="tiny.toml")
    # 64 torches, four Pythons, one backend; PyPI has no Windows wheels for one of the Pythons
    every = Selection(torches=tuple(many), backends=("cpu",))
    assert len(choose_jobs(larger, every, provider="github")) == 256 + 256
    more = replace(every, backends=("default", "cpu"))
    with pytest.raises(InputError, match="512 cells for Linux; GitHub takes at most 256") as caught:
        choose_jobs(larger, more, provider="github")
    assert "choose fewer" in (caught.value.hint or "")
    assert len(choose_jobs(larger, more, provider="gitlab")) == 512 + 256 + 192


def test_a_pipeline_is_of_one_release() -> None:
    with pytest.raises(InputError, match="a bundle holds one release"):
        choose_jobs(TINY, Selection(releases=("1.9", "1.10")), provider="github")


def test_a_cell_named_twice_is_one_job() -> None:
    twice = Selection(pythons=("3.12", "3.12"), backends=("cpu", "cpu"), platforms=(LINUX, LINUX))
    assert len(choose_jobs(TINY, twice, provider="github")) == 1


def test_nothing_to_build_is_refused() -> None:
    with pytest.raises(InputError, match="can serve none of the cells"):
        choose_jobs(TINY, Selection(pythons=("3.8",)), provider="gitlab")
    branch = parse_recipe(recipe_text(release("main", "branch", "2.0")), file="tiny.toml")
    with pytest.raises(InputError, match="has no tagged release") as caught:
        choose_jobs(branch, Selection(), provider="github")
    assert caught.value.hint == "name a branch: tiny@main"


def test_what_several_cells_have_in_common_is_built_once() -> None:
    recipe = load_recipe("sample").recipe
    jobs = choose_jobs(recipe, Selection(), provider="github")
    (wheel,), sharing = share_wheels(recipe, jobs)
    assert wheel.name.startswith("wheel-sample-1.0-cp313-manylinux_2_28_x86_64-torch2_15_0-cpu")
    assert [replace(job, wheel="") for job in sharing] == list(jobs)
    taking = [job for job in sharing if job.wheel]
    assert {job.wheel for job in taking} == {wheel.name}
    # GPU code and what is built on Windows are each cell's own
    assert {(job.target.backend, job.windows) for job in taking} == {("cpu", False)}
    assert len(taking) == len(CI_PYTHONS)


def test_one_cell_builds_its_own_wheel() -> None:
    recipe = load_recipe("sample").recipe
    jobs = choose_jobs(recipe, Selection(pythons=("3.12",), backends=("cpu",)), provider="github")
    assert share_wheels(recipe, jobs) == ((), jobs)
    assert "wheel:" not in github_workflow(recipe, "sample", jobs, command="")
