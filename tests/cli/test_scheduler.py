"""--scheduler with a real Dask: workers that die, tasks that fail, Ctrl-C, nobody there."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cluster_work
from clusters import LocalCluster, is_running, two_workers, until
from conftest import wheelferry
from wheelferry.distributed.cluster import Cluster, Task, connect
from wheelferry.distributed.worker import describe_builder
from wheelferry.errors import BuildError, MissingError
from wheelferry.progress import Silent


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """For tests that damage it."""
    with two_workers(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """For all tests that leave it as it is."""
    with two_workers(tmp_path_factory.mktemp("cluster")) as started:
        yield started


def collected(cluster: Cluster) -> dict[str, Any]:
    return {task.name: result for task, result in cluster.finished()}


def test_a_worker_that_is_killed_costs_only_its_task(cluster: LocalCluster, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with connect(cluster.address, Silent()) as workers:
        for number in range(8):
            workers.start(
                Task(name=f"t{number}", function=cluster_work.slowly, arguments=(number, begun, 0.7))
            )
        results = workers.finished()
        first = dict([next(results), next(results)])
        lost = cluster.workers["b"].pid
        until(lambda: any(begun.glob(f"*.{lost}")), cluster.log("b"))
        cluster.kill("b")
        rest = dict(results)
    done = {task.name: result for task, result in (first | rest).items()}
    assert {name: number for name, (number, _) in done.items()} == {f"t{n}": n for n in range(8)}
    # what was done was not done again, apart from what the dead worker had
    twice = [n for n in range(8) if len(list(begun.glob(f"{n}.*"))) > 1]
    assert 1 <= len(twice) <= 3


def test_a_task_fails_with_its_own_error(whole: LocalCluster) -> None:
    with connect(whole.address, Silent()) as workers:
        workers.start(Task(name="bad", function=cluster_work.fail, arguments=(1,)))
        workers.start(Task(name="good", function=divmod, arguments=(7, 2)))
        results = collected(workers)
    assert results["good"] == (3, 1)
    assert isinstance(results["bad"], BuildError)
    assert (str(results["bad"]), results["bad"].hint) == ("it does not compile", "repair it")


def test_what_fails_for_want_of_something_is_tried_again(whole: LocalCluster, tmp_path: Path) -> None:
    with connect(whole.address, Silent()) as workers:
        workers.start(Task(name="once", function=cluster_work.fail_once, arguments=(tmp_path,)))
        assert collected(workers) == {"once": "done"}


def test_a_task_that_ends_its_workers_is_told_as_such(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        for name in "abcde":
            cluster.add(name)
        with connect(cluster.address, Silent()) as workers:
            workers.start(Task(name="deadly", function=cluster_work.die, arguments=(1,)))
            (error,) = collected(workers).values()
    assert isinstance(error, BuildError)
    assert "4 workers ended during this build" in str(error)
    assert "memory" in (error.hint or "")


def test_a_task_goes_elsewhere_than_to_those_avoided(whole: LocalCluster, tmp_path: Path) -> None:
    with connect(whole.address, Silent()) as workers:
        one, other = (worker.address for worker in workers.workers())
        for name, avoided in (("x", one), ("y", other)):
            workers.start(
                Task(
                    name=name,
                    function=cluster_work.slowly,
                    arguments=(1, tmp_path, 0),
                    avoided=frozenset({avoided}),
                )
            )
        assert collected(workers) == {"x": (1, other), "y": (1, one)}


def test_a_task_whose_only_other_worker_is_lost_is_done_by_who_is_left(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    with connect(cluster.address, Silent()) as workers:
        addresses = workers.ask(describe_builder)
        assert len(addresses) == 2
        a = next(iter(worker for worker in addresses if worker in cluster.log("a").read_text("utf-8")))
        workers.start(
            Task(name="t", function=cluster_work.slowly, arguments=(1, tmp_path, 3), avoided=frozenset({a}))
        )
        until(lambda: any(tmp_path.glob("1.*")), cluster.log("b"))
        cluster.kill("b")
        assert collected(workers) == {"t": (1, a)}


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_what_runs_for_a_client_that_is_gone_is_ended(how: str, whole: LocalCluster, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with connect(whole.address, Silent()) as workers:
        workers.start(Task(name="t", function=cluster_work.compile_for_ever, arguments=(begun,)))
        until(lambda: any(begun.iterdir()), whole.log("a"))
        (number,) = (int(path.name) for path in begun.iterdir())
        assert is_running(number)
        if how == "cancelled":
            workers.cancel()
            assert list(workers.finished()) == []
            until(lambda: not is_running(number), whole.log("a"))
    until(lambda: not is_running(number), whole.log("a"))


def test_a_worker_that_is_told_to_go_leaves_its_task_to_others(cluster: LocalCluster, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with connect(cluster.address, Silent()) as workers:
        workers.start(Task(name="t", function=cluster_work.compile_for_ever, arguments=(begun,)))
        until(lambda: any(begun.iterdir()), cluster.log("a"))
        (number,) = (int(path.name) for path in begun.iterdir())
        name = cluster.parent_of(number)
        cluster.workers[name].terminate()
        assert collected(workers) == {"t": "elsewhere"}
    until(lambda: not is_running(number), cluster.log(name))


def test_a_scheduler_that_goes_away_ends_it(cluster: LocalCluster, tmp_path: Path) -> None:
    with connect(cluster.address, Silent()) as workers:
        workers.start(Task(name="t", function=cluster_work.slowly, arguments=(1, tmp_path, 60)))
        until(lambda: any(tmp_path.glob("1.*")), cluster.log("a"))
        cluster.end_scheduler()
        started = time.monotonic()
        (error,) = collected(workers).values()
    assert time.monotonic() - started < 60
    assert isinstance(error, MissingError)
    assert f"{cluster.address} went away" in str(error)


def test_without_any_worker_it_waits_for_a_while(cluster: LocalCluster, tmp_path: Path) -> None:
    with connect(cluster.address, Silent(), patience=2) as workers:
        workers.start(Task(name="t", function=cluster_work.slowly, arguments=(1, tmp_path, 30)))
        for name in ("a", "b"):
            cluster.kill(name)
        (error,) = collected(workers).values()
    assert isinstance(error, MissingError)
    assert "has had no worker for 2 s" in str(error)


def test_workers_say_what_they_are(cluster: LocalCluster) -> None:
    cluster.add("c", "--resources", "wheelferry=1", variables={"PYTHONPATH": "/nowhere"})
    with connect(cluster.address, Silent()) as workers:
        assert {worker.host for worker in workers.workers()} == {"127.0.0.1"}
        assert [worker.threads for worker in workers.workers()] == [1, 1, 1]
        assert sum(worker.declared for worker in workers.workers()) == 1
        assert list(workers.ask(describe_builder).values()) == [describe_builder()] * 3


def test_a_worker_without_wheelferry_is_named(tmp_path: Path) -> None:
    hiding = tmp_path / "hiding"
    (hiding / "wheelferry").mkdir(parents=True)
    (hiding / "wheelferry" / "__init__.py").write_text("", "utf-8")
    with LocalCluster(tmp_path) as cluster:
        cluster.add("a", variables={"PYTHONPATH": str(hiding)})
        command = ["build", "sample@1.0", "--without-ops", "--scheduler", cluster.address]
        done = wheelferry(*command, "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "workers that cannot build for this machine" in done.stderr
    assert "No module named" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--scheduler", "carrier://pigeon"], 2, "unknown address scheme"),
        (["--scheduler", "tls://127.0.0.1:9"], 2, "names no certificates"),
        (["--builders", "2"], 2, "add --scheduler ADDRESS"),
        (["--scheduler", "tcp://127.0.0.1:9"], 3, "does not answer"),
    ],
)
def test_a_scheduler_that_cannot_be_used(options: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = wheelferry("build", "sample@1.0", *options, "--out", tmp_path / "out")
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    with LocalCluster(tmp_path) as cluster:
        done = wheelferry("build", "sample@1.0", "--scheduler", cluster.address, "--out", tmp_path / "out")
    assert done.returncode == 3
    assert f"start some: dask worker {cluster.address}" in done.stderr
