"""Endpoints with http:// where that is refused: each webhook to them becomes a dead letter."""

from __future__ import annotations

import shlex
from typing import Final

from postroom.base.db import Connection, query
from postroom.base.settings import WebhookSettings
from postroom.health.findings import Finding, warning

_LIST = query(__package__, "list_plain_endpoints")

SHOWN_MAX: Final = 3


async def check_plain_endpoints(conn: Connection, webhook: WebhookSettings) -> list[Finding]:
    """A finding for each of the first three; none where http:// is allowed."""
    if webhook.http:
        return []
    return [
        warning(
            "webhooks",
            f"the endpoint of {row['tenant']} at {row['url']} gets nothing: http:// is refused in prod",
            f"postroom endpoint update {row['id']} --url {shlex.quote('https' + row['url'][4:])}",
        )
        for row in await conn.fetch(_LIST, SHOWN_MAX)
    ]
