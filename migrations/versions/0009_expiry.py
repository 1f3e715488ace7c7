"""Deliveries have an end: what a publisher names, or the greatest age of their channel."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Short locks, whatever is there: two columns without a default, a constraint that nothing is read for.
    # Publishers of before go on: the new parameter of `publish` is the last one and has a default.
    run_files("expiry", "publish")
