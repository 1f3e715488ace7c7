"""Events of Stripe that only fill the mirror, and of which mode and version the mirror's objects are."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Columns with a constant default, or none, rewrite nothing. Runners of before act on every event: a
    # backfill that causes nothing waits until they are gone.
    run_files("hold", "stripe_effects")
