"""Schedules: which tasks are published when, once each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from postroom.base.db import Connection, Pool, Record, query, transaction
from postroom.base.errors import InvalidPayload, NotFound, PostroomError, SettingsInvalid
from postroom.base.operator_code import SETTING
from postroom.channels.tasks.registry import Tasks
from postroom.client.task import SCHEDULE_KEY, CatchUp, Schedule, Task
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import Job, JobContext

_BEGIN: Final = query(__package__, "begin_schedule")
_ADVANCE: Final = query(__package__, "advance_schedule")
_LIST: Final = query(__package__, "list_schedules")
_IS_KNOWN: Final = query(__package__, "is_known_schedule")
_BEHIND: Final = query(__package__, "list_behind")
_PAUSE: Final = query(__package__, "pause_schedule")
_RESUME: Final = query(__package__, "resume_schedule")

EVERY_S: Final = 5.0
LATE: Final = timedelta(minutes=2)
"""What is late by less was not missed, but is on its way."""
BATCH_MAX: Final = 100
"""Of missed times in one run; the next run goes on."""
LISTED_MAX: Final = 1_000
NAMED_MAX: Final = 50
OTHERS: Final = "other"
"""What schedules beyond the first `NAMED_MAX`, by name, are told as together."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule and the task that it is for."""

    schedule: Schedule
    task: Task[..., Any]

    def after(self, moment: datetime, *, back: bool = False) -> Iterator[datetime]:
        """Its times after a moment, or, going back, before it."""
        there = moment.astimezone(ZoneInfo(self.schedule.zone))
        return CronSim(self.schedule.expression, there, reverse=back)

    def due(self, last: datetime, now: datetime) -> list[datetime]:
        """What is to be published now, of all times after `last`, as `catch_up` wants it."""
        missed = [each for each in islice(self.after(last), BATCH_MAX) if each <= now]
        if not missed or self.schedule.catch_up == "all":
            return missed
        newest = next(self.after(now + timedelta(microseconds=1), back=True))
        return [newest] if self.schedule.catch_up == "last" or now - newest <= LATE else []

    def message(self, moment: datetime) -> Message:
        """Its key is its time: whoever publishes it a second time publishes nothing."""
        return Message(
            channel=Channel.TASK,
            type=self.task.name,
            payload={"task": self.task.name, "args": dict(self.schedule.args)},
            key=f"{SCHEDULE_KEY}{self.schedule.name}:{moment.isoformat()}",
        )


def schedules_in(tasks: Tasks) -> dict[str, Planned]:
    """By name. Errors: `SettingsInvalid` with the faults of all of them, each with its task's place."""
    found: dict[str, Planned] = {}
    faults = []
    for task in tasks.values():
        for each in task.schedules:
            faults += [f"{task.place}: schedule {each.name}: {fault}" for fault in _faults(each, task)]
            if each.name in found:
                faults.append(f"{task.place}: two schedules are named '{each.name}': give them names")
            found[each.name] = Planned(each, task)
    if faults:
        raise SettingsInvalid(faults)
    return found


def _faults(schedule: Schedule, task: Task[..., Any]) -> Iterator[str]:
    if schedule.catch_up not in get_args(CatchUp):
        yield f"catch_up is one of {', '.join(get_args(CatchUp))}"
    if not 0 < len(schedule.name) <= 200:
        yield "a name has 1 to 200 characters"
    try:
        zone = ZoneInfo(schedule.zone)
        next(CronSim(schedule.expression, datetime.now(zone)))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{SETTING}: {schedule.zone!r} is no time zone such as Europe/Berlin"
    except (CronSimError, StopIteration) as error:
        yield f"{schedule.expression!r} is no cron expression with a time: {error}"
    try:
        task.read(schedule.args)
    except InvalidPayload as error:
        yield error.message


