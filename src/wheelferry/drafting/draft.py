"""The draft itself: what was found, as the texts of a recipe and of its first checks."""

import json
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelferry.drafting.bare import Bare
from wheelferry.drafting.examine import Examined
from wheelferry.drafting.origin import Origin
from wheelferry.errors import InputError
from wheelferry.models.recipes.file import parse_recipe

_TEMPLATES = Path(__file__).parents[1] / "templates"
_LINE = 80  # of an array, in characters
# Where the project states no range: a beginning, which a person must confirm.
_ANY_TORCH, _ANY_PYTHON = ">=2.0", ">=3.9"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A recipe's name, its text and that of its first checks, and what a person must decide."""

    name: str
    release: str
    recipe: str
    checks: str
    decisions: tuple[str, ...]


def write_draft(origin: Origin, examined: Examined, subdirectory: str, bare: Bare | None = None) -> Draft:
    """The draft for what was found, `bare` for a project without a build configuration.

    Raises InputError for what an index has and nobody needs to compile.
    """
    modules = _modules(examined)
    if not modules and origin.keys["kind"] == "sdist":
        raise InputError(
            f"setup.py of {examined.name} describes no compiled modules",
            hint="one without compiled ops needs no recipe: bundle it with --with; one that compiles by "
            "other means (CMake) needs a recipe by hand: docs/how-to/own-recipe.md",
        )
    name = canonicalize_name(examined.name)
    compiled = list(dict.fromkeys(extension.name for extension in (*examined.cpu, *examined.cuda)))
    release = origin.release or examined.version
    stated = _stated_torch(examined.requires)
    text = _render(
        "recipe.toml.j2",
        name=name,
        examined=examined,
        origin=origin,
        subdirectory=subdirectory,
        release=release,
        torch=stated or _ANY_TORCH,
        torch_is_stated=bool(stated),
        python=examined.python or _ANY_PYTHON,
        modules=modules,
        bare=bare,
        submodules=origin.submodules,
        addresses=[text for text in examined.requires if Requirement(text).url],
        imports=["torch", *examined.modules],
    )
    parse_recipe(text, file=f"{name}.toml")  # a draft that nobody could read would be no help
    return Draft(
        name=name,
        release=release,
        recipe=text,
        checks=_render(
            "check_ops.py.j2" if compiled else "check_imports.py.j2",
            name=name,
            imports=list(examined.modules),
            compiled=compiled,
        ),
        decisions=tuple(line.strip() for line in text.splitlines() if "# decide:" in line),
    )


def _modules(examined: Examined) -> Mapping[str, Sequence[str]]:
    """The compiled modules by the keys of ``[build]``."""
    cpu = [extension.name for extension in examined.cpu]
    cuda = [extension.name for extension in examined.cuda]
    with_kernels = [extension.name for extension in examined.cuda if extension.has_kernels]
    keys = {
        "extensions": [name for name in cpu if name in cuda],
        "cpu_extensions": [name for name in cpu if name not in cuda],
        "cuda_extensions": with_kernels,
        "cuda_host_extensions": [name for name in cuda if name not in cpu and name not in with_kernels],
        "cuda_kernels": examined.kernels,
    }
    return {key: names for key, names in keys.items() if names}


def _stated_torch(requires: Sequence[str]) -> str:
    """The range of torch that the wheel's metadata state, "" for none."""
    found = [Requirement(text) for text in requires]
    return next((str(one.specifier) for one in found if canonicalize_name(one.name) == "torch"), "")


def _toml_list(values: Sequence[str]) -> str:
    """A TOML array: on a line where it fits, else with a value on each."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    line = f"[{', '.join(texts)}]"
    return line if len(line) <= _LINE else "[\n" + "".join(f"    {text},\n" for text in texts) + "]"


def _render(template: str, /, **values: object) -> str:
    import jinja2

    # TOML and Python, where HTML's escapes would be wrong
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    # a JSON text of one line is a TOML text
    environment.filters["toml"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["toml_list"] = _toml_list
    environment.filters["pprint"] = lambda value: pprint.pformat(value, width=100)
    return environment.from_string((_TEMPLATES / template).read_text("utf-8")).render(**values)
