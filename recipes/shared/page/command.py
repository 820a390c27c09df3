"""The command: options, the model, the address; then it serves until it is ended."""

import argparse
import logging
import os
import platform
import secrets
import signal
import sys

from .address import LOCAL, listen, port_number, show
from .scratch import scratch_folder
from .unfit import Unfit

_THREADS = 8


def run(arguments, description, add_options, load, versions=()):
    """Serve the page for the model that `load(options)` gives; returns the exit status.

    `add_options(parser)` adds what the model needs to know. `versions` are distributions whose versions the
    page shows. `load` raises Unfit for what cannot be used.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    _add_options(parser)
    options = parser.parse_args(arguments)
    try:
        # before the model is loaded, which takes its time
        listener = listen(options.host or LOCAL, options.port)
        with listener:
            _say("loading the model ...")
            model = load(options)
            return _serve(model, listener, options, versions)
    except Unfit as error:
        _say("error: %s" % error)
        if error.hint:
            _say("  -> %s" % error.hint)
        return error.exit_code


def _add_options(parser):
    add = parser.add_argument_group("the page").add_argument
    add(
        "--host",
        metavar="ADDRESS",
        help="address to answer at, for others in the network too; 0.0.0.0 is every one of this machine. Who "
        "has the address with its token can use the page. Default: this machine alone",
    )
    add(
        "--port",
        type=port_number,
        default=8080,
        metavar="N",
        help="port to answer at (default: 8080; 0: any)",
    )
    add("--no-browser", action="store_true", help="only print the address")
    add("--records", metavar="DIR", help="folder for acceptance records (default: in the installation)")


def _serve(model, listener, options, versions):
    """Answer until Ctrl-C, or until the system says to end."""
    # here, so that --help needs none of them
    from waitress import create_server

    from . import acceptance
    from .installation import Installation
    from .queue_of_pictures import PictureQueue
    from .server import LARGEST_RECORD, make_app

    installation = Installation(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    records = os.path.abspath(options.records) if options.records else installation.records
    acceptance.sweep(records)
    token = None if options.host in (None, LOCAL, "localhost", "::1") else secrets.token_urlsafe(24)
    port = listener.getsockname()[1]
    facts = [*model.facts, *_version_facts(versions), *installation.facts()]
    signal.signal(signal.SIGTERM, _end)
    # it would say that it serves, with an address that the browser does not need
    logging.getLogger("waitress").setLevel(logging.ERROR)
    with scratch_folder("wheelferry-app-") as folder:
        pictures = PictureQueue(model, folder)
        app = make_app(model, pictures, installation, records, facts, port, token)
        server = create_server(
            app,
            sockets=[listener],
            threads=_THREADS,
            ident=None,
            max_request_body_size=LARGEST_RECORD,
            clear_untrusted_proxy_headers=True,
        )
        _announce(options, port, token, records)
        server.run()
    _say("ended")
    return 0


def _end(_number, _frame):
    raise SystemExit(0)


def _announce(options, port, token, records):
    """Say the address, and open it where there is a browser."""
    if token is None:
        host = "[::1]" if options.host == "::1" else LOCAL
        address = "http://%s:%d/" % (host, port)
    else:
        shown = platform.node() if options.host in ("0.0.0.0", "::") else options.host
        address = "http://%s:%d/?token=%s" % ("[%s]" % shown if ":" in shown else shown, port, token)
        _say("anybody in the network who has this address can use the page (where the name is not known")
        _say("there, this machine's IP address does in its place):")
    _say("acceptance records go to %s" % records)
    show(address, browser=not options.no_browser)


def _version_facts(distributions):
    """Pairs of texts: Python, and each of the distributions that is installed."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7, where Flask brings it
        import importlib_metadata as metadata
    texts = ["Python %s" % platform.python_version()]
    for name in distributions:
        try:
            texts.append("%s %s" % (name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return [("Versions", ", ".join(texts)), ("System", platform.platform())]


def _say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
