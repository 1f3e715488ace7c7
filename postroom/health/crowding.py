"""Tenants behind whose backlog others would wait; runners let those go first."""

from __future__ import annotations

import shlex
from typing import Final

from postroom.base.db import Connection, query
from postroom.health.findings import Finding, warning
from postroom.outbox.engine.crowd import CROWDING_SHARE, LATE_MIN
from postroom.outbox.lanes import FIRST_STATES, RETRY_STATES
from postroom.outbox.model import Channel

_LIST = query(__package__, "list_crowding")
_STATES: Final = sorted(FIRST_STATES | RETRY_STATES)

LATE_S: Final = 5.0
SCAN_MAX: Final = 1_000


async def check_crowding(conn: Connection) -> list[Finding]:
    """Who has much of what is late, so that what is slow for this tenant is explained.

    Does not promise: that runners see the same, each in its own claims.
    Limit: the oldest `SCAN_MAX` of each state.
    """
    channels = [str(channel) for channel in Channel]
    rows = await conn.fetch(_LIST, channels, _STATES, LATE_S, SCAN_MAX, CROWDING_SHARE, LATE_MIN)
    return [
        warning(
            f"channel {row['channel']}",
            f"{row['count']} of the {row['of_all']} oldest late deliveries are of "
            f"{'the tenant ' + row['tenant'] if row['tenant'] else 'no tenant'}: others go first, "
            "and these have a twentieth at least and what the others leave",
            f"postroom messages list --channel {row['channel']} --tenant {shlex.quote(row['tenant'])}",
        )
        for row in rows
    ]
