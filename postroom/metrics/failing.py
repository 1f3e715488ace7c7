"""Deliveries that fail again and again: a person hears of them long before the last attempt."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.outbox.policy import fingerprint

FAILURES_MIN: Final = 3
"""So many attempts failed: a moment's trouble has passed by then, and what is left needs a person."""
SCAN_MAX: Final = 1_000

_LIST = query(__package__, "list_failing")


@dataclass(frozen=True, slots=True)
class Failing:
    """Deliveries of one channel whose last attempts failed alike. `message_id` is one of theirs."""

    channel: str
    fingerprint: str
    reason: str
    count: int
    attempts: int
    message_id: UUID


async def list_failing(conn: Connection, *, timeout_s: float | None = None) -> list[Failing]:
    """What failed `FAILURES_MIN` times or more and is tried again, by channel and fault, the most first.

    Looks at the `SCAN_MAX` of each channel that wait longest: the waiting time grows with each failure.
    Does not promise: all of them, where more are tried again.
    """
    alike: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for row in await conn.fetch(_LIST, FAILURES_MIN, SCAN_MAX, timeout=timeout_s):
        alike[row["channel"], fingerprint(row["channel"], None, row["reason"])].append(row)
    found = [
        Failing(
            channel=channel,
            fingerprint=fault,
            reason=rows[0]["reason"],
            count=sum(row["count"] for row in rows),
            attempts=max(row["attempts"] for row in rows),
            message_id=rows[0]["message_id"],
        )
        for (channel, fault), rows in alike.items()
    ]
    return sorted(found, key=lambda each: (-each.count, each.channel, each.fingerprint))
