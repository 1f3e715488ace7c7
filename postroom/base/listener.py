"""A listening socket, or a plain word on why there is none; and ports for what others will open."""

from __future__ import annotations

import errno
import socket
from typing import Final

from postroom.base.errors import Conflict

BACKLOG: Final = 2_048


class PortTaken(Conflict):
    """Another program listens there."""


def listen(host: str, port: int, *, inherited: int | None = None) -> socket.socket:
    """A listening socket: that which our parent has opened, or a new one.

    Errors: `PortTaken`, and `OSError` for an address that is not ours.
    """
    if inherited is not None:
        return socket.socket(fileno=inherited)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(
            f"Port {port} on {host} is taken by another program. Choose another: POSTROOM_PORT={port + 1}"
        ) from None
    return listener


def free_ports(count: int) -> list[int]:
    """Free now, and all different. Whoever is quicker makes the start of what was to listen there fail."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_port() -> int:
    return free_ports(1)[0]
