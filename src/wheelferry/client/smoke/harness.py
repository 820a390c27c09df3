"""Run a recipe's smoke suite inside the environment that is being proven.

This file travels in every bundle as ``smoke/harness.py``. It needs nothing but the
standard library and Python 3.7, because it must start in the oldest target's environment
and report even when the packages under test cannot be imported.

A suite is the folder this file lies in: ``suite.json`` names the modules to load and the
features that the release has; each module registers its checks::

    from harness import check, expect

    @check("rotated IoU of two squares", level="smoke", needs=["rotated"])
    def rotated_iou(context):
        error = ...
        context.value("largest error", error)
        expect(error < 1e-6, "IoU is off by %g" % error)

Checks of the level ``data`` run beside those of ``train`` when the user gives a data set
(``--own FILE``); the modules that ``own_data`` in ``suite.json`` names register them. They find
it in ``context.own``, and may import what lies in the folder ``apps`` beside the suite.

Results go to ``OUT/<level>.json`` after every check, so that a crash of the interpreter
still leaves the name of the check that was running. With each check stand the connections
that Python code tried to open meanwhile.
"""

import argparse
import contextlib
import functools
import glob
import importlib
import ipaddress
import json
import math
import operator
import os
import platform
import re
import socket
import sys
import time
import traceback
import types  # noqa: F401 -- for a comment

FORMAT = 1
LEVELS = ("smoke", "train")
# Checks on the user's own data: they run with the level train, where there are any.
DATA = "data"
# What is set where a processor is emulated, at a hundredth of its speed.
EMULATED = "WHEELFERRY_EMULATED"
# The feature that every wheel has that was not built without its compiled ops.
OPS = "ops"

# Where the standard library lies, and below it other people's packages.
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)

_registered = []  # type: list[Check]


class Skip(Exception):
    """Raised by a check that cannot run here; the message is the reason shown in the report."""


class Unusable(Exception):
    """Raised by a check that was given what cannot be used; the message, which says why, is the reason."""


class Connections(object):
    """The attempts of Python code to reach another machine, from the making of this object on.

    Python tells of them before it makes them (``sys.addaudithook``, Python 3.8), so that an attempt is seen
    which fails, or whose failure is caught. Not seen are those of compiled code and of other programs.
    `watched` is whether this Python tells.
    """

    watched = hasattr(sys, "addaudithook")

    def __init__(self):
        self._seen = []  # type: list[dict[str, object]]
        if self.watched:
            sys.addaudithook(self._hear)
            for method in ("connect", "connect_ex", "sendto"):
                setattr(socket.socket, method, self._telling(getattr(socket.socket, method)))

    def take(self):
        """What was tried since the last call, each once.

        One attempt is ``{"modules": [...], "address": "host:port"}``: the top-level modules that were running
        besides the standard library's, the innermost first; none where a line of a .pth file or one of
        its own threads, such as asyncio's, did it.
        """
        taken, self._seen = self._seen, []
        return taken

    def _hear(self, event, arguments):
        """The hook; an exception that left it would end what the program is doing."""
        if not event.startswith("socket."):
            return
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            if arguments[0].family in (socket.AF_INET, socket.AF_INET6):
                self._note(arguments[1])
        elif event == "socket.getaddrinfo":
            self._note(arguments[:2])
        elif event in ("socket.gethostbyname", "socket.gethostbyaddr"):
            self._note(arguments[:1])

    def _telling(self, method):
        """A method of sockets that tells of its address; the audit event comes only once a name was found."""

        @functools.wraps(method)
        def tells(sock, *arguments):
            if sock.family in (socket.AF_INET, socket.AF_INET6) and arguments:
                self._note(arguments[-1])
            return method(sock, *arguments)

        return tells

    def _note(self, address):
        """Keep an address, as sockets take it, of another machine."""
        if not isinstance(address, tuple) or not address:
            return  # sendmsg on a socket that is connected already, or what sockets refuse
        host, port = address[0], address[1] if len(address) > 1 else None
        host = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
        if not isinstance(host, str) or _is_this_machine(host):
            return
        shown = "[%s]" % host if ":" in host else host
        shown += "" if port in (None, 0, "") else ":%s" % (port,)
        attempt = {"modules": _modules_at_work(), "address": shown}
        if attempt not in self._seen:
            self._seen.append(attempt)


