"""Who has unsubscribed from a category of mail."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # Runners of before send mail with a category to nobody: they refuse the field as unknown.
    run_files("unsubscribed")
