"""What a setup.py asks of the machine that it runs on, where the machine of the build must not matter."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wheelferry.cache.source import substitute
from wheelferry.models.recipes.recipe import Substitution


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A text of setup.py, what takes its place and why; `for_gpu`: then it builds for GPUs alone."""

    old: str
    new: str
    reason: str
    for_gpu: bool


_QUESTIONS = (
    Question(
        old="torch.cuda.is_available()",
        new="True",
        reason="a GPU is needed where the wheel is used, not where it is built",
        for_gpu=True,
    ),
    Question(
        old="torch.has_cuda",
        new='(__import__("os").environ.get("FORCE_CUDA") == "1")',
        reason="a torch that was built with CUDA may be given ops for the CPU alone",
        for_gpu=False,
    ),
)


def replace_questions(tree: Path, inside: str) -> tuple[Substitution, ...]:
    """Replace what setup.py of the folder `inside` of `tree` asks; how, or () if it asks nothing."""
    found = tuple(_found(tree / inside / "setup.py", (Path(inside) / "setup.py").as_posix()))
    substitute(tree, found)
    return found


def is_for_gpu(substitutions: Iterable[Substitution]) -> bool:
    """Whether setup.py, with these, builds for GPUs whatever it is asked for."""
    texts = {question.old for question in _QUESTIONS if question.for_gpu}
    return any(one.old in texts for one in substitutions)


def _found(setup: Path, file: str) -> Iterable[Substitution]:
    text = setup.read_text("utf-8", errors="replace") if setup.is_file() else ""
    for question in _QUESTIONS:
        if count := text.count(question.old):
            yield Substitution(
                file=file, old=question.old, new=question.new, count=count, reason=question.reason
            )
