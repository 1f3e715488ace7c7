"""What the shop does after a commit."""

import json
import os
import time
import urllib.request
from datetime import timedelta

import postroom
from postroom import task


@task("crm.sync", attempts=10, timeout_s=30)
def sync_customer(customer: int, email: str) -> None:
    """Not async, so it runs in a process of its own: it may block, and may be killed."""
    request = urllib.request.Request(
        os.environ["CRM_URL"],
        data=json.dumps({"id": customer, "email": email}).encode(),
        headers={"Idempotency-Key": str(postroom.current_task().message_id)},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        if answer.status == 202:
            raise postroom.Retry("the CRM is busy", after=timedelta(minutes=2))


@task("points.add")
async def add_points(customer: int, points: int) -> None:
    """Its effect is in this database, so it ends in the same transaction: once, whatever crashes."""
    async with postroom.current_task().transaction() as conn:
        await conn.execute("update customer set points = points + $2 where id = $1", customer, points)


@task("report.build", timeout_s=600)
def build_report(day: str) -> None:
    if day > time.strftime("%Y-%m-%d"):
        raise postroom.Reject(f"{day} has not happened yet")
