"""The program that writes a machine's profile; any Python from 3.7 on runs it, with nothing installed."""

import argparse
import sys

from wheelferry.client.probe.folders import usual_folders
from wheelferry.client.probe.installed import python_of
from wheelferry.client.probe.profile import collect, summary, to_text


def main(arguments=None):
    """Write the profile of this machine; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Write down what an installation on this machine depends on. Changes nothing."
    )
    parser.add_argument("--out", metavar="FILE", help="write the profile there, as JSON")
    parser.add_argument("--json", action="store_true", help="print the profile instead of a summary")
    parser.add_argument(
        "--folder",
        metavar="DIR",
        action="append",
        help="a folder to look at: where the installation shall go; repeatable (default: home and temp)",
    )
    parser.add_argument(
        "--python",
        metavar="ENV",
        action="append",
        default=[],
        help="an environment, or its Python: list what is installed there, for bundle --present; repeatable",
    )
    options = parser.parse_args(arguments)
    programs = [(place, python_of(place)) for place in options.python]
    missing = [place for place, program in programs if program is None]
    if missing:
        sys.stderr.write("error: there is no Python at %s\n" % ", ".join(missing))
        return 2
    if options.python:
        sys.stderr.write("looking at what is installed, and hashing the libraries of torch ...\n")
    profile = collect(options.folder or usual_folders(), environments=[program for _, program in programs])
    answered = [environment["python"] for environment in profile["environments"]]
    silent = [program for _, program in programs if program not in answered]
    if silent:
        sys.stderr.write("error: no Python answers at %s\n" % ", ".join(silent))
        return 2
    text = to_text(profile)
    if options.out:
        try:
            with open(options.out, "w", encoding="ascii", newline="\n") as stream:
                stream.write(text)
        except OSError as error:
            sys.stderr.write("error: cannot write %s: %s\n" % (options.out, error.strerror))
            return 3
    shown = text if options.json else summary(profile) + "\n"
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))
    if options.out and not options.json:
        sys.stdout.write("Written to %s\n" % ascii(options.out)[1:-1])
    return 0
