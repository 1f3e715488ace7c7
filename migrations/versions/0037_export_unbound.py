"""A record is added to its export file without a look-up of the file."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    run_files("hold", "export_unbound")
