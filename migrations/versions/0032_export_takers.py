"""One runner at a time writes an export file that closed."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0032"
down_revision = "0033"


def upgrade() -> None:
    run_files("hold", "export_leases")
