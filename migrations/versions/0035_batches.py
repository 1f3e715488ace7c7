"""Batches, and what follows them."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    run_files("hold", "publish_unique", "batches")
