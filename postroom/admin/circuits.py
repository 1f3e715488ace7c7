"""What an operator does to a breaker."""

from __future__ import annotations

from typing import Final, Literal

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.base.errors import InvalidInput
from postroom.resilience import store
from postroom.resilience.breaker import CircuitState

NAME_LENGTH_MAX: Final = 200
REASON_LENGTH_MAX: Final = 500
Force = Literal["open", "closed", "release"]


async def force(conn: Connection, name: str, force: Force, *, reason: str = "", actor: Actor) -> None:
    """Hold a breaker open or closed until it is released; released it is closed.

    Errors: `InvalidInput` for a name that no breaker can have. Transaction: the caller's.
    """
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        raise InvalidInput(f"name has 1 to {NAME_LENGTH_MAX} characters", field="name")
    reason = reason[:REASON_LENGTH_MAX] or f"{force} by {actor.name}"
    state = None if force == "release" else CircuitState(force)
    old = await store.mark_forced(conn, name=name, state=state, reason=reason)
    await record(conn, actor, f"circuit.{force}", name, reason=reason, old=old)
