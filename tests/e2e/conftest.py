"""One cache for the end-to-end tests, so that torch is downloaded once."""

import shutil
from collections.abc import Iterator

import pytest

from ferry import Ferry


@pytest.fixture(scope="session")
def ferry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ferry]:
    folder = tmp_path_factory.mktemp("e2e")
    yield Ferry(folder / "cache ü")
    shutil.rmtree(folder)
