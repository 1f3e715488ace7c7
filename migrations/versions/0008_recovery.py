"""What an endpoint missed is looked for by a replay, part by part."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Three columns without a default on a table of a few rows; code of before names the columns it reads. The
    # index waits for no publisher: they read endpoints and do not write them.
    run_files("recovery")
