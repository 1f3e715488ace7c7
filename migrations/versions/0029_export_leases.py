"""One process at a time carries out a planned replacement of export files."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    run_files("hold", "export_leases")
