"""The process that setup.py starts to compile for Windows: its settings, its request, its exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from wheelferry.crosscompile import Settings, main, read_settings, write_settings
from wheelferry.errors import BuildError
from wheelferry.platforms import mingw


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        python=(3, 11),
        python_headers=tmp_path / "python",
        torch=mingw.TorchParts(version=Version("2.13.0"), include=tmp_path / "i", library=tmp_path / "l.lib"),
        toolchain=mingw.Toolchain(
            compiler=Path("/usr/bin/g++"),
            dlltool=Path("/usr/bin/dlltool"),
            nm=Path("/usr/bin/nm"),
            version="12",
        ),
        root=tmp_path,
        work=tmp_path / "objects ü",
    )


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    wanted = {
        "module": "_C",
        "sources": [str(tmp_path / "a.cpp")],
        "include": [str(tmp_path / "csrc")],
        "macros": {"A": None},
        "flags": ["-O1"],
        "out": str(tmp_path / "out" / "_C.cp311-win_amd64.pyd"),
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(wanted), "utf-8")
    return path


def test_settings_come_back_as_they_were(settings: Settings, tmp_path: Path) -> None:
    write_settings(settings, tmp_path / "s.json")
    assert read_settings(tmp_path / "s.json") == settings


def test_the_module_lands_where_setup_py_expects_it(
    settings: Settings, request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def compile_module(**options: Any) -> Path:
        asked.update(options)
        options["out"].mkdir()
        made: Path = options["out"] / "_C.made.pyd"
        made.write_bytes(b"MZ")
        return made

    monkeypatch.setattr(mingw, "compile_module", compile_module)
    write_settings(settings, tmp_path / "s.json")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 0
    assert (tmp_path / "out" / "_C.cp311-win_amd64.pyd").read_bytes() == b"MZ"
    assert asked["sources"] == [tmp_path / "a.cpp"]
    assert asked["include"] == [tmp_path / "csrc"]
    assert (asked["macros"], asked["flags"]) == ({"A": None}, ["-O1"])
    assert (asked["python"], asked["torch"]) == ((3, 11), settings.torch)


def test_what_does_not_compile_is_told(
    settings: Settings,
    request_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compile_module(**_: Any) -> Path:
        raise BuildError("a.cpp: the facade has no at::fft", hint="see docs/facade.md")

    monkeypatch.setattr(mingw, "compile_module", compile_module)
    write_settings(settings, tmp_path / "s.json")
    assert main([str(tmp_path / "s.json"), str(request_file)]) == 1
    assert capsys.readouterr().err.splitlines() == ["a.cpp: the facade has no at::fft", "see docs/facade.md"]
