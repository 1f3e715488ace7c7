"""The functions of the ledger as they are now, for databases that an earlier 0001 made."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_files("partitions", "publish")
