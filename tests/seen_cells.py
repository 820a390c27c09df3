"""Cells of a recipe with three torch releases, and records of them, as the tests of coverage need them."""

from conftest import RECIPE, TARGET
from wheelferry.matrix.coverage import LINUX
from wheelferry.models.planning.make_plan import plan_digest
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.records import LEVELS as ALL
from wheelferry.models.records import Record, RecordedWheel
from wheelferry.models.targets import Target

__all__ = ["ALL", "RECIPES", "TEXT", "seen", "target"]

# three torch releases, one with Windows wheels and other CUDA builds; two releases, one of which is picky
TEXT = RECIPE.replace(
    '[[torch]]\nversion = "2.13.0"\npython = ">=3.10,<3.15"\n',
    """
[[torch]]
version = "2.5.1"
python = ">=3.9,<3.13"
cuda = "12.4"

[[torch]]
version = "2.9.1"
python = ">=3.10,<3.14"
cuda = "12.8"
other_cuda = ["13.0"]

[[torch]]
version = "2.13.0"
python = ">=3.10,<3.15"
windows = ">=3.11,<3.15"
cuda = "13.0"
""",
).replace(
    "[smoke]",
    """[releases."2.0"]
tree = "1111111111111111111111111111111111111111111111111111111111111111"
version = "2.0"
torch = ">=2.13"
python = ">=3.12"

[smoke]""",
)
RECIPES = parse_recipe(TEXT, file="tiny.toml")


def target(
    python: str = "3.11", torch: str = "2.13.0", backend: str = "cpu", platform: str = LINUX
) -> Target:
    return Target(python=python, platform=platform, torch=torch, backend=backend)


def seen(where: Target = TARGET, *, release: str = "1.0", **values: object) -> Record:
    fields: dict[str, object] = {
        "levels": ALL,
        "isolated": True,
        "date": "2026-11-21T12:00:00+00:00",
        "command": "wheelferry bundle …",
        "wheel": RecordedWheel(file="tiny.whl", sha256="a" * 64),
        "commit": "0" * 40,
        "bundle": "b" * 64,
        "plan": plan_digest(RECIPES, release, where),
        "wheelferry": "wheelferry 0",
        "machine": "x86_64",
        **values,
    }
    return Record(release=release, target=where, **fields)  # type: ignore[arg-type]
