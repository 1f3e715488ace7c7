"""Ports for what must listen on the same one again after it was killed."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Free now, and all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
