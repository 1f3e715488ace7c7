"""The application of these suites: its tasks."""

from postroom import Reject, cron, current_task, publish, task

CALLED: list[tuple[str, object]] = []


@task("crm.sync")
def sync_customer(customer: int) -> None:
    CALLED.append((current_task().task, customer))


@task("crm.refuse")
def refuse(customer: int) -> None:
    raise Reject("no such customer")


@task("crm.report")
def report() -> None:
    CALLED.append((current_task().task, current_task().batch))


@cron("30 2 * * *", zone="Europe/Berlin")
@task("points.add")
async def add_points(customer: int = 1) -> None:
    async with current_task().transaction() as conn:
        await conn.execute("insert into points (customer) values ($1)", customer)
        await publish(
            conn, channel="email", payload={"to": "ada@example.com", "subject": "Points"}, key="points"
        )


@task("django.ask")
async def ask_django() -> None:
    from asgiref.sync import sync_to_async
    from django.db import connection

    CALLED.append(("in the test's transaction", await sync_to_async(lambda: connection.in_atomic_block)()))
