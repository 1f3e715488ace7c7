"""The ledger, the work tables and the functions that publish."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

revision = "0001"
down_revision = None

FILES = (
    "ledger",
    "partitions",
    "work",
    "webhooks",
    "email",
    "access",
    "stripe",
    "exports",
    "console",
    "publish",
)


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    for name in FILES:
        script = (Path(__file__).parent.parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        await_only(driver.execute(script))
