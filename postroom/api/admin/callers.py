"""Callers by what they may do: the dependency that an admin route names, and who is let in at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, TypeAlias

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope
from postroom.api.auth import Gate, admit, bearer


class GuardedRoute(APIRoute):
    """Asks for a token before the body is read: dependencies, which ask for its scope, are solved after."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            await gate.identify(request)
            return await handle(request)

        return guarded


def _require(scope: Scope) -> Callable[..., Awaitable[Actor]]:
    async def check(connection: HTTPConnection, _documented: Annotated[object, Depends(bearer)]) -> Actor:
        return await admit(connection, scope)

    return check


Reader: TypeAlias = Annotated[Actor, Depends(_require(Scope.ADMIN_READ))]
Replayer: TypeAlias = Annotated[Actor, Depends(_require(Scope.OUTBOX_REPLAY))]
Canceller: TypeAlias = Annotated[Actor, Depends(_require(Scope.OUTBOX_CANCEL))]
JobStarter: TypeAlias = Annotated[Actor, Depends(_require(Scope.JOBS_RUN))]
CircuitHolder: TypeAlias = Annotated[Actor, Depends(_require(Scope.CIRCUITS_WRITE))]
ChannelHolder: TypeAlias = Annotated[Actor, Depends(_require(Scope.CHANNELS_WRITE))]
EndpointWriter: TypeAlias = Annotated[Actor, Depends(_require(Scope.ENDPOINTS_WRITE))]
TokenWriter: TypeAlias = Annotated[Actor, Depends(_require(Scope.TOKENS_WRITE))]
SuppressionWriter: TypeAlias = Annotated[Actor, Depends(_require(Scope.SUPPRESSIONS_WRITE))]
Eraser: TypeAlias = Annotated[Actor, Depends(_require(Scope.ERASURE_WRITE))]
