"""The ledger, the work tables and the functions that publish."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0001"
down_revision = None

FILES = (
    "ledger",
    "partitions",
    "work",
    "webhooks",
    "email",
    "access",
    "stripe",
    "exports",
    "console",
    "publish",
)


def upgrade() -> None:
    run_files(*FILES)
