"""uv, found as a Python dependency: resolving for a target, making environments, building sdists."""

import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
import uv as uv_package
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wheelferry.cache.pip_config import IndexSettings, index_in_words
from wheelferry.errors import BuildError, InputError, MissingError, WheelferryError
from wheelferry.models.present import PresentPackage
from wheelferry.models.targets import Target, macos_release
from wheelferry.system.interpreters import Interpreter, program_in
from wheelferry.system.process import CommandRunner
from wheelferry.wheels.stand_in import write_stand_in

_TORCH_INDEX = "torch-builds"
# What is compiled against torch and comes, in a build for each of torch's, from where torch comes.
_WITH_TORCH = ("torch", "torchvision", "torchaudio", "torchcodec", "torchtext")
# uv's variables that would decide what is resolved without being asked for here. Those that say where from
# and how (indexes, credentials, certificates, UV_EXCLUDE_NEWER as a rule of the house) are the user's own.
_NOT_INHERITED = {
    *("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "UV_BUILD_CONSTRAINT", "UV_COMPILE_BYTECODE"),
    *("UV_CONSTRAINT", "UV_DRY_RUN", "UV_EXCLUDE", "UV_FORK_STRATEGY", "UV_NO_DEPS", "UV_NO_INDEX"),
    *("UV_NO_SOURCES", "UV_OFFLINE", "UV_OVERRIDE", "UV_PRERELEASE", "UV_PYTHON", "UV_REQUIRE_HASHES"),
    *("UV_RESOLUTION", "UV_SYSTEM_PYTHON", "UV_TORCH_BACKEND"),
}
# Said outright, so that a uv.toml of the user's own does not change it.
_AS_PIP_DOES = ("--resolution", "highest", "--prerelease", "if-necessary-or-explicit")
_NEVER_INHERITED = ("UV_NO_BINARY", "UV_NO_BUILD", "UV_ONLY_BINARY")

# Of builds in isolation: uv would give them the newest torch, which is seldom the one that is shipped.
_NO_TORCH = "torch<0"


def find_uv() -> Path:
    """The uv program that was installed with wheelferry."""
    return Path(uv_package.find_uv_bin())


def uv_version() -> str:
    """Its version: the one that bundles carry for their clients."""
    return importlib.metadata.version("uv")


# What a user can do about a package that cannot be built here.
OTHER_WAYS = (
    "give its wheel with --wheel FILE (`pip wheel` makes it, on a machine of the target's kind with the same "
    "torch), or write a recipe for it (wheelferry recipes --schema says what is in one)"
)


class NeedsTorchError(InputError):
    """An sdist whose build needs torch, which no build in isolation gets: its name and its version."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name} {version} exists only as an sdist, whose build needs torch", hint=OTHER_WAYS
        )
        self.name = name
        self.version = version


@dataclass(frozen=True, kw_only=True, slots=True)
class _Question:
    """What is to be resolved, for which target, from where, within which limits."""

    target: Target
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    find_links: Path | None
    interpreter: Interpreter | None
    torch_index: str | None
    only_binary: tuple[str, ...]
    excluded: tuple[str, ...]
    present: tuple[PresentPackage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Uv:
    """Runs uv with the user's index settings; `warn` is told what it warns of."""

    program: Path
    run: CommandRunner
    index: IndexSettings
    warn: Callable[[str], None] = lambda _: None

    def resolve(
        self,
        target: Target,
        *,
        requirements: Iterable[str],
        constraints: Iterable[str],
        find_links: Path | None,
        interpreter: Interpreter | None,
        work: Path,
        torch_index: str | None = None,
        only_binary: Iterable[str] = (),
        excluded: Iterable[str] = (),
        present: Iterable[PresentPackage] = (),
    ) -> str:
        """Resolve for `target` and return PEP 751 text; one wheel (or an sdist) for each package.

        torch and what is compiled with it come from `torch_index` (URL or folder) and from nowhere else when
        that is given; of a folder, as far as it has them.
        Of the packages in `only_binary` only releases with a wheel for the target count; those in `excluded`
        are left out, whoever requires them. Those that are `present` have that version and require nothing;
        they are in the text, each as an archive and with no file of the index.

        Raises InputError when no set of versions fits, MissingError when the index cannot be reached, and
        NeedsTorchError for the first sdist that does not tell its metadata without torch.
        """
        question = _Question(
            target=target,
            requirements=tuple(requirements),
            constraints=tuple(constraints),
            find_links=find_links,
            interpreter=interpreter,
            torch_index=torch_index,
            only_binary=tuple(only_binary),
            excluded=tuple(excluded),
            present=tuple(present),
        )
        work.mkdir(parents=True, exist_ok=True)
        return self._answer(question, work)

    def _answer(self, question: _Question, work: Path) -> str:
        result = work / "pylock.toml"
        name = question.target.name
        environment = self._environment()
        if question.find_links is not None:
            environment["UV_FIND_LINKS"] = ",".join([str(question.find_links), *self.index.find_links])
        release = macos_release(question.target.platform)
        if release is not None:
            # which macOS uv resolves for; its default is another one with every release of uv
            environment["MACOSX_DEPLOYMENT_TARGET"] = f"{release}.0"
        command = self._compile_command(question, work, result)
        outcome = self.run(command, step=f"resolve for {name}", cwd=work, env=environment, check=False)
        if outcome.returncode != 0:
            raise self._unresolved(name, outcome.output)
        for warning in dict.fromkeys(_WORTH_TELLING.findall(outcome.output)):
            self.warn(warning.replace("`", ""))
        resolution = result.read_text("utf-8")
        known = [*question.requirements, *(one.name for one in question.present)]
        elsewhere = _from_elsewhere(resolution, known, question.torch_index)
        if not elsewhere:
            return resolution
        # uv knows the index of what is asked for, not of what others require
        result.unlink()
        return self._answer(replace(question, requirements=(*question.requirements, *elsewhere)), work)

    def _compile_command(self, question: _Question, work: Path, result: Path) -> list[str | Path]:
        """uv's command that answers the question, with the files it reads, written to `work`."""
        # named pyproject.toml because uv reads which index serves which package from there alone
        wanted = work / "pyproject.toml"
        wanted.write_text(_project_text(question, work / "present"), "utf-8")
        limits = work / "constraints.txt"
        limits.write_text("\n".join(question.constraints) + "\n", "utf-8")
        build_limits = work / "build-constraints.txt"
        build_limits.write_text(f"{_NO_TORCH}\n", "utf-8")
        # uv 0.9.0 has no --excludes; an override that no Python meets does the same in every version
        overrides = work / "overrides.txt"
        overrides.write_text(
            "".join(f"{name}; python_version < '0'\n" for name in question.excluded), "utf-8"
        )
        command: list[str | Path] = [self.program, "pip", "compile", wanted, "--constraints", limits]
        command += ["--build-constraints", build_limits, "--overrides", overrides]
        # not quiet, for its warnings
        command += ["--format", "pylock.toml", "--output-file", result, "--no-header"]
        if question.torch_index is None:  # uv would leave out torch's index too
            command += self.index.uv_arguments
        target = question.target
        command += ["--python-version", target.python, "--python-platform", target.uv_platform]
        command += _AS_PIP_DOES
        for name in question.only_binary:
            command += ["--only-binary", name]
        # any Python serves uv to resolve, but it wants to see one, and finds none that is in no usual place
        interpreter = question.interpreter
        return [*command, "--python", interpreter.path if interpreter is not None else sys.executable]

    def _unresolved(self, name: str, output: str) -> WheelferryError:
        """The error of a resolution for the target `name` that uv ended with."""
        failed = _FAILED_BUILD.search(output)
        if failed and speaks_of_torch(output):
            return NeedsTorchError(failed["name"], failed["version"])
        hint = "choose another torch or Python, or change what is asked for with --with and -r"
        if failed:
            hint = f"require another release of {failed['name']}, or another package; or {OTHER_WAYS}"
        return self._error(f"cannot resolve for {name}", output, hint)

    def locate_sdist(self, name: str, version: str | None, *, python: str, work: Path) -> str:
        """PEP 751 text that says where the index has the sdist of one release; nothing of it is run.

        Without `version` it is the newest.

        Raises InputError when the index does not have it for that Python, MissingError when the index
        cannot be reached.
        """
        work.mkdir(parents=True, exist_ok=True)
        wanted = work / "requirements.in"
        wanted.write_text(f"{name}=={version}\n" if version else f"{name}\n", "utf-8")
        result = work / "pylock.toml"
        # with --no-deps uv does not ask an sdist for its metadata, which would run its build
        command: list[str | Path] = [self.program, "pip", "compile", wanted, "--no-deps", "--no-binary", name]
        command += ["--format", "pylock.toml", "--output-file", result, "--no-header", "--quiet"]
        command += self.index.uv_arguments
        command += ["--python-version", python]
        title = f"{name} {version or ''}".rstrip()
        step = f"look up the sdist of {title}"
        outcome = self.run(command, step=step, cwd=work, env=self._environment(), check=False)
        if outcome.returncode != 0:
            hint = "give the archive itself with --source PATH"
            raise self._error(f"cannot find the sdist of {title}", outcome.output, hint)
        return result.read_text("utf-8")

    def fetch_python(self, request: str, work: Path) -> Path:
        """The archive of a Python from uv's own catalogue (``cpython-3.12-linux-x86_64-gnu``), as published.

        It comes through uv's mirror settings (``UV_PYTHON_INSTALL_MIRROR`` …), and uv checks its hash.
        Raises MissingError when there is none or the host does not answer.
        """
        cache = work / "archives"
        self.run(
            [self.program, "python", "install", "--no-bin", "--install-dir", work / "pythons", request],
            step=f"fetch {request}",
            env=self._environment({"UV_PYTHON_CACHE_DIR": str(cache)}),
            error=MissingError,
            hint="give an archive with --runtime FILE, or a mirror with UV_PYTHON_INSTALL_MIRROR",
        )
        (archive,) = [path for path in cache.iterdir() if path.is_file()]
        return archive

    def make_environment(
        self, folder: Path, interpreter: Interpreter, wheels: Iterable[Path], *, log: Path, cache: Path
    ) -> Path:
        """A virtual environment in `folder` holding exactly `wheels`; returns its python program."""
        environment = self._environment({"UV_CACHE_DIR": str(cache)})
        self.run(
            [self.program, "venv", "--quiet", "--python", interpreter.path, folder],
            step="make the build environment",
            env=environment,
            log=log,
        )
        python = program_in(folder)
        listing = folder / "wheels.txt"
        listing.write_text("".join(f"{path.as_uri()}\n" for path in wheels), "utf-8")
        self.run(
            [
                self.program,
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                "--no-deps",
                "--no-index",
                "-r",
                listing,
            ],
            step="fill the build environment",
            env=environment,
            log=log,
        )
        return python

    def build_sdist(
        self,
        sdist: Path,
        out: Path,
        *,
        interpreter: Interpreter,
        constraints: Iterable[str],
        environment: Mapping[str, str],
        log: Path,
    ) -> Path:
        """Build one wheel from `sdist` in isolation: what it asks for comes from the index, torch is refused.

        Raises BuildError; `speaks_of_torch` tells from it whether torch was what it lacked.
        """
        out.mkdir(parents=True, exist_ok=True)
        limits = out / "build-constraints.txt"
        limits.write_text("\n".join([*constraints, _NO_TORCH]) + "\n", "utf-8")
        self.run(
            [
                self.program, "build", "--wheel", "--quiet", "--python", interpreter.path,
                "--build-constraints", limits, "--out-dir", out, sdist,
            ],
            step=f"build {sdist.name}",
            env=self._environment(environment),
            log=log,
        )  # fmt: skip
        wheels = list(out.glob("*.whl"))
        if len(wheels) != 1:
            raise BuildError(f"build {sdist.name}: made {len(wheels)} wheels instead of one; see {log}")
        return wheels[0]

    def _error(self, failure: str, output: str, hint: str) -> WheelferryError:
        """The error of a resolution that failed; where the index does not know a name, with its address."""
        if _UNKNOWN_NAME.search(output):
            hint = f"the index is {index_in_words(self.index, os.environ)}: if that is right, {hint}"
        lines = [line for line in output.splitlines() if not line.startswith("warning: ")]
        return _resolution_error(failure, "\n".join(lines), hint)

    def _environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        # a virtual environment that happens to be active must not leak into what is resolved
        inherited = {
            k: v
            for k, v in os.environ.items()
            if k not in _NOT_INHERITED and not k.startswith(_NEVER_INHERITED)
        }
        return {**inherited, "UV_NO_PROGRESS": "1", **self.index.uv_environment(), **(extra or {})}


def _project_text(question: _Question, stand_ins: Path) -> str:
    """A project that depends on what is asked for, for uv to resolve.

    What is present it depends on too, by the path of a wheel without requirements that is written to
    `stand_ins`: uv then takes that package from nowhere else.
    """
    there = [f"{one.name} @ {write_stand_in(stand_ins, one).resolve().as_uri()}" for one in question.present]
    torch_index = question.torch_index
    document: dict[str, Any] = {
        "project": {
            "name": "wheelferry-resolution",
            "version": "0",
            "requires-python": f"=={question.target.python}.*",
            "dependencies": [*question.requirements, *there],
        }
    }
    if torch_index is not None:
        folder = Path(torch_index)
        index: dict[str, Any] = {"name": _TORCH_INDEX, "url": torch_index, "explicit": True}
        if folder.is_dir():
            index |= {"url": str(folder.resolve()), "format": "flat"}
        present = {one.name for one in question.present}
        served = [name for name in _served_with_torch(torch_index) if name not in present]
        sources = {name: {"index": _TORCH_INDEX} for name in served}
        document["tool"] = {"uv": {"index": [index], "sources": sources}}
    return tomli_w.dumps(document)


def _served_with_torch(torch_index: str) -> tuple[str, ...]:
    """The packages that an index of torch is asked for; a folder for those that it has, and for torch."""
    folder = Path(torch_index)
    if not folder.is_dir():
        return _WITH_TORCH
    files = [path.name.partition("-")[0] for path in folder.glob("*.whl")]
    return tuple(name for name in _WITH_TORCH if name in files or name in ("torch", "torchvision"))


def _from_elsewhere(resolution: str, asked: Iterable[str], torch_index: str | None) -> list[str]:
    """What a resolution has that belongs to torch's index, and that was not asked for itself."""
    if torch_index is None:
        return []
    direct = {canonicalize_name(Requirement(text).name) for text in asked}
    found = {package["name"] for package in tomllib.loads(resolution).get("packages", ())}
    return sorted(found & set(_served_with_torch(torch_index)) - direct)


_NETWORK = ("Request failed", "error sending request", "Failed to fetch", "dns error", "Could not connect")


_UNKNOWN_NAME = re.compile(r"was not found in the (package registry|provided package locations)")
# Of uv's warnings those about what was asked for.
_WORTH_TELLING = re.compile(r"^warning: (.* is yanked .*|.* does not have an extra named .*)$", re.MULTILINE)
_OWN_CACHE = "Failed to initialize cache"


def speaks_of_network(output: str) -> bool:
    """Whether uv says that it could not reach somebody."""
    return any(sign in output for sign in _NETWORK)


_FAILED_BUILD = re.compile(r"Failed to (?:download and )?build `(?P<name>[\w.-]+)==(?P<version>[^`]+)`")
# what Python says, what uv makes of it where it does not repeat Python's words, and what our limit leads to
_LACKS_TORCH = re.compile(
    rf"No module named 'torch'|depends on `torch`, but doesn't declare it|\b{re.escape(_NO_TORCH)}(?![\w.])"
)


def speaks_of_torch(output: str) -> bool:
    """Whether a build in isolation failed because it imports torch or wants it installed."""
    return bool(_LACKS_TORCH.search(output))


def _resolution_error(failure: str, output: str, hint: str) -> WheelferryError:
    text = f"{failure}:\n{output.strip()}"
    if _OWN_CACHE in output:
        return MissingError(text, hint="set UV_CACHE_DIR to a folder that can be written, or unset it")
    if speaks_of_network(output):
        return MissingError(
            text, hint="check the network, the proxy and pip's index settings (pip config list)"
        )
    if "hash" in output.lower() and "mismatch" in output.lower():
        return MissingError(text, hint="the index's answer does not match its own hashes")
    return InputError(text, hint=hint)
