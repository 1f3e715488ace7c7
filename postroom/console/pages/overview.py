"""The first page: is it flowing, what is stuck, and what to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from starlette.responses import RedirectResponse, Response

from postroom.base.db import Connection
from postroom.base.errors import Unavailable
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.console.page_request import PageRequest
from postroom.console.pages.jobs import job_health
from postroom.console.view.charts import Chart, Series, by_step, regular_times, stacked
from postroom.health.conditions import Growth, conditions
from postroom.metrics.gauges import COUNTED_MAX, Gauges
from postroom.metrics.throughput import ThroughputStep, list_throughput
from postroom.outbox.lanes import Urgency
from postroom.outbox.ledger.messages import count_recent_messages
from postroom.outbox.model import Cause, Channel
from postroom.worker.store import list_jobs

MINUTE_S: Final = 60.0
QUARTER_S: Final = 900.0
PUBLISHED_CAP: Final = 20_000
RATE_WINDOWS_S: Final = (60.0, 5.0)
CIRCUITS_SHOWN_MAX: Final = 8

GOOD: Final = ("delivered",)
AGAIN: Final = ("retry", "unknown", "abandoned")
BAD: Final = ("rejected", "suppressed")
DEAD: Final = "level/dead"
DEAD_STRIPE: Final = "level/dead/stripe"


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel at a glance. Large counts are the canary's, see `Gauges`."""

    channel: str
    pending: int
    retry: int
    parked: int
    awaiting_batch: int
    oldest_due_s: float
    dead: int
    hour: int
    urgent: int
    bulk: int


async def overview(request: PageRequest) -> Response:
    """Who does not reach everything is led to what they do reach."""
    if request.session.reach.limited:
        return RedirectResponse("/console/messages", status_code=303)
    console = request.console
    gauges = await console.gauges.read()
    if gauges is None:
        raise Unavailable("the database cannot be asked right now")
    console.rates.note(gauges)
    now = console.clock.now()
    async with console.snapshot() as conn:
        hour_since = now.replace(second=0, microsecond=0) - timedelta(minutes=59)
        hour = await list_throughput(conn, since=hour_since, step_s=MINUTE_S, labels=_labels())
        day_since = _quarter(now) - timedelta(seconds=QUARTER_S * 95)
        day = await list_throughput(conn, since=day_since, step_s=QUARTER_S, labels=_labels())
        jobs = await list_jobs(conn)
        published = await _published(conn, now)
        troubled = [name for name, circuit in gauges.circuits.items() if circuit.state != "closed"]
        receivers = await fetch_receivers(conn, troubled[:CIRCUITS_SHOWN_MAX])
    return request.page(
        "overview.html",
        active="overview",
        conditions=conditions(gauges, now=now, growth=_growth(hour), receivers=receivers),
        gauges=gauges,
        rows=channel_rows(gauges, hour),
        capped=any(depth.waiting >= COUNTED_MAX for depth in gauges.queues),
        dead_by_cause=[
            (cause.value, sum(n for (_, k), n in gauges.dead_letters.items() if k == cause))
            for cause in Cause
        ],
        dead=sum(gauges.dead_letters.values()),
        dead_capped=any(n >= COUNTED_MAX for n in gauges.dead_letters.values()),
        jobs=jobs,
        statuses={job.name: job_health(job, now) for job in jobs},
        published=published,
        delivered=console.rates.delivered() or _last_minutes(hour),
        circuits=sorted(gauges.circuits.values(), key=lambda c: (c.state == "closed", c.name)),
        circuits_max=CIRCUITS_SHOWN_MAX,
        receivers=receivers,
        charts=[
            attempts_chart("Attempts in the last hour", hour, since=hour_since, step_s=MINUTE_S, steps=60),
            attempts_chart("Attempts in the last day", day, since=day_since, step_s=QUARTER_S, steps=96),
        ],
    )


def channel_rows(gauges: Gauges, hour: Sequence[ThroughputStep]) -> list[ChannelRow]:
    delivered: dict[str, int] = defaultdict(int)
    for step in hour:
        channel, _, outcome = step.label.partition("/")
        if outcome in GOOD:
            delivered[channel] += step.value
    rows = []
    for channel in Channel:
        depths = [q for q in gauges.queues if q.channel == channel]
        rows.append(
            ChannelRow(
                channel=channel.value,
                pending=sum(q.waiting for q in depths if q.state == "pending"),
                retry=sum(q.waiting for q in depths if q.state == "retry"),
                parked=sum(q.parked for q in depths),
                awaiting_batch=sum(q.awaiting_batch for q in depths),
                oldest_due_s=max((q.late_s for q in depths), default=0.0),
                urgent=sum(q.waiting for q in depths if q.urgency == Urgency.URGENT),
                bulk=sum(q.waiting for q in depths if q.urgency == Urgency.BULK),
                dead=sum(n for (name, _), n in gauges.dead_letters.items() if name == channel),
                hour=delivered[channel.value],
            )
        )
    return rows


def attempts_chart(
    title: str, flow: Sequence[ThroughputStep], *, since: datetime, step_s: float, steps: int
) -> Chart:
    """Attempts by how they ended, all channels together."""
    sums: dict[str, dict[int, int]] = {
        "good": defaultdict(int),
        "again": defaultdict(int),
        "bad": defaultdict(int),
    }
    kinds = {**dict.fromkeys(GOOD, "good"), **dict.fromkeys(AGAIN, "again"), **dict.fromkeys(BAD, "bad")}
    for step in flow:
        kind = kinds.get(step.label.partition("/")[2])
        if kind is not None and not step.label.startswith("level/"):
            sums[kind][step.step] += step.value
    series = (
        Series("delivered", "good", by_step(sums["good"], steps)),
        Series("to try again", "warn", by_step(sums["again"], steps)),
        Series("refused", "bad", by_step(sums["bad"], steps)),
    )
    return stacked(title, series, times=regular_times(since, step_s=step_s, steps_count=steps))


async def _published(conn: Connection, now: datetime) -> tuple[float, float]:
    """Messages a second over the last minute; when those are too many to count, over the last seconds."""
    for window_s in RATE_WINDOWS_S:
        count = await count_recent_messages(conn, since=now - timedelta(seconds=window_s), cap=PUBLISHED_CAP)
        if count < PUBLISHED_CAP:
            return count / window_s, window_s
    return PUBLISHED_CAP / RATE_WINDOWS_S[-1], RATE_WINDOWS_S[-1]


def _labels() -> list[str]:
    outcomes = (*GOOD, *AGAIN, *BAD)
    return [DEAD, DEAD_STRIPE, *(f"{channel}/{outcome}" for channel in Channel for outcome in outcomes)]


def _growth(hour: Sequence[ThroughputStep]) -> Growth:
    """How many more dead letters than about a quarter of an hour ago, from the levels that were kept."""
    every, stripe = _grown(hour, DEAD), _grown(hour, DEAD_STRIPE)
    return Growth(outbound=every - stripe, stripe=stripe)


def _grown(hour: Sequence[ThroughputStep], label: str) -> int:
    levels = {step.step: step.value for step in hour if step.label == label}
    kept = [levels[step] for step in range(44, 60) if step in levels]
    return kept[-1] - min(kept) if kept else 0


def _last_minutes(hour: Sequence[ThroughputStep]) -> tuple[float, float]:
    """Deliveries a second over the last two full minutes; good until two readings are at hand."""
    total = sum(s.value for s in hour if s.step in (57, 58) and s.label.endswith("/delivered"))
    return total / (2 * MINUTE_S), 2 * MINUTE_S


def _quarter(now: datetime) -> datetime:
    return now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
