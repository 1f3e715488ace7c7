"""What a publisher gives is checked where it is published."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0041"
down_revision = "0037"


def upgrade() -> None:
    run_files("hold", "checks", "publish", "fewer_checks")
