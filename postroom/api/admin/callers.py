"""Callers by what they may do: the dependency that an admin route names, and who is let in at all.

Whoever is limited to some tenants or channels is refused by every route but those that say how they keep to
that: by `KEEPS_TO_REACH`, or by the kind of the id in their path.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from postroom.admin.audit import Actor
from postroom.admin.reach import Check, check_endpoint, check_message
from postroom.admin.scopes import Scope
from postroom.api.auth import Gate, admit, bearer
from postroom.api.context import context_of


class GuardedRoute(APIRoute):
    """Asks for a token before the body is read: dependencies, which ask for its scope, are solved after."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            await gate.identify(request)
            return await handle(request)

        return guarded

    @cached_property
    def scope(self) -> Scope:
        """The one scope that it asks for."""
        [asked] = [each.call.scope for each in self.dependant.dependencies if isinstance(each.call, Requires)]
        return asked

    @cached_property
    def limited(self) -> Literal["within", "checked", "refused"]:
        """What a limited caller gets: what is within reach, what the path names if that is, or nothing."""
        asked = {each.call for each in self.dependant.dependencies}
        if _in_the_route in asked:
            return "within"
        return "checked" if asked & {_message, _endpoint} else "refused"


@dataclass(frozen=True)
class Requires:
    """The caller, if they have the scope and reach what the route is about."""

    scope: Scope

    async def __call__(
        self, connection: HTTPConnection, _documented: Annotated[object, Depends(bearer)]
    ) -> Actor:
        route: GuardedRoute = connection.scope["route"]
        return await admit(connection, self.scope, keeps_to_reach=route.limited != "refused")


Reader: TypeAlias = Annotated[Actor, Depends(Requires(Scope.ADMIN_READ))]
Replayer: TypeAlias = Annotated[Actor, Depends(Requires(Scope.OUTBOX_REPLAY))]
Canceller: TypeAlias = Annotated[Actor, Depends(Requires(Scope.OUTBOX_CANCEL))]
JobStarter: TypeAlias = Annotated[Actor, Depends(Requires(Scope.JOBS_RUN))]
CircuitHolder: TypeAlias = Annotated[Actor, Depends(Requires(Scope.CIRCUITS_WRITE))]
ChannelHolder: TypeAlias = Annotated[Actor, Depends(Requires(Scope.CHANNELS_WRITE))]
EndpointWriter: TypeAlias = Annotated[Actor, Depends(Requires(Scope.ENDPOINTS_WRITE))]
AccessReader: TypeAlias = Annotated[Actor, Depends(Requires(Scope.ACCESS_READ))]
TokenWriter: TypeAlias = Annotated[Actor, Depends(Requires(Scope.TOKENS_WRITE))]
SuppressionWriter: TypeAlias = Annotated[Actor, Depends(Requires(Scope.SUPPRESSIONS_WRITE))]
Eraser: TypeAlias = Annotated[Actor, Depends(Requires(Scope.ERASURE_WRITE))]


async def _reached(connection: HTTPConnection, subject_id: UUID, check: Check) -> UUID:
    gate: Gate = connection.app.state.gate
    token = await gate.identify(connection)
    if token.reach.limited:
        async with context_of(connection).snapshot() as conn:
            await check(conn, subject_id, token.reach)
    return subject_id


async def _message(event_id: UUID, connection: HTTPConnection) -> UUID:
    return await _reached(connection, event_id, check_message)


async def _endpoint(endpoint_id: UUID, connection: HTTPConnection) -> UUID:
    return await _reached(connection, endpoint_id, check_endpoint)


async def _in_the_route() -> None:
    """Says that the route itself hands the caller's reach to what it reads and changes."""


MessageId: TypeAlias = Annotated[UUID, Depends(_message)]
"""`event_id` of the path. 404 where the caller does not reach it."""
EndpointId: TypeAlias = Annotated[UUID, Depends(_endpoint)]
"""`endpoint_id` of the path. 404 where the caller does not reach it."""
KEEPS_TO_REACH: Final = Depends(_in_the_route)
