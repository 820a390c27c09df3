"""A person's own packages (``~/.local``), which hide those of an environment that is no virtual one."""

import sys
import venv
from pathlib import Path
from types import SimpleNamespace

from wheelferry.client.common.bundle import Pin
from wheelferry.client.common.console import Console
from wheelferry.client.installer.existing_environment import _shadowed, open_existing

PINS = [Pin("torch", "2.13.0", "0" * 64, "w"), Pin("numpy", "2.5.5", "0" * 64, "w")]


def hides(user_site: Path | None) -> list[str]:
    request = SimpleNamespace(target=SimpleNamespace(pins=PINS))
    return list(_shadowed(request, SimpleNamespace(user_site=user_site and str(user_site))))


def test_what_would_be_hidden_is_named_with_what_to_do(tmp_path: Path) -> None:
    for name in ("torch-2.9.0", "requests-2.32.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
    (said,) = hides(tmp_path)
    assert said.startswith(f"{tmp_path} has torch 2.9.0, which the Python of this environment takes first")
    assert "PYTHONNOUSERSITE=1" in said


def test_other_packages_and_none_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "requests-2.32.0.dist-info").mkdir()
    assert hides(tmp_path) == hides(tmp_path / "absent") == hides(None) == []


def test_a_virtual_environment_does_not_look_there_and_any_other_does(tmp_path: Path) -> None:
    """With the system's packages too: those of the environment come before the person's own then."""
    console = Console(unattended=True, quiet=True)
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=True, symlinks=True)
    assert open_existing(str(tmp_path / "env"), console).user_site is None
    base = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    assert open_existing(str(base), console).user_site
