"""Attempts say where they went."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # Two columns without a default, in the log and its days. Runners of before go on: theirs are null.
    run_files("attempts")
