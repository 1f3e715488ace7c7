"""Which tenants are on their way, for those who look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.db import Connection, query

_LIST: Final = query(__package__, "list_moves")


@dataclass(frozen=True, slots=True)
class Move:
    """A tenant's row in one ledger while it moves. `age_s`: for how long it has stood at this step."""

    tenant: str
    source: str
    ledger: str
    step: str
    epoch: int
    changed_at: datetime
    age_s: float


async def list_moves(conn: Connection) -> list[Move]:
    """What is under way in this ledger, the oldest step first."""
    return [Move(**row) for row in await conn.fetch(_LIST)]
