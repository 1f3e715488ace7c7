"""An ordering key is its tenant's own: no tenant waits for another one's."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    # Functions are replaced, and nobody waits for a lock. Runners and publishers of before go on: they
    # compare what stands in the queue. The order between a transaction that is open now and those after it
    # is not kept, where both have a tenant.
    run_files("ordering", "publish")
