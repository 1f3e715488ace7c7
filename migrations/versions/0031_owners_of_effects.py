"""Keys that routes gave to what several events tell go along with the owner of those events."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0031"
down_revision = "0035"


def upgrade() -> None:
    run_files("hold", "ledgers")
