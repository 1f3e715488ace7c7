"""Payloads that are kept beyond their time are accounted for."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # A new table, and a column on a table of one row that only retention reads.
    run_files("history")
