"""`build --all-targets`: from options to the few wheels that serve many targets."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wheelferry.catalog import LocatedRecipe, find_projects
from wheelferry.cli.options import TargetChoice
from wheelferry.cli.session import plan_from_options
from wheelferry.errors import InputError, MissingPythonError
from wheelferry.matrix.alike import PLATFORMS
from wheelferry.matrix.shared_wheels import SharedWheel, shared_wheels
from wheelferry.models.cuda import FIRST_ON_PYPI, Cuda, version_of
from wheelferry.models.planning.plan import Plan
from wheelferry.models.targets import parse_platform
from wheelferry.system.interpreters import find_interpreter
from wheelferry.system.this_machine import host_glibc_minor

if TYPE_CHECKING:  # for its name alone
    from wheelferry.cache.tools import Tools


def shared_from_options(
    references: Sequence[str], choice: TargetChoice, tools: "Tools", *, quiet: bool
) -> Iterator[tuple[SharedWheel, LocatedRecipe, Plan]]:
    """The wheels of a release that serve many targets, each with the plan that makes it.

    Raises InputError for several projects, for options that name a target, and where there is no such wheel.
    """
    _require_open(choice)
    projects = find_projects(references)
    if len(projects) > 1:
        raise InputError(
            "--all-targets is for one project, not for " + ", ".join(one.recipe.name for one, _ in projects),
            hint="build the others in runs of their own",
        )
    ((located, release),) = projects
    platforms = [
        parse_platform(text, host_glibc_minor=host_glibc_minor()) for text in choice.platform or PLATFORMS
    ]

    def is_here(python: str) -> bool:
        try:
            find_interpreter(python, tools.run, uv=tools.uv.program)
        except MissingPythonError:
            return False
        return True

    cuda = _cuda_asked(choice)
    for shared in shared_wheels(located.recipe, release, platforms, is_here, cuda=cuda):
        target = shared.target
        one = replace(choice, python=[target.python], torch=[target.torch], platform=[target.platform])
        yield shared, *plan_from_options(references, one, has_runtime=True, quiet=quiet)


def _require_open(choice: TargetChoice) -> None:
    """Raise InputError for options that name a target."""
    given = {
        "--python": choice.python,
        "--torch": choice.torch,
        "--backend": choice.backend and not choice.stable_abi,
        "--torch-index": choice.torch_index and not choice.stable_abi,
        "--cuda-arch": choice.cuda_arch and not choice.stable_abi,
        "--without-ops": choice.without_ops,
        "--no-stable-abi": choice.stable_abi is False,
        "--profile": choice.profile,
    }
    named = [option for option, value in given.items() if value]
    if named:
        raise InputError(
            f"--all-targets chooses the targets: it does not go with {', '.join(named)}",
            hint="leave out the one or the other",
        )


def _cuda_asked(choice: TargetChoice) -> str | None:
    """The CUDA (``13.0``) to make wheels with; InputError for more than one, or for one that is none."""
    if not choice.backend:
        return None
    versions = {version_of(backend) for backend in choice.backend}
    version = versions.pop()
    if versions or version is None or not Cuda(version=version).on_pypi:
        raise InputError(
            f"--all-targets makes no wheel for --backend {' --backend '.join(choice.backend)}",
            hint=f"name one CUDA, {FIRST_ON_PYPI}.0 or later, as in --backend cu130",
        )
    return version
