"""The command lines of apply and join, for clients that have a Python; wheelferry has the same."""

import argparse
import os
import sys

from wheelferry.client.common.command import prepare_streams, run_command
from wheelferry.client.common.console import Console
from wheelferry.client.common.errors import BadInput
from wheelferry.client.transfer.delta import apply_delta
from wheelferry.client.transfer.volumes import find_volumes, join

APPLY, JOIN = "apply", "join"
_DESCRIPTIONS = {
    APPLY: """\
Make the new bundle of an old one and a delta.

The old bundle must be exactly the one that the delta was made for. Every byte is hashed while it is
copied; the result is, byte for byte, the bundle that was packed, its signature and report included. Neither
the old bundle nor the delta is changed.""",
    JOIN: """\
Make a bundle of the volumes that it was split into.

Give the folders of all volumes; or of one, and the same command with the next one's when the medium has been
changed. Bad and missing volumes are named, and those that were right are not read again. The volumes are not
changed.""",
}
_EPILOG = """\
Killed at any moment, the same command continues. Exit codes: 0 done; 2 bad input; 3 something is missing: a
volume, space, a permission; 4 bytes are not the expected ones; 130 interrupted.
"""
_INTERRUPTED = "the same command continues with what is there, in a folder beside the result, .NAME.part"


def main(verb, arguments=None, prog=None):
    """Run `apply` or `join` and return its exit status."""
    prepare_streams()
    options = _parser(verb, prog).parse_args(arguments)
    console = Console(unattended=True, quiet=options.quiet)
    action = _apply if verb == APPLY else _join
    return run_command(lambda: action(options, console), console, options.json, "--out", _INTERRUPTED)


def _parser(verb, prog):
    parser = argparse.ArgumentParser(
        prog=prog or verb,
        description=_DESCRIPTIONS[verb],
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    if verb == APPLY:
        if prog:
            add("delta", metavar="DELTA", help="the delta's folder")
        else:
            parser.set_defaults(delta="")
        add("old", metavar="OLD", help="folder of the bundle that the delta was made for")
    elif prog:
        add("volumes", metavar="DIR", nargs="+", help="folders of volumes, or volumes themselves")
    else:
        add(
            "volumes",
            metavar="DIR",
            nargs="*",
            help="folders of volumes, or volumes themselves; default: where this program lies, and beside it",
        )
    add("--out", metavar="DIR", required=True, help="folder to make: the bundle")
    add("--json", action="store_true", help="print one JSON document on stdout")
    add("--quiet", "-q", action="store_true", help="show no progress")
    return parser


def _apply(options, console):
    for name in ("old", "out"):
        if not getattr(options, name):
            raise BadInput("%s is empty" % name.upper(), hint="is a variable not set?")
    result = apply_delta(options.delta or _here(), options.old, options.out, console)
    return _show(result, options)


def _join(options, console):
    if not options.out or "" in options.volumes:
        raise BadInput("the name of a folder is empty", hint="is a variable not set?")
    here = _here()
    beside = () if options.volumes else (os.path.dirname(here),)
    result = join(find_volumes(options.volumes or [here], beside), options.out, console)
    return _show(result, options)


def _here():
    """The folder that this program lies in, where it travels as one file; else the current one."""
    loader = getattr(sys.modules["__main__"].__spec__, "loader", None)
    archive = getattr(loader, "archive", None)
    return os.path.dirname(os.path.abspath(archive)) if archive else os.getcwd()


def _show(result, options):
    if not options.json:
        sys.stdout.write("bundle: %(bundle)s (%(files)d files, %(bytes)d bytes)\n" % result)
    return result