def _is_this_machine(host):
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = host.lower().rstrip(".")
        own = ("", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname().lower())
        return name in own or name.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _modules_at_work():
    """The top-level modules on the stack, the innermost first, without the standard library and this file."""
    found = []  # type: list[str]
    frame = sys._getframe()  # type: types.FrameType | None
    own = _modules_at_work.__code__.co_filename
    while frame is not None:
        path = frame.f_code.co_filename
        library = path.startswith(_LIBRARY) and not any(folder in path for folder in _PACKAGES)
        if not path.startswith("<") and not library and path != own:
            name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if name and name not in found:
                found.append(name)
        frame = frame.f_back
    return found


class Check(object):
    """One registered check: its function, title, level and the features it needs."""

    def __init__(self, function, title, level, needs):
        self.function = function
        self.title = title
        self.level = level
        self.needs = tuple(needs)

    @property
    def name(self):
        return "%s.%s" % (self.function.__module__, self.function.__name__)


class OwnData(object):
    """The user's data set, what is to be done with it, and what is expected of it.

    `data` is a folder as ``data convert`` writes it: ``annotations.json`` (COCO) and ``images``, or a folder
    with both for each of train, val and test. `weights` is a file or a name that the programs of the bundle
    know, `config` likewise; both may be None. `seconds` is the time that training and measuring may take.
    With `evaluate_only` nothing is trained.
    """

    def __init__(self, document):
        self.data = document["data"]
        self.weights = document["weights"]
        self.config = document["config"]
        self.seconds = document["seconds"]
        self.evaluate_only = document["evaluate_only"]
        self.figures = {}  # type: dict[str, float]
        self._expectations = document["expectations"]

    def will_measure(self, names):
        """Say which figures there will be, before they cost time; Unusable where others are expected."""
        unknown = sorted({one["metric"] for one in self._expectations} - set(names))
        if unknown:
            raise Unusable(
                "nothing called %s is measured of this model; there is %s" % (unknown[0], ", ".join(names))
            )

    def measured(self, figures):
        """Hand in what was measured, numbers by name; what is no finite number counts as not measured."""
        self.figures.update({name: value for name, value in figures.items() if math.isfinite(value)})

    def judge(self):
        """A result like that of a check for each expectation."""
        return [_judged(one, self.figures.get(one["metric"])) for one in self._expectations]


_RELATIONS = {
    ">=": ("at least", operator.ge),
    ">": ("more than", operator.gt),
    "<=": ("at most", operator.le),
    "<": ("less than", operator.lt),
}


def _judged(expectation, got):
    metric, wanted = expectation["metric"], expectation["value"]
    words, holds = _RELATIONS[expectation["relation"]]
    met = got is not None and holds(got, wanted)
    reason = "it was not measured: nothing was there to measure" if got is None else "it is %.6g" % got
    return {
        "name": "expected.%s" % metric,
        "title": "on your data %s is %s %g" % (metric, words, wanted),
        "status": "passed" if met else "failed",
        "reason": None if met else reason,
        "traceback": None,
        "seconds": 0.0,
        "values": {} if got is None else {metric: round(got, 4)},
        "files": [],
    }


