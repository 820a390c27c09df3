"""What a project says of itself: its metadata, its compiled modules, what it needs to be built."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from wheelferry.build.compile import make_environment
from wheelferry.build.configure import is_configured, packages_in
from wheelferry.build.described import Described, Description, describe
from wheelferry.build.populate import populate
from wheelferry.cache.tools import Tools
from wheelferry.drafting.machine import is_for_gpu, replace_questions
from wheelferry.errors import BuildError, InputError
from wheelferry.models.lock import choose_files
from wheelferry.models.recipes.recipe import Substitution
from wheelferry.models.targets import Target
from wheelferry.system.interpreters import Interpreter
from wheelferry.toolchains.torch_stub import place_torch_stub
from wheelferry.wheels.licences import Licence, Terms, judge

# What a stand-in serves for, or the bundle's own torch.
_STOOD_IN = {"torch", "torchvision"}
_ALWAYS = ("setuptools", "wheel")
_ABSENT = re.compile(r"ModuleNotFoundError: No module named '([A-Za-z0-9_]+)")
# Modules that setup.py files import, by the package that has them where the names differ.
_PACKAGES = {"Cython": "cython", "skbuild": "scikit-build", "pkg_resources": "setuptools<81"}
_MOST_ABSENT = 8
_KERNEL = re.compile(
    r"__global__\s+(?:static\s+|inline\s+)*(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+"
    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?([A-Za-z_]\w*)\s*\("
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What was found.

    `modules` are top-level ones; `requires` what the wheel will require, `build_requires` what setup.py
    needs beside torch, with the reason where the project does not say so. `cpu` and `cuda` are the compiled
    modules of either build. `substitutions` are what setup.py needed to be told of the machine.
    """

    name: str
    version: str
    summary: str
    licence: Licence
    python: str
    requires: tuple[str, ...]
    build_requires: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    cpu: tuple[Described, ...]
    cuda: tuple[Described, ...]
    kernels: tuple[str, ...]
    substitutions: tuple[Substitution, ...] = ()


def find_project(tree: Path, named: str) -> str:
    """The folder below `tree` that has the project whose ops are compiled, "" for `tree` itself.

    So too for one whose packages lie at the top, without a build configuration anywhere. Raises InputError
    when there is none, or when there are several and none at the top.
    """
    if is_configured(tree):
        return ""
    files = (path for name in ("setup.py", "pyproject.toml") for path in tree.rglob(name))
    folders = {path.parent.relative_to(tree).as_posix() for path in files}
    compiled = sorted(folder for folder in folders if _compiles(tree / folder / "setup.py"))
    if len(compiled) == 1:
        return compiled[0]
    if not compiled and packages_in(tree):
        return ""
    if not compiled:
        raise InputError(
            f"{named} has no setup.py and no pyproject.toml", hint="a recipe builds Python projects"
        )
    raise InputError(
        f"{named} has several projects with compiled ops: {', '.join(compiled)}",
        hint="choose one with --subdirectory",
    )


def _compiles(setup: Path) -> bool:
    return setup.is_file() and "cpp_extension" in setup.read_text("utf-8", errors="replace")


def examine(
    tree: Path,
    subdirectory: str,
    target: Target,
    interpreter: Interpreter,
    work: Path,
    tools: Tools,
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    cuda_environment: Mapping[str, str] = MappingProxyType({}),
) -> Examined:
    """Ask the project in `subdirectory` of `tree` what it is and what it compiles, with and without CUDA.

    Its setup.py runs, in an environment with what it declares to need, and a stand-in for torch. What it
    imports without declaring it is added. It has the variables `environment`, and for CUDA those of
    `cuda_environment` as well. Where it fails and asks for a GPU, it is told that there is one, in `tree`.
    Raises BuildError when it cannot run like that either.
    """
    project = tree / subdirectory
    asker = _Asker(tree, subdirectory, target, interpreter, work, tools)
    for_cuda = {**environment, **cuda_environment}
    substitutions: tuple[Substitution, ...] = ()
    try:
        described, cpu, cuda = _ask_both(asker, environment, for_cuda)
    except BuildError:
        substitutions = replace_questions(tree, subdirectory)
        if not substitutions:
            raise
        if is_for_gpu(substitutions):
            described, cpu, cuda = _ask_for_cuda(asker, for_cuda)
        else:
            described, cpu, cuda = _ask_both(asker, environment, for_cuda)
    if described.metadata is None:
        raise BuildError(
            f"the build backend of {project.name} tells no metadata before it builds",
            hint="write the recipe by hand: docs/how-to/own-recipe.md",
        )
    raw, _ = parse_email((described.metadata / "METADATA").read_bytes())
    return Examined(
        name=raw["name"],
        version=raw["version"],
        summary=raw.get("summary", "").splitlines()[0] if raw.get("summary") else "",
        licence=_licence(raw),
        python=raw.get("requires_python", ""),
        requires=tuple(raw.get("requires_dist", ())),
        build_requires=tuple(asker.needed.items()),
        modules=_top_level(described.metadata, project, raw["name"]),
        cpu=cpu,
        cuda=cuda,
        kernels=_kernels(project, cuda),
        substitutions=substitutions,
    )


