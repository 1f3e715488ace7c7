"""The HTTP server: not ready first, then no new connections, then the end."""

from __future__ import annotations

import asyncio
import math
import resource
import signal
import socket
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from postroom.api.context import Context
from postroom.base import garbage
from postroom.base.ensure_schema import ensure_schema
from postroom.base.listener import BACKLOG, listen
from postroom.base.log import get_logger
from postroom.base.networks import as_seen
from postroom.base.notify import notify, watchdog
from postroom.base.settings import Settings
from postroom.front.application import create_front
from postroom.health.readiness import CheckStatus, Readiness
from postroom.main import create_app
from postroom.overrides.uvicorn_limits import BoundedHttpProtocol, Connections
from postroom.wiring import open_services

log = get_logger(__name__)

STOP_WITHIN_S: Final = 10
KEEP_ALIVE_S: Final = 620
"""Longer than what a proxy keeps a connection for (nginx and AWS 60 s, Google 600 s): where we close first,
it loses the request that it sends at that moment, and Stripe hears 502."""
CLOSE: Final = (b"connection", b"close")
OTHER_FILES_MAX: Final = 512
"""Connections to PostgreSQL and receivers, logs, templates."""


class DrainingServer(uvicorn.Server):
    """At the first SIGTERM or SIGINT readiness turns 503; after `drain_s` it stops. At the second: at once.

    At SIGHUP another one takes over: it accepts no more, closes each connection after its next answer, and
    stops when none is left. Readiness stays as it is.
    Promise: requests in flight get `STOP_WITHIN_S`. It ends by returning, so the exit code is 0.
    """

    def __init__(self, config: uvicorn.Config, *, readiness: Collection[Readiness], drain_s: float) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._drain_s = drain_s
        self._asked = False
        self._gone_at_s = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hand_over)
        notify(READY="1", STATUS="accepts connections")

    async def on_tick(self, counter: int) -> bool:
        leaving = self._gone_at_s < math.inf
        if leaving and (not self.server_state.connections or time.monotonic() >= self._gone_at_s):
            self._exit()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        if self._asked:
            self.should_exit = True
            self.force_exit = True
            return
        self._asked = True
        for readiness in self._readiness:
            readiness.stop()
        notify(STOPPING="1", STATUS="answers what it has")
        log.info("http.stopping", signal=sig, drain_s=self._drain_s)
        if self._drain_s:
            asyncio.get_running_loop().call_later(self._drain_s, self._exit)
        else:
            self._exit()

    def _hand_over(self) -> None:
        if self._asked or self._gone_at_s < math.inf:
            return
        self._gone_at_s = time.monotonic() + STOP_WITHIN_S
        notify(STOPPING="1", STATUS="answers what it has")
        log.info("http.handing_over", connections=len(self.server_state.connections))
        for server in self.servers:
            server.close()
        # The first are for the next second, the others for all that follow.
        for headers in (self.server_state.default_headers, self.config.encoded_headers):
            headers.append(CLOSE)

    def _exit(self) -> None:
        self.should_exit = True


async def serve_http(
    settings: Settings, dsn: str, *, drain_s: float, listener_fd: int | None = None, worker: int | None = None
) -> None:
    """Serve until a signal. In dev the schema is migrated first; in prod that is a step of its own.

    `listener_fd`: a listening socket that our parent has opened; else one is opened here.
    `worker`: our number, where we are one of several.
    Errors: `PortTaken`, and what opening the services raises.
    """
    with listen(settings.host, settings.port, inherited=listener_fd) as listener:
        async with watchdog():
            if not settings.prod and settings.ledger is None:
                await ensure_schema(dsn, prod=False)
            async with open_services(settings, dsn) as services:
                application = create_app(services=services, worker=worker)
                await _serve(application, [application.state.context], settings, listener, drain_s)


async def serve_ledgers(
    settings: Settings, *, drain_s: float, listener_fd: int | None = None, worker: int | None = None
) -> None:
    """The same for all ledgers. None is migrated, and none that is away is waited for."""
    with listen(settings.host, settings.port, inherited=listener_fd) as listener:
        async with watchdog(), AsyncExitStack() as stack:
            services = {
                name: await stack.enter_async_context(
                    open_services(settings.of_ledger(name), ledger.url.get_secret_value())
                )
                for name, ledger in settings.ledgers.items()
            }
            front = create_front(settings=settings, services=services, worker=worker)
            await _serve(front, list(front.state.contexts.values()), settings, listener, drain_s)


async def _serve(
    application: Starlette,
    contexts: Sequence[Context],
    settings: Settings,
    listener: socket.socket,
    drain_s: float,
) -> None:
    if settings.prod:
        await asyncio.gather(*(_look_at_schema(each) for each in contexts))
    _allow_files(settings.http_connections_max + OTHER_FILES_MAX)
    config = http_config(application, settings)
    garbage.search_less()
    host, port = listener.getsockname()[:2]
    log.info("http.listening", host=host, port=port)
    readiness = [each.readiness for each in contexts]
    await DrainingServer(config, readiness=readiness, drain_s=drain_s).serve([listener])
    log.info("http.stopped")


def http_config(application: Starlette, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application, everywhere."""
    connections = Connections(
        connections_max=settings.http_connections_max,
        on_refused=application.state.context.http_metrics.connection_refused,
    )
    return uvicorn.Config(
        application,
        http=partial(BoundedHttpProtocol, bounds=connections),  # type: ignore[arg-type]  # called only
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Its own default believes whoever is on this machine, and what FORWARDED_ALLOW_IPS says.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=as_seen(settings.trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )


async def _look_at_schema(context: Context) -> None:
    """A schema that is behind keeps the process unready, not dead: it is ready once somebody migrates."""
    report = await context.readiness.report(only="migrations")
    check = report.checks["migrations"]
    if check.status is not CheckStatus.OK:
        named = {"ledger": context.settings.ledger} if context.settings.ledger else {}
        log.error("http.not_ready", detail=check.detail, command="postroom migrate", **named)


def _allow_files(count: int) -> None:
    """Every connection is an open file, and 1,024 is what many systems give unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < count:
        log.warning("http.few_files", open_files_max=allowed, wanted=count, remedy="raise ulimit -n")
