"""Moves of tenants that nobody goes on with: whoever ran the command was stopped."""

from __future__ import annotations

import shlex
from typing import Final

from postroom.base.db import Connection, query
from postroom.base.durations import span
from postroom.health.findings import Finding, warning

_LIST: Final = query(__package__, "list_standing_moves")

LONG_S: Final = 600.0
MEANING: Final = {
    "copying": "the old ledger still has it",
    "fenced": "the old ledger refuses it",
    "held": "what is published for it waits until the old ledger has nothing of it left",
}


async def check_moves(conn: Connection) -> list[Finding]:
    """A finding for each that has stood for ten minutes at one step. Both ledgers may tell of one move."""
    return [
        warning(
            f"tenant {row['tenant']}",
            f"its move from {row['source']} to {row['target']} has stood for {span(row['age_s'])}: "
            f"{MEANING[row['step']]}",
            f"postroom ledger move --tenant {shlex.quote(row['tenant'])} --to {row['target']}",
        )
        for row in await conn.fetch(_LIST, LONG_S)
    ]
