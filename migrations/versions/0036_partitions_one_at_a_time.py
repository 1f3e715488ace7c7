"""Two runs of retention at once do not make or drop one partition twice."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0036"
down_revision = "0031"


def upgrade() -> None:
    run_files("partitions")
