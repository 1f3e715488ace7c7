"""Dead letters of a tenant, messages of a chain, events of a Stripe object: found page by page."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("migrations need an open connection")
    script = Path(__file__).parent.parent / "sql" / "finding.sql"
    await_only(driver.execute(script.read_text(encoding="utf-8")))
