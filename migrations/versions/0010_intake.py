"""Batches of Stripe's events follow each other by one lock, not by one for each event."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_files("intake", "publish")
