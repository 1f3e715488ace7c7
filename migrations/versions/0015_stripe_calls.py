"""Calls to Stripe are a channel."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    # Runners of before claim nothing of a channel that they do not know: what is published on it waits for
    # those that do. Checks are widened without reading a row.
    run_files("hold", "stripe_calls", "publish")
