"""What somebody may do: scopes, and the roles that stand for several of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from postroom.base.errors import InvalidInput


class Scope(StrEnum):
    """What a token may do."""

    ADMIN_READ = "admin:read"
    PAYLOAD_READ = "payload:read"
    OUTBOX_REPLAY = "outbox:replay"
    OUTBOX_CANCEL = "outbox:cancel"
    JOBS_RUN = "jobs:run"
    EVENTS_WRITE = "events:write"
    METRICS_READ = "metrics:read"
    ACCESS_READ = "access:read"
    ENDPOINTS_WRITE = "endpoints:write"
    CIRCUITS_WRITE = "circuits:write"
    CHANNELS_WRITE = "channels:write"
    TOKENS_WRITE = "tokens:write"
    SUPPRESSIONS_WRITE = "suppressions:write"
    ERASURE_WRITE = "erasure:write"


ROLES: Final[dict[str, tuple[Scope, ...]]] = {
    "viewer": (Scope.ADMIN_READ,),
    "on-call": (
        Scope.ADMIN_READ,
        Scope.OUTBOX_REPLAY,
        Scope.OUTBOX_CANCEL,
        Scope.JOBS_RUN,
        Scope.CIRCUITS_WRITE,
        Scope.CHANNELS_WRITE,
    ),
    "developer": (
        Scope.ADMIN_READ,
        Scope.PAYLOAD_READ,
        Scope.OUTBOX_REPLAY,
        Scope.EVENTS_WRITE,
        Scope.ENDPOINTS_WRITE,
    ),
    "administrator": tuple(Scope),
}
"""They stand for their scopes where these are given away; a token keeps what its role meant then."""


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes by name or by role, each once. Errors: `InvalidInput` naming the known ones."""
    known = {scope.value: (scope,) for scope in Scope} | ROLES
    chosen: dict[Scope, None] = {}
    for name in names:
        if name not in known:
            raise InvalidInput(f"unknown scope {name[:50]!r}; known: {', '.join(known)}", field="scopes")
        chosen.update(dict.fromkeys(known[name]))
    if not chosen:
        raise InvalidInput(f"a token needs at least one scope of {', '.join(known)}", field="scopes")
    return tuple(chosen)
