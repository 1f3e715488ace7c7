"""Callers by what they may do: the dependency that an admin route names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope
from postroom.api.auth import admit, bearer


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
