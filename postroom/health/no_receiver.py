"""Webhooks that nobody listened to: a tenant that was mistyped, or an endpoint that was never made."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from typing import Final

from postroom.base.db import Connection, query
from postroom.health.findings import Finding, warning
from postroom.outbox.ledger.messages import first_id_at

_LIST = query(__package__, "list_no_receiver")

SINCE: Final = timedelta(days=1)
SCAN_MAX: Final = 10_000
SHOWN_MAX: Final = 3


async def check_receivers(conn: Connection, now: datetime) -> list[Finding]:
    """What had no receiver during the day before `now`: a finding for a tenant and type, the most frequent.

    Does not promise: more than the newest `SCAN_MAX` messages are not looked at.
    """
    since = first_id_at(now - SINCE)
    return [
        warning(
            "webhooks",
            f"{row['count']} of type {row['type']} to the tenant {row['tenant']} had no receiver: "
            "none of its endpoints listens to that type",
            f"postroom endpoint list --tenant {shlex.quote(row['tenant'])}",
        )
        for row in await conn.fetch(_LIST, since, SCAN_MAX, SHOWN_MAX)
    ]