class Context(object):
    """What a check receives: a folder for its files, the suite's data, and places to report to.

    `build` is what the wheel under test says about its making (``wheelferry.json`` in its
    .dist-info): backend, CUDA version and architectures, torch; empty when it says nothing. `own` is an
    `OwnData` for checks of the level data. `emulated` is whether the processor is, so that what takes a
    minute elsewhere takes hours.
    """

    def __init__(self, out, features, settings, build, own=None):
        self.out = out
        self.own = own
        self.features = frozenset(features)
        self.settings = dict(settings)
        self.build = dict(build)
        self.emulated = bool(os.environ.get(EMULATED))
        self.values = {}
        self.files = []

    def value(self, name, value):
        """Record a figure (number or short text) that the report shows beside the check."""
        if isinstance(value, (str, bool, int, float)) or value is None:
            self.values[name] = value
        else:
            self.values[name] = float(value)

    def file(self, path, caption):
        """Record a file below ``out`` (a picture, a log) that the report shows or links."""
        self.files.append(
            {"path": os.path.relpath(str(path), self.out).replace(os.sep, "/"), "caption": caption}
        )

    def losses(self, rows):
        """Record the losses of a training: for each iteration a dict of figures, written as JSON lines."""
        path = os.path.join(self.out, "metrics.jsonl")
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(dict(row, iteration=n)) + "\n" for n, row in enumerate(rows, 1))
        self.file(path, "Losses by iteration, as JSON lines")


def check(title, level="smoke", needs=()):
    """Register the decorated function as a check; `needs` names features, a missing one skips it."""
    known = (*LEVELS, DATA)
    if level not in known:
        raise ValueError("level must be one of %s, not %r" % (", ".join(known), level))

    def register(function):
        _registered.append(Check(function, title, level, needs))
        return function

    return register


def expect(condition, message):
    """Fail the running check with `message` unless `condition` holds (`assert` vanishes under -O)."""
    if not condition:
        raise AssertionError(message)


def load(suite_dir, own=None):
    """Read ``suite.json`` and import the modules it names, in its order; with `own`, those for it too."""
    with open(os.path.join(suite_dir, "suite.json"), encoding="utf-8") as stream:
        suite = json.load(stream)
    # A module that does `from harness import check` must meet this very module, also when
    # this file was started as a script and is therefore called __main__.
    sys.modules["harness"] = sys.modules[__name__]
    if suite_dir not in sys.path:
        sys.path.insert(0, suite_dir)
    if own is not None:
        sys.path.append(_programs_of(suite_dir))
    for module in [*suite["modules"], *(suite["own_data"] if own is not None else ())]:
        importlib.import_module(module)
    return suite


def _programs_of(suite_dir):
    """The folder of the programs that go with a suite: beside it; of several projects, that of its name."""
    parent, name = os.path.split(suite_dir)
    if os.path.isfile(os.path.join(parent, "suites.json")):
        return os.path.join(os.path.dirname(parent), "apps", name)
    return os.path.join(parent, "apps")


def read_stamp(distribution):
    """What the installed wheel of `distribution` says about its making; empty without a wheel of ours.

    Names count as equal as in packages: My.Ops is installed as my_ops.
    """
    for folder in sys.path:
        pattern = os.path.join(glob.escape(folder), "*.dist-info", "wheelferry.json")
        for found in sorted(glob.glob(pattern)):
            installed = os.path.basename(os.path.dirname(found)).partition("-")[0]
            if _normalized(installed) == _normalized(distribution):
                with open(found, encoding="utf-8") as stream:
                    return json.load(stream)
    return {}


def _normalized(name):
    return re.sub("[-_.]+", "-", name).lower()


