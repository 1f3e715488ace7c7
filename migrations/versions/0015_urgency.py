"""What is urgent goes first, and what is bulk does not stand in its way."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    # Runners of before leave what is urgent or bulk to those that know of it; what is normal is as ever.
    run_files("urgency", "publish")
