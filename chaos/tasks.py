"""The tasks of an installation under faults: what each leaves behind is evidence."""

from __future__ import annotations

import json
import os
from typing import Final

from postroom import cron, current_task, task

LINES: Final = "CHAOS_TASK_LINES"
"""The setting that names the file to which tasks in processes add a line each."""
TABLES: Final = (
    "create table if not exists public.chaos_task (token text not null, message_id uuid not null)",
    "create table if not exists public.chaos_tick (at timestamptz not null)",
    "grant all on public.chaos_task, public.chaos_tick to public",
)
IN_TRANSACTION: Final = "chaos.row"
APART: Final = "chaos.line"


@task(IN_TRANSACTION, attempts=25)
async def row(token: str) -> None:
    """Exactly once: its row and its end are one commit."""
    run = current_task()
    async with run.transaction() as conn:
        await conn.execute("insert into public.chaos_task values ($1, $2)", token, run.message_id)


@task(APART, attempts=25)
def line(token: str) -> None:
    """At least once, in a process of its own."""
    told = json.dumps({"token": token, "id": str(current_task().message_id)})
    with open(os.environ[LINES], "a", encoding="utf-8") as file:
        file.write(f"{told}\n")


@cron("* * * * *", catch_up="all")
@task("chaos.tick", attempts=25)
async def tick() -> None:
    run = current_task()
    async with run.transaction() as conn:
        await conn.execute("insert into public.chaos_tick values ($1)", run.scheduled_at)
