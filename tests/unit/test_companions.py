"""Packages that are compiled against torch: held to what goes with it, and taken from where it comes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from packaging.version import Version

from conftest import EMPTY_ELF, RECIPE, TARGET, write_wheel
from wheelferry.build.strategy import choose_strategies
from wheelferry.cache.pip_config import IndexSettings
from wheelferry.cache.uv import Uv, find_uv
from wheelferry.catalog import shipped_companions, shipped_torch
from wheelferry.errors import InputError, MissingError
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Plan
from wheelferry.models.planning.requirements import given_with
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.tables.companions import limits
from wheelferry.system.process import Completed


def a_plan(*required: str) -> Plan:
    return make_plan(
        parse_recipe(RECIPE, file="tiny.toml"),
        "1.0",
        [TARGET],
        required=[given_with(line) for line in required],
        companions=shipped_companions(),
    )


@pytest.mark.parametrize(
    ("torch", "expected"),
    [
        ("2.13.0", ("torchaudio>=2.11", "torchcodec>=0.12")),
        ("2.10.0", ("torchaudio<2.11", "torchcodec<0.11,>=0.10")),
        ("2.4.1", ("torchaudio<2.11", "torchcodec==0.0.3")),
        ("1.13.1", ("torchaudio<2.11",)),
    ],
)
def test_what_goes_with_a_torch(torch: str, expected: tuple[str, ...]) -> None:
    found = limits(shipped_companions(), torch)
    assert [sorted(re.split(r",|(?<=[a-z])(?=[<>=])", one)) for one in found] == [
        sorted(re.split(r",|(?<=[a-z])(?=[<>=])", one)) for one in expected
    ]


def test_every_torch_has_at_most_one_row_of_each_package() -> None:
    for entry in shipped_torch():
        rows = [row.package for row in shipped_companions() if row.torch.contains(entry.version)]
        assert len(rows) == len(set(rows)), entry.version
        assert Version(entry.version) < Version("2.4") or "torchcodec" in rows


def test_it_limits_what_is_shipped_and_not_what_identifies_a_build() -> None:
    (cell,) = a_plan().cells
    assert set(cell.companions) <= set(cell.shipped_constraints)
    assert not set(cell.companions) & set(cell.constraints)


def test_a_requirement_of_another_torchs_is_refused_before_anything_is_done() -> None:
    with pytest.raises(InputError, match=r"compiled with another torch; .* torchcodec>=0\.12"):
        a_plan("torchcodec==0.8.1")
    a_plan("torchcodec", "torchaudio>=2")


def test_a_given_wheel_of_another_torchs_is_refused(tmp_path: Path) -> None:
    files = {"tiny/_C.cpython-311-x86_64-linux-gnu.so": EMPTY_ELF}
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    own = write_wheel(tmp_path, "tiny", "1.0+pt2.13.0cpu", tag=tag, files=files, stamp=b"{}")
    wheel = write_wheel(tmp_path, "torchaudio", "2.8.0")
    with pytest.raises(InputError, match=r"serves no target: .* goes torchaudio>=2\.11"):
        choose_strategies(a_plan(), [own, wheel])
    fitting = write_wheel(tmp_path, "torchaudio", "2.11.1+cpu")
    assert choose_strategies(a_plan(), [own, fitting]).dependencies == (fitting,)


class Resolver:
    """Stands in for uv: answers with some packages, and keeps what it was asked."""

    def __init__(self, *names: str, said: str = "", status: int = 0) -> None:
        self.names, self.said, self.status = names, said, status
        self.asked: list[str] = []
        self.warned: list[str] = []

    def __call__(self, _: Sequence[str | Path], *, cwd: Path, **__: object) -> Completed:
        self.asked.append((cwd / "pyproject.toml").read_text("utf-8"))
        packages = "".join(f'[[packages]]\nname = "{name}"\n' for name in self.names)
        (cwd / "pylock.toml").write_text(packages, "utf-8")
        return Completed(returncode=self.status, output=self.said)

    def resolve(self, work: Path, torch_index: str | None = None) -> str:
        settings = IndexSettings(index_url="https://index.example/simple")
        uv = Uv(program=find_uv(), run=self, index=settings, warn=self.warned.append)  # type: ignore[arg-type]
        return uv.resolve(
            TARGET,
            requirements=["torch==2.13.0", "viewer"],
            constraints=[],
            find_links=None,
            interpreter=None,
            work=work,
            torch_index=torch_index,
        )


def test_what_others_require_of_torchs_index_comes_from_there_too(tmp_path: Path) -> None:
    """uv knows the index of what is asked for alone: so that is asked for, in a second resolution."""
    resolver = Resolver("torch", "torchvision", "viewer")
    resolver.resolve(tmp_path, "https://torch.example/cpu")
    first, second = resolver.asked
    assert '"torchvision",' not in first.partition("[tool")[0]
    assert '"torchvision",' in second.partition("[tool")[0]
    assert "[tool.uv.sources.torchaudio]" in first


@pytest.mark.parametrize("names", [("torch", "viewer"), ("torch", "torchvision")])
def test_without_an_index_of_torch_or_such_packages_one_resolution_will_do(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    resolver = Resolver(*names)
    resolver.resolve(tmp_path, "https://torch.example/cpu" if "viewer" in names else None)
    assert len(resolver.asked) == 1


def test_a_folder_is_asked_for_what_it_has(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "torchaudio", "2.11.1")
    resolver = Resolver("torch")
    resolver.resolve(tmp_path, str(tmp_path / "wheels"))
    assert "[tool.uv.sources.torchaudio]" in resolver.asked[0]
    assert "[tool.uv.sources.torchcodec]" not in resolver.asked[0]


def test_yanked_releases_and_unknown_extras_are_told(tmp_path: Path) -> None:
    said = (
        "warning: The requested Python version 3.11 is not available\nResolved 2 packages in 1ms\n"
        'warning: `attrs==21.1.0` is yanked (reason: "broken")\n'
        "warning: The package `viewer==1.0` does not have an extra named `gone`\n"
    )
    resolver = Resolver("torch", said=said)
    resolver.resolve(tmp_path)
    assert resolver.warned == [
        'attrs==21.1.0 is yanked (reason: "broken")',
        "The package viewer==1.0 does not have an extra named gone",
    ]


HINTS: Mapping[str, str] = {
    "error: x was not found in the package registry": "the index is https://index.example/simple",
    "error: x was not found in the provided package locations": "the index is https://index.example/simple",
    "error: Failed to build `sklearn==0.0`": "require another release of sklearn",
    "error: no solution": "choose another torch or Python",
}


@pytest.mark.parametrize("said", HINTS)
def test_a_failure_says_what_to_do_about_it(said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Resolver(said=f"warning: of no use\n{said}", status=1).resolve(tmp_path)
    assert "of no use" not in str(caught.value)
    assert (caught.value.hint or "").startswith(HINTS[said])


def test_a_cache_of_uvs_own_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        Resolver(said="error: Failed to initialize cache at `/proc/x`", status=1).resolve(tmp_path)
    assert "UV_CACHE_DIR" in (caught.value.hint or "")
