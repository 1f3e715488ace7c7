"""Tasks by name: how they went within the hour, which are under way, and when they run by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.reading import SCAN_MAX, list_tasks, list_under_way
from postroom.channels.tasks.schedules import ScheduleStatus, list_schedules
from postroom.console.page_request import PageRequest
from postroom.health.thresholds import SCHEDULE_STALE_S
from postroom.outbox.model import Channel

TASKS_SHOWN: Final = 200
UNDER_WAY_SHOWN: Final = 50
WITHIN: Final = timedelta(hours=1)


def schedule_health(schedule: ScheduleStatus) -> str:
    """In one word how a schedule is, judged as its alert judges it."""
    if schedule.paused_at is not None:
        return "paused"
    if schedule.behind_s is None:
        return "new"
    return "stale" if schedule.behind_s > SCHEDULE_STALE_S else "well"


async def tasks(request: PageRequest) -> Response:
    """Schedules of which the code is not here have no next time: a runner knows it."""
    adapter = request.console.adapters.get(Channel.TASK)
    planned = adapter.schedules if isinstance(adapter, TaskAdapter) else {}
    async with request.console.snapshot() as conn:
        found, cut = await list_tasks(conn, since=request.console.clock.now() - WITHIN, limit=TASKS_SHOWN)
        under_way = await list_under_way(conn, limit=UNDER_WAY_SHOWN)
        schedules = await list_schedules(conn, planned)
    return request.page(
        "tasks.html",
        active="tasks",
        tasks=found,
        tasks_shown=TASKS_SHOWN,
        cut=cut,
        scan_max=SCAN_MAX,
        under_way=under_way,
        under_way_shown=UNDER_WAY_SHOWN,
        schedules=[(each, schedule_health(each)) for each in schedules],
    )
