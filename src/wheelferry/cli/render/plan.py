"""What plan prints."""

from packaging.requirements import Requirement

from wheelferry.cli.console import print_json, print_line
from wheelferry.cli.session import plan_document
from wheelferry.models import stable_abi
from wheelferry.models.cuda import parse_version
from wheelferry.models.planning.plan import Cell, Plan
from wheelferry.models.present import needed_of

_MOST_PRESENT = 12


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """What would be built."""
    if as_json:
        print_json(plan_document(plan))
        return
    for number, one in enumerate(plan.projects):
        if number:
            print_line("")
        _show_project(one)


def _show_project(plan: Plan) -> None:
    pinned_by = "commit" if plan.release.commit else "SHA-256"
    print_line(f"{plan.title}, {pinned_by} {plan.release.pin}")
    for cell in plan.cells:
        print_line(f"\n{cell.target.name}")
        print_line(f"  wheel           {plan.recipe.distribution} {cell.wheel_version}")
        if cell.on_stable_abi:
            print_line(f"  serves          {_served(cell)}")
        print_line(f"  to build        {', '.join(cell.build_requires)}")
        print_line(f"  to run          {', '.join(cell.requirements)}")
        print_line(f"  constraints     {', '.join((*cell.constraints, *cell.user_constraints))}")
        if cell.excluded:
            print_line(f"  excluded        {', '.join(exclusion.name for exclusion in cell.excluded)}")
        if cell.present:
            print_line(f"  must be there   {_present(cell)}")
        if cell.hashes:
            print_line(f"  with hashes     {', '.join(cell.hashes)}")
        for one in cell.left_out:
            print_line(f"  left out        {one.requirement}  ({one.place})")
        for item in cell.substitutions:
            print_line(
                f"  substitution    {item.file}: {item.old!r} → {item.new!r} x{item.count}  {item.reason}"
            )
    for asset in plan.assets:
        print_line(f"\n{asset.path}{' (unpacked there)' if asset.unpack else ''}")
        print_line(f"  from            {asset.file or asset.origin}")
        print_line(f"  licence         {asset.licence}")
    for program in plan.programs:
        print_line(f"\napp {program.name}: {program.help}")
        if program.requires:
            print_line(f"  requires        {', '.join(program.requires)}")


def _present(cell: Cell) -> str:
    """What must be on the client; of a whole environment, what is known before its lock to be required."""
    if len(cell.present) <= _MOST_PRESENT:
        return ", ".join(map(str, cell.present))
    environment = cell.target.marker_environment
    known = needed_of(cell.present, map(Requirement, cell.requirements), {}, environment)
    others = len(cell.present) - len(known)
    return f"{', '.join(map(str, known))}; and what the wheels require of {others} more that are there"


def _served(cell: Cell) -> str:
    """What else a wheel on the stable ABI runs with."""
    torch = f"torch {stable_abi.FIRST_TORCH} and later"
    if cell.cuda:
        major, _ = parse_version(cell.cuda.version)
        torch += f" that is built with CUDA {cell.cuda.version} or a later {major}"
    if not cell.on_limited_api:
        return torch
    return f"{torch}, CPython 3.{stable_abi.FIRST_PYTHON.removeprefix('cp3')} and later"
