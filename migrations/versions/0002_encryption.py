"""Payloads sealed at rest: how far the job that seals has come."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_files("encryption")
