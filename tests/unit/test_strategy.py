"""How each cell comes by its wheel: compiled here, without ops, or given; decided before anything is done."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version

from conftest import RECIPE, TARGET, write_wheel
from wheelferry.build import populate, prebuilt
from wheelferry.build.capability import has_compiler, suits_stable_abi
from wheelferry.build.cells import Outcome
from wheelferry.build.compile import Built
from wheelferry.build.dependencies.lock import lock
from wheelferry.build.populate import NeedsCompilerError
from wheelferry.build.prebuilt import take_prebuilt
from wheelferry.build.prepare import CompiledAgainst
from wheelferry.build.strategy import BuildStrategy, choose_strategies
from wheelferry.cache.store import Entry
from wheelferry.cache.tools import Tools
from wheelferry.cache.uv import NeedsTorchError
from wheelferry.errors import (
    BuildError,
    InputError,
    IntegrityError,
    MissingError,
    MissingPythonError,
    WheelferryError,
)
from wheelferry.models.lock import Choice
from wheelferry.models.planning.build_key import required_modules
from wheelferry.models.planning.make_plan import WINDOWS_RUNTIME, make_plan, plan_digest
from wheelferry.models.planning.plan import Plan
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import Target
from wheelferry.progress import Silent
from wheelferry.system.interpreters import Interpreter
from wheelferry.wheels.read import read_wheel

WINDOWS = replace(TARGET, platform="win_amd64", backend="default")
ARM = replace(TARGET, platform="manylinux_2_28_aarch64", backend="default")
OURS = "1.0+pt2.13.0"
STABLE = f"{OURS}.stable"
MODULE = {"tiny/_C.cp311-win_amd64.pyd": b"MZ"}
TORCH = {"version": "2.13.0", "sha256": "ab" * 32}
PYTHON = Interpreter(path=Path("python3.11"), version="3.11.7", headers=Path("include"))


def recipe(ops: str = "required", *, stable_abi: bool = False) -> Recipe:
    text = RECIPE.replace('python = ">=3.10,<3.15"', 'python = ">=3.10,<3.15"\nwindows = ">=3.10,<3.15"')
    text = text.replace('features = ["ops"]', f'features = ["fast"]\nops = "{ops}"')
    text = text.replace("build = { ", f"build = {{ stable_abi = {str(stable_abi).lower()}, ")
    removal = (
        '[[substitutions]]\nwithout_ops = true\nfile = "setup.py"\nold = "[ext]"\nnew = "[]"\ncount = 1\n'
    )
    return parse_recipe(text + removal, file="tiny.toml")


def a_plan(*targets: Target, ops: str = "required", without_ops: bool = False) -> Plan:
    return make_plan(recipe(ops), "1.0", targets or (WINDOWS,), without_ops=without_ops)


def stable_plan(*targets: Target) -> Plan:
    return make_plan(recipe(), "1.0", targets or (WINDOWS,), on_stable_abi=targets or (WINDOWS,))


def stamp(**changes: Any) -> bytes:
    return json.dumps({"source": "0" * 64, "torch": TORCH, **changes}).encode()


def own_wheel(folder: Path, *, version: str = OURS, mark: bytes | None = None, **more: Any) -> Path:
    tag = more.pop("tag", "cp311-cp311-win_amd64")
    return write_wheel(folder, "tiny", version, tag=tag, stamp=mark, files=MODULE, **more)


def fix_platform(monkeypatch: pytest.MonkeyPatch, *, system: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: "AMD64" if system == "win32" else "x86_64")


# ------------------------------------------------------------------------------------------------ choosing


def test_another_platform_is_refused_with_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    old = replace(WINDOWS, torch="2.9.1")
    with pytest.raises(
        InputError, match=r"compiled ops for cp311-win_amd64-torch2_9_1-default.*2\.10"
    ) as caught:
        choose_strategies(a_plan(old, TARGET))
    assert TARGET.name not in str(caught.value)
    for way in ("--wheel FILE", "wheelferry merge", "--without-ops"):
        assert way in (caught.value.hint or "")


@pytest.mark.parametrize(("system", "own", "other"), [("linux", TARGET, WINDOWS), ("win32", WINDOWS, TARGET)])
def test_a_machine_compiles_for_its_own_platform(
    system: str, own: Target, other: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system=system)
    assert choose_strategies(a_plan(own)).by_target == {own: BuildStrategy.NATIVE}
    if system == "win32":
        with pytest.raises(InputError, match="this machine is win32"):
            choose_strategies(a_plan(other))


def test_linux_compiles_for_windows_where_the_stable_abi_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    first, before = replace(WINDOWS, torch="2.10.0"), replace(WINDOWS, torch="2.9.1")
    found = [target for target in (TARGET, WINDOWS, first, before) if suits_stable_abi(target, recipe())]
    assert found == [WINDOWS, first]
    assert choose_strategies(stable_plan(WINDOWS, first)).by_target == dict.fromkeys(
        found, BuildStrategy.STABLE
    )
    with pytest.raises(InputError, match=r"from torch 2\.10 on"):
        choose_strategies(a_plan(before))
    with pytest.raises(InputError, match="for another platform they need torch's stable ABI"):
        choose_strategies(a_plan(WINDOWS))
    fix_platform(monkeypatch, system="win32")
    assert not suits_stable_abi(WINDOWS, recipe())


def test_the_stable_abi_is_taken_where_torch_and_the_recipe_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    covered = recipe(stable_abi=True)
    assert suits_stable_abi(TARGET, covered)
    assert not suits_stable_abi(TARGET, recipe())
    for change in ({"torch": "2.9.1"}, {"backend": "cu130"}):
        assert not suits_stable_abi(replace(TARGET, **change), covered)
        assert not suits_stable_abi(replace(ARM, **change), covered)
    assert suits_stable_abi(ARM, recipe()), "for another processor there is no other way"
    fix_platform(monkeypatch, system="win32")
    assert not suits_stable_abi(WINDOWS, covered)


def test_what_only_another_machine_compiles_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    before, cuda = replace(ARM, torch="2.9.1"), replace(ARM, backend="cu130")
    found = [target for target in (TARGET, ARM, before, cuda) if has_compiler(target, recipe())]
    assert found == [TARGET, ARM]
    fix_platform(monkeypatch, system="win32")
    assert [target for target in (TARGET, ARM, WINDOWS) if has_compiler(target, recipe())] == [WINDOWS]


def test_linux_compiles_for_itself_on_the_stable_abi_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    assert choose_strategies(stable_plan(TARGET)).by_target == {TARGET: BuildStrategy.STABLE}
    fix_platform(monkeypatch, system="win32")
    with pytest.raises(InputError, match="--stable-abi needs Linux"):
        choose_strategies(stable_plan(WINDOWS))


def test_cuda_ops_for_windows_need_windows_unless_the_experiment_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fix_platform(monkeypatch, system="linux")
    cuda, old = (replace(WINDOWS, backend=backend) for backend in ("cu130", "cu126"))
    assert not suits_stable_abi(cuda, recipe(stable_abi=True))
    assert not has_compiler(cuda, recipe())
    with pytest.raises(InputError, match="CUDA ops for Windows need Windows, or --stable-abi"):
        choose_strategies(a_plan(cuda))
    assert choose_strategies(stable_plan(cuda)).by_target == {cuda: BuildStrategy.STABLE}
    with pytest.raises(InputError, match=r"CUDA ops for Windows need Windows before CUDA 13"):
        choose_strategies(a_plan(old))


def test_linux_compiles_for_the_other_processor_on_the_stable_abi(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    assert choose_strategies(stable_plan(ARM)).by_target == {ARM: BuildStrategy.STABLE}
    with pytest.raises(InputError, match="CUDA ops for another processor need such a machine"):
        choose_strategies(a_plan(replace(ARM, backend="cu130")))
    with pytest.raises(InputError, match=r"for another processor .* from torch 2\.10 on"):
        choose_strategies(a_plan(replace(ARM, torch="2.9.1")))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InputError, match="this machine is linux, riscv64"):
        choose_strategies(stable_plan(ARM))


def test_a_wheel_on_the_limited_api_serves_every_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system="linux")
    wheel = own_wheel(tmp_path, version=STABLE, tag="cp310-abi3-win_amd64", mark=stamp(stable_abi="2.10"))
    others = [replace(WINDOWS, python=python) for python in ("3.12", "3.13")]
    assert choose_strategies(a_plan(WINDOWS, *others), [wheel]).prebuilt == dict.fromkeys(
        [WINDOWS, *others], wheel
    )


def test_without_ops_no_compiler_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    chosen = choose_strategies(a_plan(WINDOWS, TARGET, ops="optional", without_ops=True))
    assert set(chosen.by_target.values()) == {BuildStrategy.PYTHON_ONLY}
    assert chosen.need_source


def test_given_wheels_take_the_place_of_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_platform(monkeypatch, system="linux")
    wheel = own_wheel(tmp_path, mark=stamp())
    leaf = write_wheel(tmp_path, "leaf", "1.5", tag="cp311-cp311-win_amd64")
    older = replace(WINDOWS, python="3.12")
    plan = make_plan(recipe(), "1.0", [WINDOWS, TARGET, older], on_stable_abi=[WINDOWS, older])
    chosen = choose_strategies(plan, [wheel, leaf, wheel])
    assert chosen.prebuilt == {WINDOWS: wheel}
    assert chosen.by_target == {
        WINDOWS: BuildStrategy.PREBUILT,
        TARGET: BuildStrategy.NATIVE,
        older: BuildStrategy.STABLE,
    }
    assert chosen.dependencies == (leaf,)
    assert chosen.need_source
    assert not choose_strategies(a_plan(), [wheel]).need_source


@pytest.mark.parametrize(
    ("version", "tag", "mark", "said"),
    [
        (OURS, "cp312-cp312-win_amd64", stamp(), "its tags fit none"),
        ("1.0+pt2.12.0", "cp311-cp311-win_amd64", stamp(), r"wanted is 1\.0\+pt2\.13\.0"),
        ("1.1", "cp311-cp311-win_amd64", None, r"wanted is 1\.0"),
    ],
)
def test_a_wheel_that_serves_no_target(
    version: str, tag: str, mark: bytes | None, said: str, tmp_path: Path
) -> None:
    wheel = own_wheel(tmp_path, version=version, tag=tag, mark=mark)
    with pytest.raises(InputError, match=said):
        choose_strategies(a_plan(), [wheel])


def test_without_ops_a_wheel_of_somebody_else_is_refused_with_the_reason(tmp_path: Path) -> None:
    theirs = own_wheel(tmp_path, version="1.0")
    with pytest.raises(InputError, match="with --without-ops only a wheel that wheelferry built so"):
        choose_strategies(a_plan(ops="optional", without_ops=True), [theirs])


def test_dependencies_must_serve_a_target_too(tmp_path: Path) -> None:
    wheel = own_wheel(tmp_path, mark=stamp())
    leaf = write_wheel(tmp_path, "leaf", "1.5", tag="cp38-cp38-win_amd64")
    with pytest.raises(InputError, match=r"leaf-1\.5.*serves no target"):
        choose_strategies(a_plan(), [wheel, leaf])
    with pytest.raises(InputError, match="no such file"):
        choose_strategies(a_plan(), [tmp_path / "nowhere.whl"])


def test_two_wheels_for_one_target_are_one_too_many(tmp_path: Path) -> None:
    one = own_wheel(tmp_path / "a", mark=stamp())
    other = own_wheel(tmp_path / "b", mark=stamp(key="another build"))
    with pytest.raises(InputError, match="two wheels are given"):
        choose_strategies(a_plan(), [one, other])


def test_a_wheel_that_names_no_torch_serves_one_torch_alone(tmp_path: Path) -> None:
    cuda = replace(WINDOWS, backend="cu130")
    plan = make_plan(recipe(), "1.0", [WINDOWS, cuda], torch_index="https://torch.example/{backend}")
    theirs = own_wheel(tmp_path, version="1.0")
    with pytest.raises(InputError, match="does not say for which torch it was compiled") as caught:
        choose_strategies(plan, [theirs])
    assert "wheelferry merge" in (caught.value.hint or "")
    ours = [own_wheel(tmp_path, version=version, mark=stamp()) for version in (OURS, f"{OURS}cu130")]
    assert choose_strategies(plan, ours).prebuilt == dict(zip((WINDOWS, cuda), ours, strict=True))


def test_a_wheel_on_the_stable_abi_serves_every_torch_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system="linux")
    wheel = own_wheel(tmp_path, version=f"{OURS}.stable", mark=stamp(stable_abi="2.10"))
    first = replace(WINDOWS, torch="2.10.0")
    assert choose_strategies(stable_plan(WINDOWS, first), [wheel]).prebuilt == {WINDOWS: wheel, first: wheel}
    with pytest.raises(InputError, match=r"wanted is 1\.0, with torch 2\.10 or newer"):
        choose_strategies(a_plan(replace(WINDOWS, torch="2.9.1")), [wheel])
    with pytest.raises(InputError, match=r"it has code for the CPU alone, and what is wanted is CUDA 13\.0"):
        choose_strategies(a_plan(replace(WINDOWS, backend="cu130")), [wheel])
    other = own_wheel(tmp_path, version="1.1+pt2.13.0.stable", mark=stamp(stable_abi="2.10"))
    with pytest.raises(
        InputError, match=r"it is version 1\.1\+pt2\.13\.0\.stable, wanted is 1\.0, with torch"
    ):
        choose_strategies(stable_plan(WINDOWS), [other])


CUDA = replace(TARGET, backend="cu130")


def test_cuda_ops_are_compiled_on_the_stable_abi_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not unless asked: none of their kernels has run on a GPU."""
    fix_platform(monkeypatch, system="linux")
    assert choose_strategies(a_plan(CUDA)).by_target == {CUDA: BuildStrategy.NATIVE}
    asked = stable_plan(CUDA)
    assert choose_strategies(asked).by_target == {CUDA: BuildStrategy.STABLE}
    (cell,) = asked.cells
    assert (cell.wheel_version, cell.torch_requirement) == ("1.0+pt2.13.0cu130.stable", "torch>=2.10")
    assert cell.cuda is not None
    assert "torch==2.13.0" not in cell.build_requires


