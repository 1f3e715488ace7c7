"""What a publisher names and what its payload names are one thing, or nobody gets it."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_files("publish")
