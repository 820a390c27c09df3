"""Lock: one resolution for the target, every file of it in the store as a wheel."""

from collections.abc import Iterable

from packaging.utils import NormalizedName

from wheelferry.checks import mixed_builds
from wheelferry.errors import InputError, IntegrityError
from wheelferry.lock import Choice, Lock, choose_files
from wheelferry.plan import Plan
from wheelferry.stages.build import Built
from wheelferry.stages.populate import populate
from wheelferry.tools import Tools


def lock(plan: Plan, built: Built, tools: Tools) -> Lock:
    """The exact wheels for the built wheel's target: it, its torch, and the newest of all else that fits.

    Raises InputError when nothing fits, IntegrityError when the index would now give another torch
    than the one compiled against.
    """
    cell = built.cell
    tools.progress.stage(f"lock {plan.title} for {cell.target.name}")
    with tools.store.workspace("lock") as work:
        links = work / "built"
        links.mkdir()
        tools.store.place(built.wheel.sha256, links / built.wheel.filename)
        with tools.progress.task("resolve"):
            resolution = tools.uv.resolve(
                cell.target,
                requirements=[f"{plan.recipe.distribution}=={cell.wheel_version}", *cell.requirements],
                constraints=[*cell.constraints, f"torch=={built.torch.version}"],
                find_links=links,
                torch_index=cell.torch_index,
                interpreter=built.interpreter,
                work=work / "uv",
            )
        choices = choose_files(resolution, cell.target, base=work / "uv")
        require_same_build(choices)
        tools.progress.stage(f"populate {plan.title} for {cell.target.name}")
        wheels = populate(
            choices,
            cell.target,
            built.interpreter,
            tools,
            sdist_constraints=plan.recipe.build.sdist_constraints,
        )
    result = Lock(target=cell.target, wheels=wheels)
    if result.wheel("torch").sha256 != built.torch.sha256:
        # so that the next run asks the index again
        tools.store.forget("environment", built.environment_key)
        raise IntegrityError(
            f"the wheel was compiled against {built.torch.filename}, "
            "but the index now gives another file of that name",
            hint="run the command again; if it stays so, the index serves two different torch wheels",
        )
    return result


def require_same_build(choices: Iterable[Choice]) -> None:
    """Raise InputError when torch and torchvision are not of the same build."""
    chosen = {choice.name: (choice.version, choice.filename) for choice in choices}
    torch, torchvision = NormalizedName("torch"), NormalizedName("torchvision")
    reason = mixed_builds(chosen[torch], chosen.get(torchvision))
    if reason:
        raise InputError(
            reason,
            hint="take both from one place: --backend cpu (PyTorch's CPU index), or --torch-index "
            "with an index or folder that has both",
        )
