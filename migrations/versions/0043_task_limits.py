"""Limits that the code of a task declares."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    run_files("hold", "task_limits")
