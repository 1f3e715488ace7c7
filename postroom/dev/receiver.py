"""A local webhook receiver for `postroom up`, the demo and the tests: verifies, records, misbehaves.

`async with Receiver(secrets=[…]) as receiver` inside a loop, or as a process:
`python -m postroom.dev.receiver --port 8099 --secret whsec_…`, one JSON line a request on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from postroom.dev.misbehaviour import BEHAVIOURS, answer
from postroom.dev.standard_webhooks import find_fault

BODY_BYTES_MAX = 1024 * 1024
RECEIVED_MAX = 10_000
STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `fault`: what is wrong with its signature; `peer`: which connection it came on."""

    id: str
    type: str
    valid: bool
    fault: str | None
    path: str
    peer: str
    headers: dict[str, str]
    body: bytes


class _Envelope(msgspec.Struct):
    type: str = ""


class Receiver:
    """Promise: every request is recorded with the verdict on its signature, before it is answered.

    A path named like a behaviour (`/ok`, `/status/500`, `/silent`, see `misbehaviour`) behaves
    so; every other path behaves as `behaviour` says at that moment. Both `behaviour` and
    `secrets` may be changed while it runs. The oldest of 10,000 records are forgotten.
    """

    def __init__(
        self,
        *,
        secrets: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        behaviour: str = "ok",
        on_received: Callable[[Received], None] | None = None,
    ) -> None:
        self.secrets = list(secrets)
        self.behaviour = behaviour
        self.received: deque[Received] = deque(maxlen=RECEIVED_MAX)
        self._host = host
        self._port = port
        self._on_received = on_received
        self._arrived = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The real port, once it runs."""
        return self._port

    @property
    def connections(self) -> int:
        """How many different connections the recorded requests came on."""
        return len({received.peer for received in self.received})

    def url(self, path: str = "/hooks") -> str:
        return f"http://{self._host}:{self._port}{path}"

    async def wait_for(self, count: int, *, timeout_s: float = 10.0) -> list[Received]:
        """All recorded requests, once there are `count`. Errors: `TimeoutError`."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        received = self._examine(request, body)
        self.received.append(received)
        if self._on_received is not None:
            self._on_received(received)
        async with self._arrived:
            self._arrived.notify_all()
        path = request.path.removeprefix("/")
        named = path.partition("/")[0] in BEHAVIOURS
        return await answer(request, path if named else self.behaviour, self._stopping)

    def _examine(self, request: web.Request, body: bytes) -> Received:
        headers = {name.lower(): value for name, value in request.headers.items()}
        fault = find_fault(headers, body, secrets=self.secrets, now_s=time.time())
        try:
            kind = msgspec.json.decode(body, type=_Envelope).type
        except msgspec.DecodeError:
            kind = ""
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return Received(
            id=headers.get("webhook-id", ""),
            type=kind,
            valid=fault is None,
            fault=fault,
            path=request.path,
            peer=str(peer),
            headers=headers,
            body=body,
        )


def _print(received: Received) -> None:
    line = {
        "id": received.id,
        "type": received.type,
        "valid": received.valid,
        "fault": received.fault,
        "path": received.path,
        "body": received.body.decode("utf-8", "replace"),
    }
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


async def serve(options: argparse.Namespace) -> None:
    """Receive until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Receiver(
        secrets=options.secret,
        host=options.host,
        port=options.port,
        behaviour=options.behaviour,
        on_received=_print,
    ) as receiver:
        sys.stdout.write(msgspec.json.encode({"listening": receiver.url("/")}).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m postroom.dev.receiver", description="A local webhook receiver."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the first line names it")
    parser.add_argument("--secret", action="append", default=[], help="whsec_…; may be given again")
    parser.add_argument("--behaviour", default="ok", help=f"one of {', '.join(sorted(BEHAVIOURS))}")
    asyncio.run(serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
