"""Start one of the programs of this folder; without a name, say which there are.

This file travels in bundles as ``apps/__main__.py``, so that ``python -I apps NAME ...`` runs a program in
any environment that has what the bundle's lock says. It needs the standard library and Python 3.7. A
program is a module of this folder, whose ``main(arguments)`` returns the exit status.
"""

import importlib
import json
import os
import sys

FORMAT = 1
LISTING = "apps.json"


def read_programs(folder):
    """The programs of a folder of apps, as its list has them: name, help, module. None: an empty list."""
    try:
        with open(os.path.join(folder, LISTING), encoding="utf-8") as stream:
            document = json.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return document["programs"] if document["format"] == FORMAT else []


def describe(programs):
    """One line for each program."""
    return ["  %-10s %s" % (program["name"], program["help"]) for program in programs]


def main(arguments):
    """Run the program that the first argument names; returns its exit status."""
    folder = os.path.dirname(os.path.abspath(__file__))
    programs = read_programs(folder)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print("\n".join(["programs, each with a --help of its own:", *describe(programs)]))
        return 0
    chosen = [program for program in programs if program["name"] == name]
    if not chosen:
        known = ", ".join(program["name"] for program in programs)
        sys.stderr.write("error: there is no program %r here\n  -> there is %s\n" % (name, known))
        return 2
    # what argparse calls it in its usage and errors
    sys.argv = ["wheelferry " + name, *arguments[1:]]
    if chosen[0].get("folder"):  # of several projects each has one of its own
        sys.path.insert(0, os.path.join(folder, chosen[0]["folder"]))
    return importlib.import_module(chosen[0]["module"]).main(arguments[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
