"""Attempts are counted by task, so many names at most, and reach the metrics."""

from __future__ import annotations

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.counts import NAMED_MAX, OTHERS, Counts, read_counts
from postroom.channels.tasks.registry import tasks_in
from postroom.metrics.families import families
from postroom.metrics.gauges import GaugeReader
from postroom.outbox.model import Channel, Deferred, Delivered, Message, Rejected, Settled, Wait
from tests.channels.tasks import code
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import pool_as

Samples = dict[tuple[str, ...], float]


async def samples(pool: Pool) -> Samples:
    """By name and the values of the labels."""
    gauges = await GaugeReader(pool=pool_as(pool, "api"), clock=DrivenClock()).read()
    assert gauges is not None
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(gauges)
        for sample in family.samples
        if sample.name.startswith("postroom_task_")
    }


async def test_what_a_runner_ran_is_in_the_metrics(dsn: str, pool: Pool) -> None:
    adapter = TaskAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=TaskSettings(processes=1),
        tasks=tasks_in([code]),
        places=["tests.channels.tasks.code"],
    )
    before = await samples(pool)
    assert before["postroom_task_attempts_total", OTHERS, "delivered"] == 0
    assert before["postroom_task_seconds_count", OTHERS] == 0
    engine = await AdapterEngine(dsn, pool, adapter).start()
    for word in ("a", "b"):
        args = {"word": word}
        await engine.publish([Message(channel=Channel.TASK, payload={"task": "fails", "args": args})])
    await engine.publish([Message(channel=Channel.TASK, payload={"task": "nobody's", "args": {}})])
    await engine.drain()
    await adapter.close()
    found = await samples(pool)
    assert found["postroom_task_attempts_total", "fails", "retry"] == 2
    assert found["postroom_task_attempts_total", "fails", "delivered"] == 0
    assert found["postroom_task_seconds_count", "fails"] == 2
    assert found["postroom_task_seconds_bucket", "fails", "600.0"] == 2
    assert 0 <= found["postroom_task_seconds_sum", "fails"] < 60
    assert not [key for key in found if "nobody's" in key], "what was not tried is no attempt"


async def test_only_so_many_tasks_have_a_name_and_what_cannot_be_kept_is_kept_later(pool: Pool) -> None:
    names = [f"t{n:02}" for n in range(NAMED_MAX + 10)]
    counts = Counts(pool_as(pool, "runner"), names)
    for name in names:
        counts.add(name, Delivered(), cancelled=False, took_s=0.5, worker=1)
    counts.add("t00", Settled(), cancelled=True, took_s=700.0, worker=1)
    counts.add("t00", Rejected("no"), cancelled=False, took_s=0.1, worker=1)
    counts.add("t00", Deferred(Wait.NOT_CONFIGURED, "not here"), cancelled=False, took_s=9.0, worker=1)
    await pool.execute("alter table postroom.tally rename to tally_away")
    await counts._keep()
    await pool.execute("alter table postroom.tally_away rename to tally")
    await counts.close()
    found = await samples(pool)
    assert len({key[1] for key in found}) == NAMED_MAX + 1
    assert found["postroom_task_attempts_total", OTHERS, "delivered"] == 10
    ends = {
        what: found["postroom_task_attempts_total", "t00", what]
        for what in ("delivered", "rejected", "cancelled")
    }
    assert ends == {"delivered": 1, "rejected": 1, "cancelled": 1}
    assert [
        found["postroom_task_seconds_bucket", "t00", le] for le in ("0.01", "0.1", "1.0", "600.0", "+Inf")
    ] == [*(0, 1, 2, 2, 3)]
    assert found["postroom_task_seconds_sum", "t00"] == 700.6


def test_names_of_other_runners_beyond_the_bound_are_told_together() -> None:
    tallies = {("task_attempts", f"retry t{n:02} x"): 1 for n in range(NAMED_MAX + 5)}
    found = read_counts({**tallies, ("outcome", "task/retry"): 9})
    assert len(found) == NAMED_MAX + 1
    assert found["t00 x"].attempts["retry"] == 1
    assert found[OTHERS].attempts["retry"] == 5
