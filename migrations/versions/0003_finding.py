"""Dead letters of a tenant, messages of a chain, events of a Stripe object: found page by page."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_files("finding")
