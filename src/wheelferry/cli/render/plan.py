"""What plan and lock print."""

from collections.abc import Iterable
from pathlib import Path

from wheelferry.cli.console import print_json, print_line
from wheelferry.cli.session import plan_document
from wheelferry.models.lock import Lock, pylock_text, requirements_text
from wheelferry.models.plan import Plan
from wheelferry.system.files import write_atomic


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """What would be built."""
    if as_json:
        print_json(plan_document(plan))
        return
    print_line(f"{plan.title}, commit {plan.release.pin}")
    for cell in plan.cells:
        print_line(f"\n{cell.target.name}")
        print_line(f"  wheel           {plan.recipe.distribution} {cell.wheel_version}")
        print_line(f"  built with      {', '.join(cell.build_requires)}")
        print_line(f"  shipped with    {', '.join(cell.requirements)}")
        print_line(f"  held to         {', '.join(cell.constraints)}")
        for item in cell.substitutions:
            print_line(
                f"  substitution    {item.file}: {item.old!r} → {item.new!r} x{item.count}  {item.reason}"
            )
    for asset in plan.assets:
        print_line(f"\n{asset.path}{' (unpacked there)' if asset.unpack else ''}")
        print_line(f"  from            {asset.file or asset.origin}")
        print_line(f"  licence         {asset.licence}")


def show_locks(out: Path, locks: Iterable[Lock], *, as_json: bool) -> None:
    """Write lock files and say where."""
    written = []
    for lock in locks:
        for name, text in (
            (f"requirements.{lock.target.name}.txt", requirements_text(lock)),
            (f"pylock.{lock.target.name}.toml", pylock_text(lock, created_by="wheelferry")),
        ):
            write_atomic(out / name, text)
            written.append(str(out / name))
    if as_json:
        print_json({"files": written})
        return
    for name in written:
        print_line(name)
