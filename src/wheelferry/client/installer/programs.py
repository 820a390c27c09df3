"""The programs of an installation: which it has, and starting one in its environment's Python."""

import os

from wheelferry.client.apps.start import describe, read_programs
from wheelferry.client.common.errors import BadInput, NotPossibleHere
from wheelferry.client.common.processes import hand_over
from wheelferry.client.installer.prefix import Prefix

APPS = "apps"


def split_program(arguments):
    """(folder, program, its arguments) of a launcher's ``--prefix DIR NAME ...``; None for anything else."""
    if not arguments or not arguments[0].startswith("--prefix"):
        return None
    option, equals, folder = arguments[0].partition("=")
    rest = list(arguments[1:])
    if option != "--prefix":
        return None
    if not equals:
        folder, rest = (rest[0], rest[1:]) if rest else ("", [])
    if not rest or not folder or rest[0].startswith("-"):
        return None
    return folder, rest[0], rest[1:]


def run_program(root, name, arguments):
    """Run a program of the installation at `root` in this process's place; returns its exit status.

    Raises BadInput for a name that is none, NotPossibleHere when nothing is
    installed.
    """
    prefix = Prefix(root)
    environment = prefix.current()
    if environment is None:
        raise NotPossibleHere(
            "nothing is installed in %s" % prefix.root, hint="name the folder with --prefix"
        )
    folder = os.path.join(environment.folder, APPS)
    programs = read_programs(folder)
    if name not in [program["name"] for program in programs]:
        known = ", ".join(program["name"] for program in programs)
        raise BadInput(
            "this installation has no program %r" % name,
            hint="it has %s; --help says what each does" % known
            if programs
            else "wheelferry bundle ... --app NAME, where the bundle is made, puts one into it",
        )
    return hand_over([environment.python, "-I", folder, name, *arguments])


def how_to_run(launcher, folder):
    """Lines that say how the programs of an installed folder of apps are started."""
    programs = read_programs(folder)
    lines = ["  %s %s" % (launcher, line.strip()) for line in describe(programs)]
    return ["programs (each has a --help of its own):", *lines] if programs else []
