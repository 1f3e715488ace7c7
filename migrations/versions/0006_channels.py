"""A channel can be paused."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # A new table of a few rows. Runners of before do not read it: they go on delivering what is paused.
    run_files("channels")
