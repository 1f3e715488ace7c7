"""Tasks are a channel."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    # Runners of before claim nothing of a channel that they do not know: tasks wait for those that do.
    run_files("hold", "tasks", "publish")
