"""Limits that all runners keep together."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # New tables only. Runners of before know of no limit: it holds when the last of them has gone.
    run_files("limits")
