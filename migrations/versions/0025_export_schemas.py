"""Schemas of exported datasets."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    # Runners of before go on with NDJSON: choose another format when all of them are gone.
    run_files("hold", "export_schemas")
