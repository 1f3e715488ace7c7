"""How far Stripe's events were compared with ours, and how far the first load of its objects is."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # Two new tables: nothing that is in use is locked.
    run_files("stripe_reconcile")
