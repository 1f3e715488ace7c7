"""The tenant of a delivery, by which claims are shared."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # A column without a value rewrites nothing; publishers of before call the functions that fill it.
    run_files("hold", "tenants", "publish")
