"""Events of an account that several ledgers share are refused where their owner is not."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0030"
down_revision = "0032"


def upgrade() -> None:
    run_files("hold", "ledgers", "publish")