def test_a_cuda_wheel_on_the_stable_abi_serves_every_torch_with_such_a_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system="linux")
    mark = stamp(stable_abi="2.10", cuda={"version": "13.0", "architectures": ["9.0"]})
    tag = "cp310-abi3-manylinux_2_28_x86_64"
    wheel = own_wheel(tmp_path, version="1.0+pt2.13.0cu130.stable", tag=tag, mark=mark)
    served = [
        CUDA,
        replace(CUDA, torch="2.11.0", python="3.12"),
        replace(CUDA, torch="2.14.1", backend="cu132"),
    ]
    for target in served:
        assert choose_strategies(a_plan(target), [wheel]).prebuilt == {target: wheel}
    for backend, said in (
        ("cu126", r"it is compiled for CUDA 13\.0, and CUDA 12\.6 has another runtime"),
        ("cpu", r"it has code for CUDA 13\.0, and what is wanted is the CPU alone"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            choose_strategies(a_plan(replace(TARGET, backend=backend)), [wheel])
        assert "--backend" in (caught.value.hint or "")
    newer = stamp(stable_abi="2.10", cuda={"version": "13.2", "architectures": ["9.0"]})
    other = own_wheel(tmp_path / "newer", version="1.0+pt2.14.1cu132.stable", tag=tag, mark=newer)
    with pytest.raises(InputError, match=r"compiled with CUDA 13\.2, newer than CUDA 13\.0"):
        choose_strategies(a_plan(CUDA), [other])


# ------------------------------------------------------------------------------------------ plans without ops


def test_only_a_release_that_is_of_use_without_ops_can_leave_them_out() -> None:
    with pytest.raises(InputError, match="of no use without its compiled ops"):
        a_plan(without_ops=True)


def test_the_gpus_of_a_profile_are_no_obstacle_to_a_build_without_ops() -> None:
    """--profile fills in the client's GPU architectures, whatever is built for it."""
    cuda = replace(WINDOWS, backend="cu130")
    plan = make_plan(
        recipe("optional"),
        "1.0",
        [cuda],
        torch_index="https://torch.example",
        without_ops=True,
        cuda_architectures=["9.0"],
    )
    assert plan.cells[0].cuda is None


def test_a_cell_without_ops_differs_where_it_should() -> None:
    (with_ops,), (without,) = a_plan(ops="optional").cells, a_plan(ops="optional", without_ops=True).cells
    assert [s.without_ops for s in without.substitutions] == [True]
    assert with_ops.substitutions == ()
    assert without.wheel_version == "1.0+pt2.13.0.noops"
    assert (required_modules(recipe(), with_ops), required_modules(recipe(), without)) == (("tiny._C",), ())
    assert "torch==2.13.0" in with_ops.build_requires
    assert "torch==2.13.0" not in without.build_requires
    assert "torch==2.13.0" in without.requirements
    digests = {plan_digest(recipe("optional"), "1.0", WINDOWS, without_ops=flag) for flag in (True, False)}
    assert len(digests) == 2


def test_a_cell_on_the_stable_abi_differs_where_it_should() -> None:
    (tied,), (stable,) = a_plan(TARGET).cells, stable_plan(TARGET).cells
    assert (tied.wheel_version, stable.wheel_version) == ("1.0+pt2.13.0cpu", "1.0+pt2.13.0cpu.stable")
    assert stable.tied_version == tied.wheel_version
    assert (tied.torch_requirement, stable.torch_requirement) == ("torch==2.13.0", "torch>=2.10")
    assert "torch==2.13.0" not in stable.build_requires
    assert "torch==2.13.0" in stable.requirements
    assert required_modules(recipe(), stable) == ("tiny._C",)


@pytest.mark.parametrize(
    ("target", "more", "said"),
    [
        (replace(TARGET, torch="2.9.1"), {}, "torch 2.9.1 has no stable ABI for compiled ops"),
        (replace(TARGET, backend="cu126"), {}, "CUDA ops are compiled on torch's stable ABI from CUDA 13 on"),
        (TARGET, {"without_ops": True}, "--without-ops leaves them out"),
    ],
)
def test_what_cannot_be_on_the_stable_abi_is_refused(target: Target, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_plan(recipe("optional"), "1.0", [target], on_stable_abi=[target], **more)


def test_windows_gets_the_runtime_of_its_compiler() -> None:
    for_windows, for_linux = a_plan(WINDOWS, TARGET).cells
    assert WINDOWS_RUNTIME in for_windows.requirements
    assert WINDOWS_RUNTIME not in for_linux.requirements


# ---------------------------------------------------------------------------------------------- given wheels


@pytest.fixture(autouse=True)
def _python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prebuilt, "find_interpreter", lambda *_, **__: PYTHON)


def test_a_wheel_of_ours_stays_as_it_is(tmp_path: Path, tools: Tools) -> None:
    wheel = own_wheel(tmp_path, mark=stamp())
    plan = a_plan()
    built = take_prebuilt(plan, plan.cells[0], wheel, tools)
    assert tools.store.path(built.wheel.sha256).read_bytes() == wheel.read_bytes()
    assert built.torch == CompiledAgainst(**TORCH)
    assert built.environment_key == ""


def test_a_wheel_on_the_stable_abi_ships_with_another_torch_than_it_was_compiled_against(
    tmp_path: Path, tools: Tools
) -> None:
    version = "1.0+pt2.12.0.stable"
    against = {"version": "2.12.0", "sha256": "cd" * 32}
    wheel = own_wheel(
        tmp_path, version=version, mark=stamp(stable_abi="2.10", torch=against), requires=["torch>=2.10"]
    )
    uv = FakeUv([package(windows_torch(tmp_path)), package(wheel)])
    plan = stable_plan()
    built = take_prebuilt(plan, plan.cells[0], wheel, tools)
    assert (built.torch, built.on_stable_abi) == (None, True)
    result = lock(plan, built, replace(tools, uv=uv))  # type: ignore[arg-type]
    assert {str(wheel.version) for wheel in result.wheels} == {"2.13.0", version}
    assert f"tiny=={version}" in uv.asked[0]["requirements"]
    with pytest.raises(IntegrityError, match="was built from 1111"):
        take_prebuilt(
            plan, plan.cells[0], own_wheel(tmp_path, mark=stamp(source="1" * 64, stable_abi="2.10")), tools
        )


def test_a_wheel_of_another_source_is_refused(tmp_path: Path, tools: Tools) -> None:
    plan = a_plan()
    with pytest.raises(IntegrityError, match="was built from 1111"):
        take_prebuilt(plan, plan.cells[0], own_wheel(tmp_path, mark=stamp(source="1" * 64)), tools)
    with pytest.raises(IntegrityError, match="makes no sense"):
        take_prebuilt(plan, plan.cells[0], own_wheel(tmp_path / "b", mark=b"{}"), tools)


def test_a_wheel_without_its_compiled_module_is_refused(tmp_path: Path, tools: Tools) -> None:
    plan = a_plan()
    bare = write_wheel(tmp_path, "tiny", OURS, tag="cp311-cp311-win_amd64", stamp=stamp())
    with pytest.raises(InputError, match=r"has no compiled tiny\._C"):
        take_prebuilt(plan, plan.cells[0], bare, tools)


def test_a_wheel_for_other_gpus_than_asked_for_is_refused(tmp_path: Path, tools: Tools) -> None:
    cuda = replace(WINDOWS, backend="cu130")

    def taken(*architectures: str) -> tuple[str, ...]:
        plan = make_plan(
            recipe(), "1.0", [cuda], torch_index="https://torch.example", cuda_architectures=architectures
        )
        return take_prebuilt(plan, plan.cells[0], wheel, tools).cuda_architectures

    mark = stamp(cuda={"architectures": ["8.6", "9.0+PTX"]})
    wheel = own_wheel(tmp_path, version=f"{OURS}cu130", mark=mark)
    assert taken() == ("8.6", "9.0+PTX")
    assert taken("9.0a", "8.9", "12.0") == ("8.6", "9.0+PTX")
    with pytest.raises(InputError, match=r"compiled for 8\.6, 9\.0\+PTX, of which nothing runs on 7\.5"):
        taken("9.0", "7.5")


@pytest.mark.parametrize("cuda", [["9.0"], {"architectures": 9}, "9.0"])
def test_a_stamp_that_makes_no_sense(tmp_path: Path, tools: Tools, cuda: object) -> None:
    plan = a_plan()
    with pytest.raises(IntegrityError, match="makes no sense"):
        take_prebuilt(plan, plan.cells[0], own_wheel(tmp_path, mark=stamp(cuda=cuda)), tools)


class FakeUv:
    """Answers with resolutions of one package after another, and says what it was asked."""

    program = Path("uv")

    def __init__(self, *packages: Sequence[str]) -> None:
        self.answers = list(packages)
        self.asked: list[dict[str, Any]] = []

    def resolve(self, target: Target, **options: Any) -> str:
        self.asked.append({**options, "target": target})
        options["work"].mkdir(parents=True, exist_ok=True)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return 'lock-version = "1.0"\ncreated-by = "tests"\n' + "".join(answer)


def package(path: Path) -> str:
    name, version = path.name.removesuffix(".tar.gz").split("-")[:2]
    kind = "sdist = " if path.name.endswith(".tar.gz") else "wheels = ["
    entry = f'{{ name = "{path.name}", url = "{path.as_uri()}", hashes = {{ sha256 = "" }} }}'
    entry = entry.replace(', hashes = { sha256 = "" }', ", hashes = { md5 = 'none' }")
    end = "" if kind.startswith("sdist") else "]"
    return f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n{kind}{entry}{end}\n'


def windows_torch(folder: Path) -> Path:
    files = {"torch/version.py": b"__version__ = '2.13.0'\ncuda = None\n"}
    return write_wheel(folder, "torch", "2.13.0", tag="cp311-cp311-win_amd64", files=files)


def test_a_wheel_of_somebody_else_is_tied_to_the_torch_that_ships(tmp_path: Path, tools: Tools) -> None:
    torch = windows_torch(tmp_path)
    uv = FakeUv([package(torch)])
    tools = replace(tools, uv=uv)  # type: ignore[arg-type]
    plan = a_plan()
    theirs = own_wheel(tmp_path, version="1.0")
    built = take_prebuilt(plan, plan.cells[0], theirs, tools)
    info = read_wheel(tools.store.path(built.wheel.sha256))
    assert str(info.version) == OURS
    assert built.wheel.filename == f"tiny-{OURS}-cp311-cp311-win_amd64.whl"
    assert [str(requirement) for requirement in info.requires] == ["torch==2.13.0"]
    said = json.loads(info.stamp or b"{}")
    assert said["torch"]["sha256"] == built.torch.sha256  # type: ignore[union-attr]
    assert "built elsewhere" in said["given"]
    assert "tiny_dlls.pth" in info.files


# ------------------------------------------------------------------------------------------------ the lock


def sdist(folder: Path, name: str) -> Path:
    path = folder / f"{name}-2.0.tar.gz"
    path.write_bytes(b"an sdist")
    return path


def sdist_choice(folder: Path) -> Choice:
    path = sdist(folder, "leaf")
    return Choice(
        name=NormalizedName("leaf"),
        version=Version("2.0"),
        filename=path.name,
        url=path.as_uri(),
        sha256=None,
        is_sdist=True,
    )


def built_from(plan: Plan, wheel: Path, tools: Tools, torch: CompiledAgainst | None) -> Built:
    copy = wheel.with_suffix(".copy")
    copy.write_bytes(wheel.read_bytes())
    sha256 = tools.store.add(copy).sha256
    entry = Entry(sha256=sha256, filename=wheel.name, size=wheel.stat().st_size)
    return Built(cell=plan.cells[0], wheel=entry, torch=torch, interpreter=PYTHON)


def test_what_needs_a_windows_compiler_gives_way_to_a_release_with_a_wheel(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system="linux")
    torch, leaf = windows_torch(tmp_path), sdist(tmp_path, "leaf")
    older = write_wheel(tmp_path, "leaf", "1.5", tag="cp311-cp311-win_amd64")
    own = own_wheel(tmp_path, mark=stamp())
    uv = FakeUv([package(torch), package(leaf), package(own)], [package(torch), package(older), package(own)])
    downloaded: list[str] = []

    def refuse(choice: Choice, *_: object) -> Entry:
        raise BuildError(f"{choice.filename} compiles: it made leaf-2.0-cp311-cp311-linux_x86_64.whl")

    def note(choices: Sequence[Choice], tools: Tools) -> Any:
        downloaded.append(" ".join(choice.filename for choice in choices))
        return original(choices, tools)

    original = populate._download
    monkeypatch.setattr(populate, "_build_sdist", refuse)
    monkeypatch.setattr(populate, "_download", note)
    plan = a_plan()
    result = lock(plan, built_from(plan, own, tools, None), replace(tools, uv=uv))  # type: ignore[arg-type]
    assert str(result.wheel("leaf").version) == "1.5"
    assert [list(asked["only_binary"]) for asked in uv.asked] == [[], ["leaf"]]
    assert downloaded[0] == "leaf-2.0.tar.gz", "sdists come first: what they lack should not cost gigabytes"


def test_what_has_no_wheel_in_any_release_is_named(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_platform(monkeypatch, system="linux")
    torch, leaf, own = windows_torch(tmp_path), sdist(tmp_path, "leaf"), own_wheel(tmp_path, mark=stamp())
    uv = FakeUv([package(torch), package(leaf), package(own)], InputError("leaf has no usable wheels"))  # type: ignore[arg-type]

    def refuse(*_: object) -> Entry:
        raise BuildError("leaf-2.0.tar.gz: no Windows.h")

    monkeypatch.setattr(populate, "_build_sdist", refuse)
    plan = a_plan()
    with pytest.raises(
        InputError, match=r"(?s)leaf: leaf-2\.0\.tar\.gz: no Windows\.h.*no usable wheels"
    ) as caught:
        lock(plan, built_from(plan, own, tools, None), replace(tools, uv=uv))  # type: ignore[arg-type]
    assert "--wheel FILE" in (caught.value.hint or "")


def test_on_the_machine_s_own_platform_a_failing_sdist_is_an_error(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Entry:
        raise BuildError("no compiler")

    monkeypatch.setattr(populate, "_build_sdist", refuse)
    choice = sdist_choice(tmp_path)
    fix_platform(monkeypatch, system="win32")
    with pytest.raises(BuildError, match="no compiler"):
        populate.populate([choice], WINDOWS, PYTHON, tools)
    fix_platform(monkeypatch, system="linux")
    with pytest.raises(
        NeedsCompilerError, match=r"cannot be built here for win_amd64: leaf \(no compiler\)"
    ) as caught:
        populate.populate([choice], WINDOWS, PYTHON, tools)
    assert caught.value.packages == {"leaf": "no compiler"}


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (NeedsCompilerError("no compiler", packages={"leaf": "no compiler"}), InputError),
        (NeedsTorchError("leaf", "2.0"), InputError),
        (MissingPythonError("3.14"), MissingError),
        (BuildError("broken"), BuildError),
    ],
)
def test_what_several_targets_lack_is_told_as_one_error(
    first: WheelferryError, kind: type[WheelferryError]
) -> None:
    """With the exit code of the first, whatever its kind is made of."""
    cells = a_plan(WINDOWS, replace(WINDOWS, python="3.12")).cells
    failed = (cells[0], first), (cells[1], BuildError("other", hint="mend it"))
    with pytest.raises(kind, match="2 of 2 targets failed") as caught:
        Outcome(done=(), failed=failed).raise_failures()
    assert type(caught.value) is kind
    assert caught.value.exit_code == first.exit_code
    assert all(cell.target.name in str(caught.value) for cell in cells)
    assert "mend it" in (caught.value.hint or "")


def test_a_build_without_a_network_is_no_lack_of_a_compiler(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Entry:
        raise BuildError("build leaf-2.0.tar.gz failed:\nerror: Failed to fetch: `https://index.example/x`")

    monkeypatch.setattr(populate, "_build_sdist", refuse)
    fix_platform(monkeypatch, system="linux")
    choice = sdist_choice(tmp_path)
    with pytest.raises(BuildError, match="Failed to fetch"):
        populate.populate([choice], WINDOWS, PYTHON, tools)


def test_given_dependencies_are_held_to(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch, own = windows_torch(tmp_path), own_wheel(tmp_path, mark=stamp())
    leaf = write_wheel(tmp_path, "leaf", "1.5", tag="cp311-cp311-win_amd64")
    other = write_wheel(tmp_path, "leaf", "1.4", tag="cp311-cp311-manylinux_2_28_x86_64")
    uv = FakeUv([package(torch), package(leaf), package(own)])
    plan = a_plan()
    lock(plan, built_from(plan, own, tools, None), replace(tools, uv=uv), given=(leaf, other))  # type: ignore[arg-type]
    (asked,) = uv.asked
    assert "leaf==1.5" in asked["constraints"]
    assert "leaf==1.4" not in asked["constraints"]


def test_the_index_does_not_take_the_place_of_a_given_dependency(tmp_path: Path, tools: Tools) -> None:
    torch, own = windows_torch(tmp_path), own_wheel(tmp_path, mark=stamp())
    leaf = write_wheel(tmp_path, "leaf", "1.5", tag="cp311-none-win_amd64")
    better = write_wheel(tmp_path, "leaf", "1.5", tag="cp311-cp311-win_amd64")
    plan = a_plan()
    for chosen in (package(better), package(leaf).replace("file://", "https://index.example")):
        uv = FakeUv([package(torch), chosen, package(own)])
        built = built_from(plan, own, tools, None)
        with pytest.raises(InputError, match=r"leaf-1\.5-cp311-none-win_amd64\.whl is given, but") as caught:
            lock(plan, built, replace(tools, uv=uv), given=(leaf,))  # type: ignore[arg-type]
        assert "1.5+here" in (caught.value.hint or "")


def test_a_given_dependency_that_nothing_requires_is_named(tmp_path: Path, tools: Tools) -> None:
    warned: list[str] = []

    class Listener(Silent):
        def warn(self, message: str) -> None:
            warned.append(message)

    torch, own = windows_torch(tmp_path), own_wheel(tmp_path, mark=stamp())
    spare = write_wheel(tmp_path, "spare", "1.0")
    uv = FakeUv([package(torch), package(own)])
    plan = a_plan()
    tools = replace(tools, uv=uv, progress=Listener())  # type: ignore[arg-type]
    result = lock(plan, built_from(plan, own, tools, None), tools, given=(spare,))
    assert [wheel.name for wheel in result.wheels] == ["tiny", "torch"]
    assert warned == [f"--wheel {spare.name} is not used: nothing requires it on {WINDOWS.name}"]


def test_a_given_wheel_and_the_index_must_mean_the_same_torch(tmp_path: Path, tools: Tools) -> None:
    torch, own = windows_torch(tmp_path), own_wheel(tmp_path, mark=stamp())
    uv = FakeUv([package(torch), package(own)])
    plan = a_plan()
    built = built_from(plan, own, tools, CompiledAgainst(**TORCH))
    with pytest.raises(InputError, match="compiled against another torch wheel") as caught:
        lock(plan, built, replace(tools, uv=uv))  # type: ignore[arg-type]
    assert "--torch-index" in (caught.value.hint or "")
