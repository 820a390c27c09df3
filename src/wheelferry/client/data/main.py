"""The command line of `data` beside an installation: check and convert."""

import argparse
import os
import sys

from wheelferry.client.common.command import prepare_streams, run_command
from wheelferry.client.common.console import Console
from wheelferry.client.common.errors import BadInput
from wheelferry.client.data.convert import convert
from wheelferry.client.data.examine import Options, examine
from wheelferry.client.data.locate import FORMATS
from wheelferry.client.data.object_checks import TASKS
from wheelferry.client.data.report_lines import lines

PROGRAM = "wheelferry data"
INTERRUPTED = "nothing was written; the same command starts anew"
_DESCRIPTION = """\
Examine labelled pictures before they are trained on, and write them as COCO JSON.

Formats: COCO JSON, Pascal VOC XML, YOLO text, labelme JSON. Nothing is altered in place.
"""
_EPILOG = """\
Exit codes: 0 no errors; 1 errors were found (a conversion leaves out what they concern); 2 bad input;
3 something is missing on this machine; 130 interrupted.
"""


def main(arguments, prog=PROGRAM):
    """Run `check` or `convert` and return the exit status."""
    prepare_streams()
    options = _parser(prog).parse_args(arguments)
    console = Console(unattended=True, quiet=options.quiet)

    def action():
        result = run(options.verb, options.path, getattr(options, "out", None), options, console)
        if not options.json:
            sys.stdout.write("\n".join(lines(result)) + "\n")
        return result

    return run_command(action, console, options.json, "--out", INTERRUPTED)


def run(verb, path, out, given, progress):
    """The result of `check` or `convert` as plain values; `given` has the options by their names."""
    for name, value in (("PATH", path), ("--out", out), ("--images", given.images)):
        if value == "":
            raise BadInput("%s is empty" % name, hint="is a variable not set?")
    if given.jobs is not None and given.jobs < 1:
        raise BadInput("--jobs is %d" % given.jobs, hint="1 or more")
    if given.images and not os.path.isdir(given.images):
        raise BadInput("%s is no folder" % given.images, hint="--images names the folder of the pictures")
    options = Options(
        form=given.format,
        task=given.task,
        pictures=given.images,
        corners=given.corners,
        one_based=given.one_based,
        jobs=given.jobs or os.cpu_count() or 1,
    )
    if verb == "check":
        return examine(path, options, progress).to_json()
    return convert(path, out, options, given.link, progress)


def _parser(prog):
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="check|convert")
    verbs.required = True
    for verb, told in (("check", "say what is wrong"), ("convert", "write what is sound as COCO JSON")):
        one = verbs.add_parser(verb, help=told, description=told[0].upper() + told[1:] + ".", epilog=_EPILOG)
        _add_options(one.add_argument, verb)
    return parser


def _add_options(add, verb):
    add("path", metavar="PATH", help="the data set: its folder, or its JSON, XML or YAML file")
    add("--format", choices=FORMATS, help="of the labels; by default it is found out")
    add(
        "--task",
        choices=TASKS,
        help="what the model learns: an object without an outline or keypoints is an error",
    )
    add("--images", metavar="DIR", help="folder of the pictures, where it is none of the usual ones (COCO)")
    add("--corners", action="store_true", help="boxes are two corners, whatever the format says (COCO, YOLO)")
    add("--one-based", action="store_true", help="pixels are counted from 1 (VOC; LabelImg counts from 0)")
    add(
        "--jobs",
        "-j",
        type=int,
        metavar="N",
        help="pictures that are opened at the same time; default: cores",
    )
    if verb == "convert":
        add("--to", choices=("coco",), default="coco", help="the format to write")
        add("--out", metavar="DIR", required=True, help="new folder to write to")
        add(
            "--link",
            action="store_true",
            help="hard links instead of copies of the pictures, where it can be",
        )
    add("--json", action="store_true", help="print one JSON document on stdout")
    add("--quiet", "-q", action="store_true", help="show no progress")
