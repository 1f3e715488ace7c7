"""Payloads, raw bodies and mirrored objects are compressed by lz4, where PostgreSQL has it."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Publishing chooses it inside its functions, so the ledger itself is not locked.
    run_files("publish", "compression")
