"""How this process is, told to whoever started it: systemd, or our own supervisor (sd_notify's protocol)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

SEND_WITHIN_S: Final = 1.0


def notify(**state: str) -> None:
    """`READY="1"`, `STATUS="a line for people"`, `STOPPING="1"`. Nothing where nobody wants to hear it.

    Does not promise: that it arrives. Whoever started us may be gone, and our work goes on.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(SEND_WITHIN_S)
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.send("\n".join(f"{name}={value}" for name, value in state.items()).encode())


@asynccontextmanager
async def watchdog(alive: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
    """While this is open, say that our loop turns, four times as often as asked for, unless not `alive`."""
    asked_us = os.environ.get("WATCHDOG_USEC", "")
    if not asked_us.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        yield
        return
    beating = asyncio.create_task(_beat(int(asked_us) / 4e6, alive), name="watchdog")
    try:
        yield
    finally:
        beating.cancel()


async def _beat(every_s: float, alive: Callable[[], bool]) -> None:
    while True:
        if alive():
            notify(WATCHDOG="1")
        await asyncio.sleep(every_s)
