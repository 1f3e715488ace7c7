"""The functions of the ledger as they are now, for databases that an earlier 0001 made."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

revision = "0004"
down_revision = "0003"

FILES = ("partitions", "publish")


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    for name in FILES:
        script = (Path(__file__).parent.parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        await_only(driver.execute(script))
