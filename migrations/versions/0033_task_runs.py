"""Tasks under way tell how far they are, and can be cancelled."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0033"
down_revision = "0029"


def upgrade() -> None:
    run_files("task_runs")