_Asked = tuple[Description, tuple[Described, ...], tuple[Described, ...]]


def _ask_both(asker: "_Asker", environment: Mapping[str, str], for_cuda: Mapping[str, str]) -> _Asked:
    """What setup.py tells, and the compiled modules without and with CUDA."""
    try:
        described = asker.ask(environment, cuda=False)
        return described, described.extensions, asker.ask(for_cuda, cuda=True).extensions
    except BuildError:
        # some projects can be built for GPUs alone, and ask for one if nobody says so
        return _ask_for_cuda(asker, for_cuda)


def _ask_for_cuda(asker: "_Asker", for_cuda: Mapping[str, str]) -> _Asked:
    described = asker.ask(for_cuda, cuda=True)
    return described, (), described.extensions


class _Asker:
    """Runs setup.py in an environment that grows by what it turns out to need; `needed` has the reasons."""

    def __init__(
        self,
        tree: Path,
        subdirectory: str,
        target: Target,
        interpreter: Interpreter,
        work: Path,
        tools: Tools,
    ) -> None:
        self._tree, self._inside, self._target, self._interpreter = tree, subdirectory, target, interpreter
        self._work, self._tools = work, tools
        declared = list(_declared(tree / subdirectory))
        always = [name for name in _ALWAYS if not any(_is_of_same(name, text) for text in declared)]
        self.needed = dict.fromkeys([*always, *declared], "")
        self._times = 0

    def ask(self, environment: Mapping[str, str], *, cuda: bool) -> Description:
        """What setup.py tells of a build with or without CUDA."""
        for _ in range(_MOST_ABSENT):
            try:
                return self._ask(environment, cuda=cuda)
            except BuildError as error:
                absent = _ABSENT.findall(str(error))
                package = _PACKAGES.get(absent[-1], absent[-1]) if absent else None
                if package is None or package in self.needed:
                    raise
                # of one package one requirement is left, the one that says more
                same = [text for text in self.needed if _is_of_same(text, package)]
                for text in same:
                    del self.needed[text]
                self.needed[package] = "setup.py imports it without declaring it"
        raise BuildError(
            "setup.py imports ever more that it does not declare", hint="write the recipe by hand"
        )

    def _ask(self, environment: Mapping[str, str], *, cuda: bool) -> Description:
        self._times += 1
        folder = self._work / f"asked-{self._times}"
        folder.mkdir()
        python = self._environment(folder)
        stub = place_torch_stub(folder / "torch", self._target.torch, cuda="13.0" if cuda else None)
        log = self._tools.store.log_path("recipe-new")
        return describe(
            self._tree,
            python,
            folder / "run",
            stub,
            environment,
            self._tools,
            log,
            cuda=cuda,
            inside=self._inside,
        )

    def _environment(self, folder: Path) -> Path:
        """An environment with what setup.py needs; its Python."""
        tools, target = self._tools, self._target
        resolution = tools.uv.resolve(
            target,
            requirements=self.needed,
            constraints=(),
            find_links=None,
            interpreter=self._interpreter,
            work=folder / "resolve",
        )
        choices = choose_files(resolution, target, base=folder / "resolve")
        wheels = populate(choices, target, self._interpreter, tools, sdist_constraints=())
        return make_environment(folder, wheels, self._interpreter, tools, tools.store.log_path("recipe-new"))


def _is_of_same(one: str, other: str) -> bool:
    """Whether two requirements are of one package, the first without a range."""
    first, second = Requirement(one), Requirement(other)
    return canonicalize_name(first.name) == canonicalize_name(second.name) and not first.specifier


def _declared(project: Path) -> Iterable[str]:
    """What ``[build-system]`` requires, without torch."""
    file = project / "pyproject.toml"
    try:
        document: Mapping[str, Any] = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise InputError(f"{file.name} of the project is not TOML: {error}") from None
    for text in document.get("build-system", {}).get("requires", ()):
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement as error:
            raise InputError(f"pyproject.toml of the project: {text!r} is no requirement: {error}") from None
        if name not in _STOOD_IN:
            yield text


def _licence(raw: RawMetadata) -> Licence:
    return judge(
        Terms(
            expression=raw.get("license_expression", ""),
            text=raw.get("license", ""),
            classifiers=tuple(raw.get("classifiers", ())),
        )
    )


def _top_level(metadata: Path, project: Path, name: str) -> tuple[str, ...]:
    """Modules to import: as setuptools wrote them down, else a folder that is called as the project."""
    listed = metadata / "top_level.txt"
    if listed.is_file():
        return tuple(listed.read_text("utf-8").split())
    folder = canonicalize_name(name).replace("-", "_")
    places = (project / folder, project / "src" / folder)
    return (folder,) if any((path / "__init__.py").is_file() for path in places) else ()


def _kernels(project: Path, extensions: Iterable[Described]) -> tuple[str, ...]:
    """Names of the CUDA kernels in what is compiled."""
    files = {source for extension in extensions for source in extension.sources if source.endswith(".cu")}
    paths = (project / file for file in sorted(files))
    texts = [path.read_text("utf-8", errors="replace") for path in paths if path.is_file()]
    return tuple(dict.fromkeys(kernel for text in texts for kernel in _KERNEL.findall(text)))