async def publish_due(conn: Connection, planned: Planned, keyring: Keyring) -> int:
    """Publish what is due of one schedule, and remember up to when. Returns how much.

    Transaction: the caller's, which holds its row: two runners come one after the other.
    """
    row = await conn.fetchrow(_BEGIN, planned.schedule.name)
    if row is None:
        return 0  # it is new, and begins now; or it is paused
    due = planned.due(row["last_at"], row["now"])
    await publish_many(conn, [planned.message(each) for each in due], keyring=keyring)
    complete = len(due) < BATCH_MAX
    upto = row["now"] if complete else due[-1]
    await conn.execute(_ADVANCE, planned.schedule.name, upto, due[-1] if due else None)
    return len(due)


def schedules_job(*, pool: Pool, planned: dict[str, Planned], keyring: Keyring) -> Job:
    """Publishes what is due. A schedule that fails holds up no other; then the run fails."""

    async def run(context: JobContext) -> int:
        count, faults = 0, list[PostroomError]()
        for each in planned.values():
            if context.stop.is_set():
                break
            try:
                async with transaction(pool) as conn:
                    count += await publish_due(conn, each, keyring)
            except PostroomError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        return count

    return Job(name="schedules", run=run, every_s=EVERY_S)


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """One schedule as people see it. `next_at` is None while it is paused.

    Of one that only the code of others declares, or once did, there is no task, no expression and no next
    time. `behind_s`: how long ago what was due was last published; None while it is paused or new.
    """

    name: str
    task: str | None
    expression: str | None
    zone: str | None
    catch_up: str | None
    next_at: datetime | None
    last_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    behind_s: float | None


async def list_schedules(conn: Connection, planned: dict[str, Planned]) -> list[ScheduleStatus]:
    """Those of the code and those of the ledger, the first `LISTED_MAX` by name."""
    rows = await conn.fetch(_LIST, list(planned), LISTED_MAX)
    return [_status(planned.get(row["name"]), row) for row in rows]


def _status(planned: Planned | None, row: Record) -> ScheduleStatus:
    schedule = planned.schedule if planned else None
    return ScheduleStatus(
        name=row["name"],
        task=planned.task.name if planned else None,
        expression=schedule.expression if schedule else None,
        zone=schedule.zone if schedule else None,
        catch_up=schedule.catch_up if schedule else None,
        next_at=None if row["paused_at"] or planned is None else next(planned.after(row["now"])),
        last_at=row["published_at"],
        paused_at=row["paused_at"],
        paused_by=row["paused_by"],
        reason=row["reason"],
        behind_s=row["behind_s"],
    )


async def list_behind(conn: Connection, *, timeout_s: float) -> dict[str, float]:
    """How many seconds ago the times of each schedule that is not paused were last published, by name.

    Of more than `NAMED_MAX` the rest is one, `OTHERS`, which is there from the start. Needs none of the code
    that declares them: what a runner once saw is known until its row is removed. Transaction: the caller's.
    """
    rows = await conn.fetch(_BEHIND, NAMED_MAX, OTHERS, timeout=timeout_s)
    return {row["name"]: row["behind_s"] for row in rows}


async def mark_paused(conn: Connection, name: str, *, reason: str, paused_by: str) -> dict[str, Any] | None:
    """Publish none of its times until it is resumed. Returns: the pause that was there."""
    old = await conn.fetchrow(_PAUSE, name, reason, paused_by)
    return None if old is None else dict(old)


async def mark_resumed(conn: Connection, name: str) -> dict[str, Any] | None:
    """Its next time is published again; those of the pause are not. Returns: what the pause was."""
    old = await conn.fetchrow(_RESUME, name)
    return None if old is None else dict(old)


async def check_known(conn: Connection, planned: dict[str, Planned], name: str) -> None:
    """Errors: `NotFound` where neither this code nor the ledger has it, naming those of the code."""
    if not await conn.fetchval(_IS_KNOWN, name):
        named(planned, name)


def named(planned: dict[str, Planned], name: str) -> Planned:
    """Errors: `NotFound` naming the schedules."""
    if name not in planned:
        raise NotFound(f"no schedule is called {name[:200]!r}; known: {', '.join(sorted(planned)) or 'none'}")
    return planned[name]
