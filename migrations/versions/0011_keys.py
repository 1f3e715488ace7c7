"""A key is unique within its channel and tenant."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0011"
down_revision = "0010"

CREATES = ("message_scoped_key",)
DROPS = ("message_key",)


def upgrade() -> None:
    # The functions take any unique index for a conflict, so publishers go on with the one of before, with
    # both, and with the new one. No lock is taken that they wait for.
    run_files("keys", "publish")
