"""What of the user's settings reaches uv."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.models.targets import Target
from wheelferry.system.process import Completed

TARGET = Target(python="3.12", platform="manylinux_2_28_x86_64", torch="2.13.0", backend="default")
DECIDING = {
    "UV_RESOLUTION": "lowest", "UV_PRERELEASE": "allow", "UV_OVERRIDE": "no.txt", "UV_TORCH_BACKEND": "cpu",
    "UV_NO_BINARY": "1", "UV_NO_BINARY_PACKAGE": "numpy", "UV_PYTHON": "3.9", "VIRTUAL_ENV": "/nowhere",
}  # fmt: skip
OWN = {"UV_EXCLUDE_NEWER": "2026-01-01", "UV_HTTP_TIMEOUT": "7", "UV_KEYRING_PROVIDER": "subprocess"}


def test_variables_that_decide_what_is_resolved_are_kept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**DECIDING, **OWN}.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, Any] = {}

    def run(command: list[str | Path], *, env: Mapping[str, str], **_: object) -> Completed:
        seen.update(command=[str(word) for word in command], env=env)
        Path(seen["command"][seen["command"].index("--output-file") + 1]).write_text("lock", "utf-8")
        return Completed(returncode=0, output="")

    uv = Uv(program=find_uv(), run=run, index=IndexSettings())  # type: ignore[arg-type]
    uv.resolve(
        TARGET, requirements=["numpy"], constraints=[], find_links=None, interpreter=None, work=tmp_path / "w"
    )
    assert DECIDING.keys() & seen["env"].keys() == set()
    assert {name: seen["env"][name] for name in OWN} == OWN
    asked = seen["command"]
    assert asked[asked.index("--resolution") + 1] == "highest"
