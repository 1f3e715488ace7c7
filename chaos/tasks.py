"""The tasks of an installation under faults: what each leaves behind is evidence."""

from __future__ import annotations

import json
import os
from typing import Final

from postroom import cron, current_task, task

LINES: Final = "CHAOS_TASK_LINES"
"""The setting that names the file to which tasks without a transaction add a line each."""
TABLES: Final = (
    "create table if not exists public.chaos_task (token text not null, message_id uuid not null)",
    "create table if not exists public.chaos_tick (at timestamptz not null)",
    "grant all on public.chaos_task, public.chaos_tick to public",
    # The ledger forgets when a runner first saw a schedule, from when on each of its times is due.
    "alter table postroom.schedule add column if not exists chaos_made_at timestamptz not null default now()",
)
IN_TRANSACTION: Final = "chaos.row"
IN_PROCESS: Final = "chaos.line"
IN_LOOP: Final = "chaos.note"
TASKS: Final = (IN_TRANSACTION, IN_PROCESS, IN_LOOP)
TICK: Final = "chaos.tick"


@task(IN_TRANSACTION, attempts=25)
async def row(token: str) -> None:
    """Exactly once: its row and its end are one commit."""
    run = current_task()
    async with run.transaction() as conn:
        await conn.execute("insert into public.chaos_task values ($1, $2)", token, run.message_id)


@task(IN_PROCESS, attempts=25)
def line(token: str) -> None:
    """At least once, in a process of its own."""
    _write_down(token)


@task(IN_LOOP, attempts=25)
async def note(token: str) -> None:
    """At least once, in the runner's process. It waits for nothing, so it has no asyncio task of its own."""
    _write_down(token)


def _write_down(token: str) -> None:
    """In one write: other processes add to the same file."""
    run = current_task()
    told = json.dumps({"task": run.task, "token": token, "id": str(run.message_id)})
    with open(os.environ[LINES], "a", encoding="utf-8") as file:
        file.write(f"{told}\n")


@cron("* * * * *", catch_up="all")
@task(TICK, attempts=25)
async def tick() -> None:
    run = current_task()
    async with run.transaction() as conn:
        await conn.execute("insert into public.chaos_tick values ($1)", run.scheduled_at)
