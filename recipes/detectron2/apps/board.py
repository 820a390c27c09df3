"""Shows the curves of trainings in a browser: TensorBoard, for this machine alone."""

import argparse
import logging
import os
import signal
import sys
import time

_DESCRIPTION = """\
Show the curves of a training in a browser, with TensorBoard. It runs beside the training, too.

    wheelferry board run

RUN is the folder that `train --out` named, or one above several of them. The page is on this machine alone
and needs no network.
"""
_EVENTS = "events.out.tfevents"


def main(arguments):
    """Serve the page until Ctrl-C; returns the exit status."""
    from page.address import LOCAL, listen, port_number, show
    from page.unfit import NotHere, Unfit

    parser = argparse.ArgumentParser(
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="folder of a training, or of several")
    parser.add_argument(
        "--port",
        type=port_number,
        default=6006,
        metavar="N",
        help="port to answer at (default: 6006; 0: any)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    try:
        _check(options.run, Unfit)
        with listen(LOCAL, options.port) as listener:
            port = listener.getsockname()[1]
        address = _serve(options.run, LOCAL, port, NotHere)
    except Unfit as error:
        sys.stderr.write("error: %s\n" % error)
        if error.hint:
            sys.stderr.write("  -> %s\n" % error.hint)
        return error.exit_code
    show(address, browser=not options.no_browser)
    return _wait()


def _check(folder, unfit):
    if not os.path.isdir(folder):
        raise unfit("%s is no folder" % folder, hint="name the one that was given to train --out")
    if not any(name.startswith(_EVENTS) for _, _, names in os.walk(folder) for name in names):
        raise unfit(
            "there is no training in %s: it has no %s…" % (folder, _EVENTS),
            hint="name the folder that was given to train --out; it has them once the training began",
        )


def _serve(folder, host, port, not_here):
    """Start TensorBoard in a thread of this process; returns its address."""
    try:
        from tensorboard import program, version
    except ImportError as error:
        raise not_here("this installation has no TensorBoard that starts: %s" % error) from None
    # its server tells of every request, and its other reader of itself
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    options = ["--logdir", folder, "--host", host, "--port", str(port)]
    if tuple(int(part) for part in version.VERSION.split(".")[:2]) >= (2, 5):
        options.append("--load_fast=false")
    board = program.TensorBoard()
    board.configure(argv=["tensorboard", *options])
    return board.launch()


def _wait():
    """Until Ctrl-C, or until the system says to end."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _end)
    try:
        while True:
            time.sleep(3600)
    except _Ended:
        sys.stderr.write("ended\n")
        return 0


class _Ended(Exception):
    """Somebody ended the program."""


def _end(_number, _frame):
    raise _Ended
