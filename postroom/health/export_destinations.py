"""Destinations of exports that files lie in, and that the settings do not name any more."""

from __future__ import annotations

from typing import Final

from postroom.base.db import Connection, query
from postroom.base.export_settings import ExportSettings, destination_setting
from postroom.health.findings import Finding, error

_LIST = query(__package__, "list_export_destinations")

LOOKED_AT_MAX: Final = 1_000


async def check_export_destinations(conn: Connection, exports: ExportSettings) -> list[Finding]:
    """A finding for each: nobody can be erased there, and what waits for it goes nowhere."""
    return [
        error(
            "exports",
            f"{row['folders']} folders are in {row['name']}, which no setting names: nobody is erased there",
            f"export {destination_setting(row['name'], 'URL')}=…",
        )
        for row in await conn.fetch(_LIST, LOOKED_AT_MAX)
        if row["name"] not in exports.destinations
    ]
