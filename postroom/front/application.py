"""The ASGI application of several ledgers: hands each request on to that of one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postroom.api.http.error_handlers import error_handlers
from postroom.api.http.http_metrics import HttpMetrics
from postroom.api.intake.batches import PATH as BATCHES_PATH
from postroom.base.errors import InvalidInput
from postroom.base.settings import Settings
from postroom.console.access.security import check_origin, field, read_form
from postroom.front.choice import COOKIE, Choice
from postroom.front.directory import KnownDirectory
from postroom.front.probes import front_metrics, front_ready
from postroom.main import EVENTS_PATH, STRIPE_PATH, around_requests, create_app, lifespan_of
from postroom.wiring import Services

COOKIE_S: Final = 365 * 86_400
ELSEWHERE: Final = "tenant_elsewhere"


class _Problem(msgspec.Struct):
    code: str = ""


_decode_problem = msgspec.json.Decoder(_Problem).decode


class HandOn:
    """Promise: a request is answered by one ledger's application, as if it were the only one.

    What is published for a tenant that has moved meanwhile is handed on once more, to the ledger that has it
    now, and so is an event of Stripe's.
    """

    def __init__(self, apps: Mapping[str, Starlette], choice: Choice, directory: KnownDirectory) -> None:
        self._apps = apps
        self._choice = choice
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        name = await self._choice.of(request)
        # What was read to choose is read again; a stream that nobody has read is left alone.
        body = await request.body() if hasattr(request, "_body") else None
        receive = receive if body is None else _again(body, receive)
        if scope["path"] not in (EVENTS_PATH, BATCHES_PATH, STRIPE_PATH) or body is None:
            await self._hand_on(name, scope, receive, send)
            return
        held = _Held(send)
        await self._hand_on(name, scope, receive, held.send)
        if not held.elsewhere:
            await held.let_go()
            return
        await self._directory.read()
        now = await self._choice.of(request)
        if now == name:
            await held.let_go()
        else:
            await self._hand_on(now, scope, _again(body, request.receive), send)

    async def _hand_on(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] |= {"ledger": name, "ledgers": tuple(self._apps)}
        bound = structlog.contextvars.bind_contextvars(ledger=name)
        try:
            await self._apps[name](scope, receive, send)
        finally:
            structlog.contextvars.reset_contextvars(**bound)


class _Held:
    """Keeps an answer that refuses until it is known why; others pass."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []

    async def send(self, message: Message) -> None:
        if self._messages or (message["type"] == "http.response.start" and message["status"] == 503):
            self._messages.append(message)
        else:
            await self._send(message)

    @property
    def elsewhere(self) -> bool:
        text = b"".join(each.get("body", b"") for each in self._messages)
        return bool(text) and _decode_problem(text).code == ELSEWHERE

    async def let_go(self) -> None:
        for message in self._messages:
            await self._send(message)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, then whatever comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_one() -> Message:
        return messages.pop() if messages else await receive()

    return next_one


def create_front(
    *, settings: Settings, services: Mapping[str, Services], worker: int | None = None
) -> Starlette:
    """Over the services of each ledger, which whoever opened them closes. `worker`: see `create_app`."""
    http_metrics = HttpMetrics(worker=worker)
    apps = {name: create_app(services=each, behind=http_metrics) for name, each in services.items()}
    contexts = {name: app.state.context for name, app in apps.items()}
    directory = KnownDirectory({name: each.pool for name, each in services.items()})
    choice = Choice(services, directory)

    async def choose(request: Request) -> Response:
        """The console's choice, kept by the browser."""
        check_origin(request)
        name = field(await read_form(request), "ledger")
        if name not in apps:
            raise InvalidInput(f"no ledger is called {name[:50]!r}; known: {', '.join(apps)}", field="ledger")
        response = RedirectResponse("/console", status_code=303)
        response.set_cookie(COOKIE, name, max_age=COOKIE_S, path="/console", httponly=True, samesite="lax")
        return response

    async def ready(request: Request) -> ASGIApp:
        name = choice.named(request)
        return apps[name] if name else await front_ready(request, contexts)

    async def metrics(request: Request) -> ASGIApp:
        return await front_metrics(request, contexts)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps.values():
                await stack.enter_async_context(lifespan_of(app))
            await stack.enter_async_context(directory.kept())
            yield

    front = Starlette(
        routes=[
            Route("/readyz", ready),
            Route("/readyz/{check}", ready),
            Route("/metrics", metrics),
            Route("/console/ledger", choose, methods=["POST"]),
        ],
        middleware=around_requests(settings, http_metrics),
        exception_handlers=error_handlers(),
        lifespan=lifespan,
    )
    front.router.redirect_slashes = False
    front.router.default = HandOn(apps, choice, directory)
    front.state.contexts, front.state.gate = contexts, apps[choice.first].state.gate
    front.state.context = contexts[choice.first]
    return front
