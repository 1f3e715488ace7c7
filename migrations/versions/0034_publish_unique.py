"""Publishing once in a while, or the last one only."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0034"
down_revision = "0030"


def upgrade() -> None:
    run_files("publish_unique")
