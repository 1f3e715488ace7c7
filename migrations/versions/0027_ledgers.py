"""Several ledgers: a directory of tenants in each, and the fence of those that are elsewhere."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    # Runners of before claim nothing that is held: it is in no lane that they know.
    run_files("hold", "ledgers", "publish")
