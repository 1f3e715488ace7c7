"""Payloads sealed at rest: how far the job that seals has come."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    script = Path(__file__).parent.parent / "sql" / "encryption.sql"
    await_only(driver.execute(script.read_text(encoding="utf-8")))
