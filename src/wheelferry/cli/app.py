"""The command line: registration, and the one place where errors become messages and exit codes."""

import io
import signal
import sys
from types import FrameType

import typer

from wheelferry import __version__
from wheelferry.cli.commands import (
    audit,
    bundle,
    cache,
    data,
    delta,
    doctor,
    index,
    inspect,
    install,
    matrix,
    merge,
    probe,
    recipe,
    recipes,
    sign,
    split,
    verify,
)
from wheelferry.client.common.errors import Stop
from wheelferry.errors import Interrupted, WheelferryError, refused_by_machine

app = typer.Typer(
    name="wheelferry",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Carry compiled Python stacks such as Detectron2 to machines that have no network.\n\n"
        "On a connected machine, make a bundle and verify it:\n\n"
        "  wheelferry bundle detectron2@v0.6 --python 3.12 --out d2-bundle\n\n"
        "On the isolated machine, run install.sh or install.cmd in the bundle.\n\n"
        "New here? `wheelferry demo` does all of it with a small sample project."
    ),
    epilog=(
        "Exit codes: 0 done; 1 verification found problems; 2 bad input; 3 something is missing on this "
        "machine; 4 bytes are not the expected ones; 5 a build or install failed; 130 interrupted."
    ),
)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"wheelferry {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options before the command."""


for _command in (
    bundle.demo,
    bundle.bundle,
    bundle.plan,
    bundle.build,
    bundle.lock,
    bundle.pack,
    verify.verify,
    inspect.inspect,
    audit.audit,
    sign.sign,
    merge.merge,
    index.index,
    delta.diff,
    delta.delta,
    split.split,
    recipes.recipes,
    matrix.matrix,
    doctor.doctor,
    probe.probe,
):
    app.command()(_command)
# their options, --help among them, are those that they have on a client, where there is no typer
for _on_client in (install.install, delta.apply, split.join):
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    )(_on_client)
app.add_typer(recipe.app, name="recipe")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")


class _Stop(BaseException):
    """Ctrl-C or SIGTERM. Not KeyboardInterrupt, which typer would answer with a bare "Aborted!"."""


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def main() -> None:
    """Run the command line; every error that is foreseen ends here with its own exit code."""
    for stream in (sys.stdout, sys.stderr):
        # into a pipe on Windows goes the code page, which lacks some of what we print
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)
    try:
        app(standalone_mode=True)
    except _Stop:
        _end(Interrupted("interrupted", hint=_after_interruption(sys.argv[1:])))
    except (WheelferryError, Stop) as error:  # what the client's own code raises has the same exit codes
        _end(error)
    except OSError as error:
        refusal = refused_by_machine(error)
        if refusal is None:
            raise
        _end(refusal)


def _after_interruption(arguments: list[str]) -> str:
    """What is left of a command that was interrupted, and what to do."""
    if arguments[:1] == ["data"]:
        from wheelferry.client.data.main import INTERRUPTED

        return INTERRUPTED["convert" if "convert" in arguments else "check"]
    return "run the same command again: it continues from what is in the store"


def _end(error: WheelferryError | Stop) -> None:
    from wheelferry.cli.console import print_error, print_json

    if "--json" in sys.argv:
        print_json({"error": str(error), "hint": error.hint, "exit_code": error.exit_code})
    print_error(str(error), error.hint)
    raise SystemExit(error.exit_code)
