"""Export files are replaced by others."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    # Runners of before replace nothing, and what they write does not change.
    run_files("hold", "export_replacing")
