"""Large files that come into a store for a while: whose they are, also after a kill."""

import json
from pathlib import Path

import pytest

from wheelferry.cache import transient
from wheelferry.cache.store import Store
from wheelferry.cache.transient import discard_afterwards


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(transient, "LARGE", 10)
    return Store(tmp_path / "store")


def add(store: Store, text: str) -> str:
    store.root.mkdir(exist_ok=True)
    path = store.root / "new"
    path.write_text(text, "ascii")
    return store.add(path).sha256


def killed(store: Store, *, kept: set[str]) -> None:
    """What is left of a run that had noted these."""
    (store.root / "transient").mkdir()
    (store.root / "transient" / "0badc0de.json").write_text(json.dumps(sorted(kept)), "ascii")


def test_what_came_goes_and_what_was_there_stays(store: Store) -> None:
    before = add(store, "large from before")
    with discard_afterwards(store) as files:
        first, small = add(store, "large, for a cell"), add(store, "small")
        assert files.discard() == len("large, for a cell")
        assert store.object_names() == {before, small}
        second = add(store, "large, for the next one")
    assert store.object_names() == {before, small}
    assert not {first, second} & store.object_names()
    assert list((store.root / "transient").iterdir()) == []


def test_what_a_killed_run_brought_goes_with_the_next(store: Store) -> None:
    before = add(store, "large from before")
    add(store, "large, of the killed run")
    killed(store, kept={before})
    with discard_afterwards(store) as files:
        assert files.discard() > 0
        assert store.object_names() == {before}
    assert list((store.root / "transient").iterdir()) == []


def test_an_error_removes_them_too(store: Store) -> None:
    def interrupted() -> None:
        with discard_afterwards(store):
            add(store, "large, for a cell")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.object_names() == set()


def test_of_several_at_once_the_last_to_end_removes_them(store: Store) -> None:
    with discard_afterwards(store) as first:
        one = add(store, "large, of the first")
        with discard_afterwards(store) as second:
            other = add(store, "large, of the second")
            assert (first.discard(), second.discard()) == (0, 0)
        assert store.object_names() == {one, other}
    assert store.object_names() == set()
