"""Who published is kept, and publishers reach neither Stripe's channel, nor its keys, nor its locks."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # A column without a value rewrites nothing; its default is given afterwards, for new rows. Publishers of
    # before call the functions that are replaced.
    run_files("hold", "hold_ledger", "publishers", "webhook_origins", "publish")
