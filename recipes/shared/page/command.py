"""The command: options, the model, the address; then it serves until it is ended."""

import argparse
import logging
import os
import platform
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser

from .unfit import Unfit

LOCAL = "127.0.0.1"
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
        listener = _listen(options.host or LOCAL, options.port)
        with listener:
            _say("loading the model ...")
            model = load(options)
            return _serve(model, listener, options, versions)
    except Unfit as error:
        _say("error: %s" % error)
        if error.hint:
            _say("  -> %s" % error.hint)
        return 2


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
        type=_port,
        default=8080,
        metavar="N",
        help="port to answer at (default: 8080; 0: any)",
    )
    add("--no-browser", action="store_true", help="only print the address")
    add("--records", metavar="DIR", help="folder for acceptance records (default: in the installation)")


def _port(text):
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("%r is not a port from 0 to 65535" % text)
    return number


def _listen(host, port):
    """A socket that listens; raises Unfit where that cannot be."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unfit("--host %s is no address of this machine" % host, hint="leave --host away") from None
    try:
        if os.name == "nt":
            # two programs could else have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Unfit(*_unusable(host, port, error)) from None
    return listener


def _unusable(host, port, error):
    if isinstance(error, PermissionError) and port < 1024 and os.name == "posix":
        return "port %d is for administrators alone" % port, "choose another, as in --port 8080"
    try:
        with socket.create_connection((LOCAL if host == "0.0.0.0" else host, port), timeout=2):
            return "port %d is in use by another program" % port, _OTHER_PORT % (port + 1)
    except OSError:
        return "%s, port %d cannot be used: %s" % (host, port, error.strerror or error), _OTHER_PORT % 8081


_OTHER_PORT = "choose another, as in --port %d; --port 0 takes any that is free"


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
    folder = tempfile.mkdtemp(prefix="wheelferry-app-")
    # it would say that it serves, with an address that the browser does not need
    logging.getLogger("waitress").setLevel(logging.ERROR)
    try:
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
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
    _say("")
    _say("  %s" % address)
    _say("")
    _say("acceptance records go to %s" % records)
    if not options.no_browser and _has_screen():
        threading.Thread(target=_open, args=(address,), daemon=True).start()
    else:
        _say("open that address in a browser")
    _say("Ctrl-C ends the program")


def _open(address):
    if not webbrowser.open(address):
        _say("there is no browser that could be started; open the address in one")


def _has_screen():
    """Whether a browser could show something: on a server webbrowser may start one for the terminal."""
    if os.name == "nt" or sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


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
