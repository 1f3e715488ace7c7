"""Access of a customer, fetched from Stripe on request."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    # A new table, a new function. Runners of before know nothing of it: the first new one answers.
    run_files("customer_refresh")
