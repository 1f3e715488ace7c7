"""Export files stay open for a while, in the folder of their records' day."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    # Runners of before go on with files of their own; those of a newer one they cannot write, and try again.
    run_files("hold", "export_windows")
