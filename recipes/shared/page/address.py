"""Where a page answers: a port of this machine, and the browser that is sent there."""

import argparse
import os
import socket
import sys
import threading
import webbrowser

from .unfit import Unfit

LOCAL = "127.0.0.1"


def port_number(text):
    """The value of an option that is a port."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("%r is not a port from 0 to 65535" % text)
    return number


def listen(host, port):
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


def show(address, browser=True):
    """Say the address, and open it where there is a browser."""
    _say("")
    _say("  %s" % address)
    _say("")
    if browser and _has_screen():
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


def _say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