def run(suite, level, out, only=(), unloadable=None, connections=None, own=None):
    """Run every registered check of `level` and return the result document (also written to `out`).

    `unloadable` maps binaries (paths in small letters) that this machine cannot load to the reason: a check
    that ends at one of them is skipped. `connections` are those that are watched; what was tried before the
    first check stands in the document itself. `own` is an `OwnData`, for the checks of the level data.
    """
    os.makedirs(out, exist_ok=True)
    levels = (level, DATA) if own is not None else (level,)
    selected = [c for c in _registered if c.level in levels and (not only or c.name in only)]
    document = {
        "format": FORMAT,
        "level": level,
        "recipe": suite["recipe"],
        "release": suite["release"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "watched": connections is not None and connections.watched,
        "connections": connections.take() if connections else [],
        "running": None,
        "checks": [],
        "figures": {},
    }
    measured = True
    for number, item in enumerate(selected, 1):
        document["running"] = item.name
        _write(document, out)
        print("[%d/%d] %s ..." % (number, len(selected), item.title), flush=True)
        result = _run_one(item, suite, out, unloadable or {}, own)
        print(
            "[%d/%d] %s: %s (%.1f s)"
            % (number, len(selected), item.title, result["status"], result["seconds"])
        )
        result["connections"] = connections.take() if connections else []
        document["checks"].append(result)
        measured = measured and (item.level != DATA or result["status"] != "failed")
    if own is not None:
        document["figures"] = own.figures
        document["checks"] += own.judge() if measured else []
    document["running"] = None
    _write(document, out)
    return document


def _run_one(item, suite, out, unloadable, own):
    build = read_stamp(suite.get("distribution", ""))
    features = set(suite.get("features", ())) | {OPS}
    lacking = set(suite.get("ops_features", ())) | {OPS} if build.get("ops") is False else set()
    context = Context(out, features - lacking, suite.get("settings", {}), build, own)
    missing = [feature for feature in item.needs if feature not in context.features]
    started = time.perf_counter()
    status, reason, trace = "passed", None, None
    if missing:
        who = "this wheel, built without them," if lacking.intersection(missing) else "this release"
        status, reason = "skipped", "%s has no %s" % (who, ", ".join(missing))
    else:
        try:
            item.function(context)
        except Skip as skipped:
            status, reason = "skipped", str(skipped)
        except Unusable as error:
            status, reason = "failed", str(error)
        except Exception as error:  # a check may fail in any way; the failure is what is reported
            beyond = [unloadable[path] for path in _binaries(error) if path in unloadable]
            status, reason, trace = "failed", "%s: %s" % (type(error).__name__, error), traceback.format_exc()
            if beyond:
                status, reason, trace = "skipped", beyond[0], None
            else:
                print(trace, file=sys.stderr)
    return {
        "name": item.name,
        "title": item.title,
        "status": status,
        "reason": reason,
        "traceback": trace,
        "seconds": round(time.perf_counter() - started, 3),
        "values": context.values,
        "files": context.files,
    }


def _binaries(error):
    """The binaries that could not be loaded on the way to `error`."""
    while error is not None:
        if isinstance(error, ImportError) and error.path:
            yield error.path.lower()
        error = error.__cause__ or error.__context__


def _write(document, out):
    final = os.path.join(out, document["level"] + ".json")
    with open(final + ".part", "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1, allow_nan=True)
    os.replace(final + ".part", final)


def main(argv=None):
    """Command line: exit 0 when no check failed and at least one passed, else 1."""
    parser = argparse.ArgumentParser(description="Run the smoke suite of this bundle.")
    parser.add_argument("--level", choices=LEVELS, default="smoke")
    parser.add_argument("--out", default="smoke-report", help="folder for results and pictures")
    parser.add_argument("--only", action="append", default=[], help="run only this check (module.function)")
    parser.add_argument("--unloadable", help="JSON: binaries that this machine cannot load, with the reason")
    parser.add_argument("--own", metavar="FILE", help="JSON: the user's data set, and what is expected of it")
    arguments = parser.parse_args(argv)
    out = os.path.abspath(arguments.out)
    connections = Connections()
    own = None
    if arguments.own:
        with open(arguments.own, encoding="utf-8") as stream:
            own = OwnData(json.load(stream))
    suite = load(os.path.dirname(os.path.abspath(__file__)), own)
    with contextlib.suppress(AttributeError):  # streams may be replaced by objects without reconfigure
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    unloadable = {}
    if arguments.unloadable:
        with open(arguments.unloadable, encoding="utf-8") as stream:
            unloadable = json.load(stream)
    document = run(suite, arguments.level, out, arguments.only, unloadable, connections, own)
    statuses = [result["status"] for result in document["checks"]]
    print("%d passed, %d failed, %d skipped" % tuple(map(statuses.count, ("passed", "failed", "skipped"))))
    return 0 if "passed" in statuses and "failed" not in statuses else 1


if __name__ == "__main__":
    sys.exit(main())
