"""The recipes' smoke suites, run in an environment: does what was installed work here?"""

import os
import re

from wheelferry.client.common.errors import SmokeFailed
from wheelferry.client.common.files import read_json, remove_tree, write_atomic
from wheelferry.client.common.processes import TAIL_LINES, run
from wheelferry.client.smoke.page import render

LEVELS = ("smoke", "train")
PAGE = "report.html"
LISTING = "suites.json"  # of a bundle of several projects
_STEP = re.compile(r"^\[(\d+)/(\d+)\] (.*) \.\.\.$")


def prove(python, folder, levels, session, out=None, own=None):
    """Run the suites in `folder`/smoke with `python`; for each of `levels` its counts and seconds.

    Of several projects, each is counted under its recipe's name too. What the checks write goes to `out`, by
    default `folder`/report. `own` is a file that `own_data.write_request` wrote: the level train of the first
    project then has checks on the user's data, its counts have the ``figures`` measured, and a page shows
    them.

    Raises SmokeFailed, with what failed, at the first level that does.
    """
    out = out or os.path.join(folder, "report")
    return {
        level: _run_level(python, folder, level, session, out, own if level == LEVELS[-1] else None)
        for level in levels
    }


def suites_in(folder):
    """The names of the suites in a folder ``smoke``, in order: of several projects; of one, an empty name."""
    listing = read_json(os.path.join(folder, LISTING))
    return listing["suites"] if listing else [""]


def _run_level(python, folder, level, session, reports, own):
    remove_tree(os.path.join(reports, level))
    names = suites_in(os.path.join(folder, "smoke"))
    if names == [""]:
        return _run_suite(python, folder, "", level, session, reports, own)
    counts = {
        name: _run_suite(python, folder, name, level, session, reports, own if name == names[0] else None)
        for name in names
    }
    # the first one may have figures too
    total = {key: sum(one[key] for one in counts.values()) for key in counts[names[-1]]}
    total["seconds"] = round(total["seconds"], 1)
    return dict(counts[names[0]], projects=counts, **total)


def _run_suite(python, folder, name, level, session, reports, own):
    """Run one level of the suite called `name`, of several; its counts and seconds."""
    out = os.path.join(reports, level, name)
    command = [python, os.path.join(folder, "smoke", name, "harness.py")]
    command += ["--level", level, "--out", out, *(["--own", own] if own else ())]
    step = "%s %s" % (level, name) if name else level
    with session.task("%s checks%s" % (level, " of %s" % name if name else ""), step) as task:

        def listen(line):
            match = _STEP.match(line)
            if match:
                task.total = int(match.group(2))
                task.advance()

        status, output = run(
            command, session.env, session.log, cwd=session.prefix.tmp, on_line=listen, held=session.held
        )
    document = read_json(os.path.join(out, level + ".json"))
    counts = _count(document)
    if own and document:
        _show(document, out, session.console)
    if status != 0 or not counts["passed"]:
        raise SmokeFailed(
            "the %s checks%s failed:\n%s"
            % (level, " of %s" % name if name else "", _complaints(document, status, output)),
            hint="the whole output is in %s; an environment that was in use before is in use still"
            % session.prefix.log,
        )
    session.console.say("  %(passed)d passed, %(skipped)d skipped" % counts)
    figures = {"figures": document["figures"]} if own else {}
    return dict(counts, seconds=session.seconds[step], **figures)


def _show(document, out, console):
    """Say what was measured on the user's data, and write the page that shows it."""
    for name, value in sorted(document["figures"].items()):
        console.say("  %s: %.4g" % (name, value))
    page = os.path.join(out, PAGE)
    write_atomic(page, render(document, out))
    console.say("  with curves and pictures: %s" % page)


def _count(document):
    statuses = [check["status"] for check in (document or {}).get("checks", ())]
    return {status: statuses.count(status) for status in ("passed", "failed", "skipped")}


def _complaints(document, status, output):
    """What failed, or how the interpreter ended before it could say."""
    lines = [
        "  %s: %s" % (check["title"], check["reason"])
        for check in (document or {}).get("checks", ())
        if check["status"] == "failed"
    ]
    if document is None or document["running"]:
        during = document["running"] if document else "the start"
        tail = "\n".join(output.splitlines()[-TAIL_LINES:])
        lines.append("  ended with status %d during %s:\n%s" % (status, during, tail))
    return "\n".join(lines) or "  no check passed: nothing was proven"
