"""Which torch is taken: real uv over folders of synthesised wheels; no network."""

from pathlib import Path

import pytest

from conftest import write_wheel
from wheelferry.build.dependencies.lock import require_same_build
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.errors import InputError
from wheelferry.models.lock import choose_files
from wheelferry.models.targets import Target
from wheelferry.system.process import run

TARGET = Target(python="3.11", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="cpu")
TAG = "cp311-cp311-manylinux_2_28_x86_64"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """What the user's own index has: the usual torch and torchvision, and a leaf."""
    house = tmp_path / "own index"
    write_wheel(house, "torch", "2.13.0", tag=TAG)
    write_wheel(house, "torchvision", "0.28.0", requires=["torch==2.13.0", "leaf"], tag=TAG)
    write_wheel(house, "leaf", "1.5")
    return house


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    """What PyTorch's CPU index has; its leaf is newer and must not be taken."""
    builds = tmp_path / "cpu büilds"
    write_wheel(builds, "torch", "2.13.0+cpu", tag=TAG)
    write_wheel(builds, "torchvision", "0.28.0+cpu", requires=["torch==2.13.0", "leaf"], tag=TAG)
    write_wheel(builds, "leaf", "1.6")
    return builds


def resolved(tmp_path: Path, house: Path, torch_index: Path | None) -> dict[str, str]:
    """Versions that uv chooses for torch and torchvision and what they need."""
    index = IndexSettings(find_links=(str(house),), no_index=True)
    resolution = Uv(program=find_uv(), run=run, index=index).resolve(
        TARGET,
        requirements=["torch==2.13.0", "torchvision"],
        constraints=["torchvision==0.28.0"],
        find_links=None,
        interpreter=None,
        work=tmp_path / "work",
        torch_index=str(torch_index) if torch_index else None,
    )
    choices = choose_files(resolution, TARGET, base=tmp_path / "work")
    require_same_build(choices)
    return {choice.name: str(choice.version) for choice in choices}


def test_torch_comes_from_its_index_and_all_else_from_the_users(
    tmp_path: Path, house: Path, builds: Path
) -> None:
    expected = {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu", "leaf": "1.5"}
    assert resolved(tmp_path, house, builds) == expected


def test_without_an_index_for_torch_the_users_serves_it(tmp_path: Path, house: Path) -> None:
    expected = {"torch": "2.13.0", "torchvision": "0.28.0", "leaf": "1.5"}
    assert resolved(tmp_path, house, None) == expected


def test_an_index_without_torchvision_is_not_completed_from_another(
    tmp_path: Path, house: Path, builds: Path
) -> None:
    next(builds.glob("torchvision-*")).unlink()
    with pytest.raises(InputError, match="torchvision"):
        resolved(tmp_path, house, builds)


def test_builds_are_not_mixed(tmp_path: Path, house: Path) -> None:
    """A find-links folder with torch+cpu beside an index's torchvision: resolvable, and broken."""
    write_wheel(house, "torch", "2.13.0+cpu", tag=TAG)
    with pytest.raises(InputError, match="of different builds") as caught:
        resolved(tmp_path, house, None)
    assert "torchvision-0.28.0-" in str(caught.value)
    assert "--backend cpu" in (caught.value.hint or "")
