"""What customers have access to, beside the mirror that it is made of."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    # New tables, and one constraint that refers to the mirror. Runners of before write the mirror without
    # them; the job `stripe-access` finds what they wrote, and what was there before.
    run_files("hold", "customer_access")
