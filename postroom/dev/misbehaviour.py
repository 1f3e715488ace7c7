"""How a receiver may behave, good and bad, by name: `ok`, `status/500`, `redirect/…`, `silent`, …"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

ENDLESS_BYTES = 1_000_000_000
_CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class Turn:
    """One request to answer. `stopping` is set when the receiver ends: nothing may wait longer."""

    request: web.Request
    argument: str
    stopping: asyncio.Event


async def answer(request: web.Request, behaviour: str, stopping: asyncio.Event) -> web.StreamResponse:
    """Answer as `name` or `name/argument` says; an unknown name answers 404."""
    name, _, argument = behaviour.partition("/")
    behave = BEHAVIOURS.get(name)
    if behave is None:
        return web.Response(status=404, text=f"known: {', '.join(sorted(BEHAVIOURS))}")
    return await behave(Turn(request, argument, stopping))


async def _ok(_: Turn) -> web.StreamResponse:
    return web.json_response({"received": True})


async def _status(turn: Turn) -> web.StreamResponse:
    return web.Response(status=int(turn.argument), text=f"status {turn.argument}")


async def _redirect(turn: Turn) -> web.StreamResponse:
    """Sends on to the path in the argument, or to the url in the query's `to`."""
    return web.Response(status=301, headers={"location": turn.request.query.get("to", f"/{turn.argument}")})


async def _gone(_: Turn) -> web.StreamResponse:
    return web.Response(status=410, text="no more, please")


async def _busy(turn: Turn) -> web.StreamResponse:
    """429; the argument is the `Retry-After`."""
    return web.Response(status=429, headers={"retry-after": turn.argument or "30"})


async def _slow(turn: Turn) -> web.StreamResponse:
    """Answers after as many seconds as the argument says."""
    try:
        async with asyncio.timeout(float(turn.argument or "1")):
            await turn.stopping.wait()
    except TimeoutError:
        pass
    return web.Response(text="late")


async def _silent(turn: Turn) -> web.StreamResponse:
    """Never answers while the receiver runs."""
    await turn.stopping.wait()
    return web.Response(status=503)


async def _endless(turn: Turn) -> web.StreamResponse:
    """200 with a body of 1 GB, as fast as it is read."""
    response = web.StreamResponse()
    await response.prepare(turn.request)
    for _ in range(ENDLESS_BYTES // len(_CHUNK)):
        if turn.stopping.is_set():
            break
        await response.write(_CHUNK)
    return response


async def _stall(turn: Turn) -> web.StreamResponse:
    """200 with the start of a body that never goes on."""
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(turn.request)
    await response.write(b"the beginning")
    await turn.stopping.wait()
    return response


async def _drop(turn: Turn) -> web.StreamResponse:
    """Reads the request, then closes the connection without a word."""
    if turn.request.transport is not None:
        turn.request.transport.abort()
    return web.Response()


async def _garbage(turn: Turn) -> web.StreamResponse:
    """Answers with something that is no HTTP."""
    if turn.request.transport is not None:
        turn.request.transport.write(b"220 mail.example.com ESMTP\r\n\r\n")
        turn.request.transport.close()
    return web.Response()


async def _twice(turn: Turn) -> web.StreamResponse:
    """Answers, and then answers again though nobody asked."""
    if turn.request.transport is not None:
        turn.request.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst")
    return web.Response(text="second")


Behaviour = Callable[[Turn], Awaitable[web.StreamResponse]]
BEHAVIOURS: dict[str, Behaviour] = {
    "ok": _ok,
    "status": _status,
    "redirect": _redirect,
    "gone": _gone,
    "busy": _busy,
    "slow": _slow,
    "silent": _silent,
    "endless": _endless,
    "stall": _stall,
    "drop": _drop,
    "garbage": _garbage,
    "twice": _twice,
}
