"""What had no receiver is counted, and an unknown channel is refused by name."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Functions, and two tables of one row each that only the canary writes: publishers wait for no lock.
    run_files("receivers", "publish")
