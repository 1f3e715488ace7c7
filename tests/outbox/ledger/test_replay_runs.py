"""A replay that is paused and taken back, on real rows."""

from __future__ import annotations

from uuid import UUID

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import Conflict
from postroom.outbox.ledger import replay_runs
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import Replayed, replay_one
from postroom.outbox.ledger.replay_runs import RunState
from postroom.outbox.store import cancel_message

WEBHOOKS = DeadLetterFilter(channels=("webhook",))


@pytest.fixture
async def letters(pool: Pool) -> list[UUID]:
    """Twenty dead webhooks, oldest first."""
    rows = await pool.fetch(
        """select postroom.publish(channel => 'webhook',
            payload => '{"url": "https://a.example", "type": "t", "data": {}}') as id
        from generate_series(1, 20)"""
    )
    await pool.execute(
        """with gone as (delete from postroom.delivery returning *)
        insert into postroom.dead_letter (message_id, n, seq, channel, destination, attempts, cause,
            fingerprint, reason, code, died_at)
        select message_id, n, seq, channel, destination, 8, 'passing', 'f', 'answered 404', '404',
            now() - interval '1 hour' + make_interval(secs => seq) from gone"""
    )
    return [row["id"] for row in rows]


async def _start(pool: Pool, pace_per_s: float = 1.0) -> UUID:
    async with transaction(pool) as conn:
        started = await replay_runs.start_run(conn, WEBHOOKS, actor="ada", pace_per_s=pace_per_s)
    assert started.run_id is not None
    return started.run_id


async def _drift(pool: Pool) -> int:
    await check_ledger(pool)
    drift: int = await pool.fetchval("select drift from postroom.ledger_check")
    return drift


async def test_letters_are_due_one_after_the_other(pool: Pool, letters: list[UUID]) -> None:
    await _start(pool, pace_per_s=2.0)
    dues = await pool.fetch(
        """select message_id, extract(epoch from due_at - min(due_at) over ())::float8 as after_s
        from postroom.delivery order by due_at"""
    )
    assert [round(row["after_s"], 3) for row in dues] == [n / 2 for n in range(20)]
    assert [row["message_id"] for row in dues] == letters
    assert await _drift(pool) == 0


async def test_undo_leaves_every_letter_as_it_was_and_the_ledger_adds_up(
    pool: Pool, letters: list[UUID]
) -> None:
    select = "select * from postroom.dead_letter order by message_id"
    before = [dict(row) for row in await pool.fetch(select)]
    run_id = await _start(pool)
    async with transaction(pool) as conn:
        assert await replay_runs.undo_run(conn, run_id, actor="ada") == 20
    assert [dict(row) for row in await pool.fetch(select)] == before
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert await _drift(pool) == 0
    async with transaction(pool) as conn:
        found = await replay_runs.fetch_run(conn, run_id)
        assert (found.returned, found.over, found.run.state) == (20, True, RunState.UNDONE)
        with pytest.raises(Conflict):
            await replay_runs.undo_run(conn, run_id, actor="ada")


async def test_what_was_tried_or_is_held_by_a_worker_is_not_taken_back(
    pool: Pool, letters: list[UUID]
) -> None:
    run_id = await _start(pool)
    async with transaction(pool) as conn:
        await cancel_message(conn, message_id=letters[0])
    await pool.execute(
        "update postroom.delivery set state = 'retry', attempts = 1 where message_id = $1", letters[1]
    )
    await pool.execute(
        "update postroom.delivery set worker = 7, claimed_at = now() where message_id = $1", letters[2]
    )
    async with transaction(pool) as conn:
        assert await replay_runs.pause_run(conn, run_id, actor="ada") == 17
        found = await replay_runs.fetch_run(conn, run_id)
    assert (found.held, found.done, found.retrying, found.waiting) == (17, 1, 1, 1)
    async with transaction(pool) as conn:
        assert await replay_runs.resume_run(conn, run_id, actor="ada") == 17


async def test_what_somebody_else_replayed_while_it_was_paused_is_left_alone(
    pool: Pool, letters: list[UUID]
) -> None:
    run_id = await _start(pool)
    async with transaction(pool) as conn:
        await replay_runs.pause_run(conn, run_id, actor="ada")
    async with transaction(pool) as conn:
        await replay_one(conn, letters[5], actor="grace")
    async with transaction(pool) as conn:
        assert await replay_runs.resume_run(conn, run_id, actor="ada") == 19
        found = await replay_runs.fetch_run(conn, run_id)
    assert (found.run.items, found.waiting, found.returned) == (20, 19, 1)


async def test_a_second_replay_finds_nothing(pool: Pool, letters: list[UUID]) -> None:
    await _start(pool)
    async with transaction(pool) as conn:
        assert await replay_runs.start_run(conn, WEBHOOKS, actor="ada") == Replayed(0, None)
        assert len(await replay_runs.list_runs(conn)) == 1
