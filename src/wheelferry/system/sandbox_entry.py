"""Started inside a network namespace: brings loopback up, then becomes the given command.

Standard library only; run as a file, not imported. ``--prove`` prints, as JSON, what of a network
can be seen from inside. On Windows, which has no namespaces, that is all it does.
"""

import contextlib
import json
import os
import socket
import struct
import sys

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP (netdevice(7))
# One address of a well-known public resolver and the name of a host that exists: neither may answer.
_PROBES = (("1.1.1.1", 443), ("pypi.org", 443))


def loopback_up() -> None:
    """Set lo's flags to up, so that 127.0.0.1 works as on any unplugged machine."""
    import fcntl  # Windows has none

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(control, _GET_FLAGS, request))
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def evidence() -> dict[str, object]:
    """The outcome of trying to connect; on Linux also interfaces and routes."""
    connections = {f"{host}:{port}": _attempt(host, port) for host, port in _PROBES}
    if os.name == "nt":
        return {"connections": connections}
    with open("/proc/net/route", encoding="ascii") as stream:  # noqa: PTH123 -- one import less in the sandbox
        routes = [line.split()[:2] for line in stream.readlines()[1:]]
    interfaces = sorted(name for _, name in socket.if_nameindex())
    return {"interfaces": interfaces, "routes": routes, "connections": connections}


def _attempt(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "connected"


def main() -> None:
    """``sandbox_entry.py [--prove | COMMAND…]``."""
    if os.name != "nt":
        with contextlib.suppress(PermissionError):  # the proof below shows what is up
            loopback_up()
    if sys.argv[1:] == ["--prove"]:
        print(json.dumps(evidence()))
        return
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
