"""Opens a connection to the first of the database's hosts that answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

NEXT_AFTER_S: Final = 0.5
"""A host that has not answered by then is not waited for: the next one is asked beside it."""
SILENT_MAX_S: Final = 10
"""A server that confirms nothing of what was sent for so long, or of what asks whether it lives, is gone."""
_KEPT_ALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}


async def connect_first(url: str, **options: Any) -> asyncpg.Connection[Any]:
    """Connect to the first host that answers and is of the kind that `target_session_attrs` asks for.

    Promise: a host that swallows connections costs `NEXT_AFTER_S`, and one that dies later without a word
    ends what waits for it after `SILENT_MAX_S`. Hosts named as a parameter (`?host=`) are tried one
    after the other, as asyncpg does. Errors: those of `asyncpg.connect`, of the last that failed.
    """
    urls = list(_one_host_each(url))
    waiting: set[asyncio.Task[asyncpg.Connection[Any]]] = set()
    failed: BaseException = ConnectionError("no host is named")
    try:
        while urls or waiting:
            if urls:
                waiting.add(asyncio.create_task(asyncpg.connect(urls.pop(0), **options)))
            done, waiting = await asyncio.wait(
                waiting, timeout=NEXT_AFTER_S if urls else None, return_when=asyncio.FIRST_COMPLETED
            )
            connected = [task.result() for task in done if task.exception() is None]
            for spare in connected[1:]:
                spare.terminate()
            if connected:
                _notice_silence(connected[0])
                return connected[0]
            failed = next((error for task in done if (error := task.exception())), failed)
        raise failed
    finally:
        await _give_up(waiting)


async def _give_up(tasks: set[asyncio.Task[asyncpg.Connection[Any]]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, BaseException):
            ended.terminate()


def _one_host_each(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        yield url
        return
    for host in hosts.split(","):
        yield urlunsplit(parts._replace(netloc=f"{login}{at}{host}"))


def _notice_silence(conn: asyncpg.Connection[Any]) -> None:
    """As libpq's `tcp_user_timeout` and `keepalives`. asyncpg has no way to ask for them."""
    sock = conn._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**_KEPT_ALIVE, "TCP_USER_TIMEOUT": SILENT_MAX_S * 1_000}.items():
        if hasattr(socket, name):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
