"""How many attempts at each task there were in each minute, which is its rate."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    run_files("hold", "task_rates")
