"""Weights and data on the client: where they land, who finds them there, who may write there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from carried import R50, WEIGHTS, make_bundle, make_env, quiet, two_assets
from wheelferry.client.common.bundle import Bundle
from wheelferry.client.common.errors import Damaged, InstallFailed
from wheelferry.client.installer import hook
from wheelferry.client.installer.assets import place_assets


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return two_assets(tmp_path / "stick ü")


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return make_env(tmp_path / "pre fix ü" / "envs" / "1")


def test_without_assets_nothing_is_written(tmp_path: Path) -> None:
    assert place_assets(make_bundle(tmp_path / "b", {}), str(tmp_path / "no env"), None, quiet) == []


def test_files_of_no_root_need_no_hook(tmp_path: Path, env: Path) -> None:
    bundle = make_bundle(tmp_path / "b", {"assets/files/x.pkl": b"x"})
    bundle.asset_variables = {}
    assert place_assets(bundle, str(env), None, quiet) == ["assets/files/x.pkl"]


def test_the_same_file_is_linked_from_the_environment_before(bundle: Bundle, env: Path) -> None:
    place_assets(bundle, str(env), None, quiet)
    second = make_env(env.parent / "2")
    Path(bundle.path(R50)).unlink()  # it is not even read
    heard: list[int] = []
    place_assets(bundle, str(second), str(env), heard.append)
    assert (second / R50).samefile(env / R50)
    assert sum(heard) == sum(size for size, _ in bundle.files.values())


def test_a_second_run_replaces_what_the_first_one_left(bundle: Bundle, env: Path) -> None:
    """As in an environment that was there before, or after a run that was killed."""
    place_assets(bundle, str(env), None, quiet)
    (env / R50).write_bytes(b"half")
    (env / "assets/datasets/shapes/list").write_bytes(b"half")
    (env / "assets/datasets/shapes/all.tar.gz.part").mkdir()
    (env / "assets/datasets/shapes/all.tar.gz.part/list").write_bytes(b"half")
    written = place_assets(bundle, str(env), None, quiet)
    assert (env / R50).read_bytes() == WEIGHTS
    assert (env / "assets/datasets/shapes/list").read_bytes() == b"2"
    assert {p.relative_to(env).as_posix() for p in (env / "assets").rglob("*") if p.is_file()} == {
        name for name in written if name.startswith("assets/")
    }


@pytest.mark.parametrize("damage", [WEIGHTS[::-1], WEIGHTS + b"!", None])
def test_another_file_of_that_name_is_not_linked(bundle: Bundle, env: Path, damage: bytes | None) -> None:
    place_assets(bundle, str(env), None, quiet)
    (env / R50).unlink()
    if damage is not None:
        (env / R50).write_bytes(damage)
    second = make_env(env.parent / "2")
    place_assets(bundle, str(second), str(env), quiet)
    assert (second / R50).read_bytes() == WEIGHTS


def test_bytes_that_change_after_they_were_verified_do_not_land(bundle: Bundle, env: Path) -> None:
    Path(bundle.path(R50)).write_bytes(WEIGHTS[::-1])
    with pytest.raises(Damaged, match=r"R-50\.pkl changed while it was read"):
        place_assets(bundle, str(env), None, quiet)
    assert not list((env / "assets").rglob("R-50*"))


def test_a_folder_that_is_no_environment(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InstallFailed, match="is not a Python environment"):
        place_assets(bundle, str(tmp_path / "empty"), None, quiet)


def test_the_hook_finds_nothing_in_a_folder_without_the_landmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "__file__", str(tmp_path / "lib" / "wheelferry_assets.py"))
    monkeypatch.delenv("TINY_CACHE", raising=False)
    hook.point({"TINY_CACHE": "assets/cache"}, "1")
    assert "TINY_CACHE" not in os.environ


@pytest.fixture
def point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the hook of an environment that somebody else made, in an account of our own."""
    env = tmp_path / "opt" / "envs" / "1"
    (env / R50).parent.mkdir(parents=True)
    (env / R50).write_bytes(WEIGHTS)
    (env / R50).with_name("R-50.pkl.lock").write_bytes(b"")
    (env / "assets/cache/latest").symlink_to("models")
    (env / hook.LANDMARK).write_text("{}")
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(hook, "__file__", str(env / "lib" / "wheelferry_assets.py"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    real: Callable[[str], bool] = hook._is_own
    monkeypatch.setattr(hook, "_is_own", lambda folder: not folder.startswith(str(env)) and real(folder))

    def run(identity: str = "1") -> Path:
        monkeypatch.delenv("TINY_CACHE", raising=False)
        hook.point({"TINY_CACHE": "assets/cache"}, identity)
        return Path(os.environ["TINY_CACHE"])

    return run


def test_who_may_not_write_gets_a_folder_of_his_own(point: Callable[..., Path], tmp_path: Path) -> None:
    root = point()
    assert root.parent == tmp_path / "home/.cache/wheelferry/assets"
    seen = root / "models/MSRA/R-50.pkl"
    assert seen.read_bytes() == (root / "latest/MSRA/R-50.pkl").read_bytes() == WEIGHTS
    assert seen.is_symlink()
    # the lock file of whoever may write there is of no use: it could not be opened
    assert not seen.with_name("R-50.pkl.lock").exists()
    seen.with_name("R-50.pkl.lock").write_bytes(b"")
    assert point() == root
    assert point("2") != root


def test_what_was_begun_is_completed(point: Callable[..., Path]) -> None:
    root = point()
    (root / hook.COMPLETE).unlink()
    (root / "models/MSRA/R-50.pkl").unlink()
    assert (point() / "models/MSRA/R-50.pkl").read_bytes() == WEIGHTS


def refuse(*_: object) -> None:
    raise OSError(1314, "a required privilege is not held by the client")


def test_where_no_links_can_be_made_files_are_copied(
    point: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    seen = point() / "models/MSRA/R-50.pkl"
    assert not seen.is_symlink()
    assert seen.read_bytes() == WEIGHTS


def test_without_a_home_the_temporary_folder_serves(
    point: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "_cache", lambda: None)
    base = point().parent
    assert base == tmp_path / "tmp" / f"wheelferry-{os.geteuid()}"
    assert base.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["open", "link"])
def test_a_temporary_folder_that_others_could_fill_is_not_used(
    point: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(hook, "_cache", lambda: None)
    base = tmp_path / "tmp" / f"wheelferry-{os.geteuid()}"
    if trap == "open":
        base.mkdir()
        base.chmod(0o777)
    else:
        (tmp_path / "evil").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "evil")
    assert point() == tmp_path / "opt/envs/1/assets/cache"


def test_the_home_of_somebody_else_is_left_alone(
    point: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with sudo, where HOME may still be the user's."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert hook._cache() is None
    assert list((tmp_path / "home").iterdir()) == []
