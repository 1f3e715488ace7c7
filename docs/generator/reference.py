"""All reference pages as they should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from docs.generator.access import access_block
from docs.generator.cli import cli_block
from docs.generator.http import http_block, openapi_json
from docs.generator.metrics import metrics_block
from docs.generator.pages import FOLDER, fill
from docs.generator.roles import roles_block
from docs.generator.settings import settings_block
from docs.generator.sql import sql_block
from drill.certificate import write_certificate
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings
from postroom.metrics.families import families
from postroom.metrics.gauges import read_gauges
from tests.fixtures.api import running_api

PAGES: Final = ("settings.md", "cli.md", "metrics.md", "http.md", "access.md", "sql.md", "database-roles.md")


async def reference(dsn: str, folder: Path) -> dict[str, str]:
    """Each file of docs/reference with its text. `dsn`: a migrated database; `folder`: for files."""
    conn = await asyncpg.connect(dsn)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            from_database = [family.name for family in families(await read_gauges(conn))]
            sql = await sql_block(conn)
            roles = await roles_block(conn)
    finally:
        await conn.close()
    blocks = {
        "settings": settings_block(),
        "cli": cli_block(),
        "metrics": metrics_block(await _exported(dsn, folder), from_database),
        "http": http_block(),
        "access": access_block(),
        "sql": sql,
        "database-roles": roles,
    }
    pages = {name: fill((FOLDER / name).read_text(encoding="utf-8"), blocks) for name in PAGES}
    return {**pages, "openapi.json": openapi_json()}


async def _exported(dsn: str, folder: Path) -> str:
    """An answer of /metrics with every family that there can be: also those of files that settings name."""
    certificate = folder / "ca.pem"
    write_certificate(certificate, ends_at=datetime.now(UTC) + timedelta(days=30))
    settings = Settings(
        state_dir=folder,
        email=EmailSettings(tls_ca=certificate),
        exports=ExportSettings(url=(folder / "exports").as_uri()),
    )
    async with running_api(dsn, settings) as api:
        await api.get("/livez")
        return (await api.get("/metrics")).text
