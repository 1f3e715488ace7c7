"""A schedule, and a handler that fails while the file named by POSTROOM_DRILL_BROKEN is there."""

from __future__ import annotations

import os
from pathlib import Path

from postroom import Event, Transaction, cron, on, task

BROKEN = Path(os.environ["POSTROOM_DRILL_BROKEN"])


@on("customer.updated")
async def remember_customer(event: Event, tx: Transaction) -> None:
    if BROKEN.exists():  # noqa: ASYNC240  a file that the drill makes
        raise RuntimeError("a fault that was deployed on purpose")
    await tx.publish(channel="export", payload={"dataset": "customers", "record": {"id": event.object_id}})


@cron("* * * * *")
@task("figures.refresh")
async def refresh_figures() -> None:
    """Runs by itself, and has nothing to do."""
