"""What an endpoint missed, or what died for it, is sent under the same id, once, and a little at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput
from postroom.base.settings import RetentionSettings
from postroom.channels.webhooks import endpoints
from postroom.outbox.ledger import recovery, replay_runs
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.ledger.recovery import Found, Only, Recovery, look, recovery_job
from postroom.outbox.ledger.resend import resend
from postroom.outbox.ledger.retention import retention_job
from postroom.outbox.ledger.story import list_attempts
from postroom.outbox.model import Answer, Channel, Delivered, Message, Rejected
from postroom.outbox.store import cancel_message
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter
from tests.fixtures.roles import pool_as

DISABLE = (
    "update postroom.endpoint set state = 'parked', parked_reason = 'gone', disabled_at = now() where id = $1"
)
ENABLE = (
    "update postroom.endpoint set state = 'enabled', parked_reason = null, disabled_at = null where id = $1"
)


def order(type_: str = "order.paid", tenant: str = "acme") -> Message:
    return Message(channel="webhook", payload={"data": {}}, tenant=tenant, type=type_)


@pytest.fixture
async def webhooks(dsn: str, pool: Pool) -> AsyncIterator[Engine]:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    yield engine
    assert (await check_ledger(pool)).drift == 0


async def endpoint(pool: Pool, *types: str) -> UUID:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(
            conn, tenant="acme", url="https://a.example/", types=types or ("*",)
        )
    return made.endpoint.id


def all_of(endpoint_id: UUID, only: Only | None = None) -> Recovery:
    return Recovery(endpoint_id, since=datetime.now(UTC) - timedelta(hours=1), only=only)


async def found(pool: Pool, wanted: Recovery) -> Found:
    async with transaction(pool) as conn:
        return await look(conn, wanted)


async def start(pool: Pool, wanted: Recovery, pace_per_s: float = 50.0) -> UUID:
    async with transaction(pool) as conn:
        return await recovery.start_recovery(conn, wanted, actor="ada", pace_per_s=pace_per_s)


async def carry_on(pool: Pool) -> int:
    return await recovery_job(pool=pool_as(pool, "runner")).run(JobContext())


async def recover(pool: Pool, wanted: Recovery) -> int:
    await start(pool, wanted)
    return await carry_on(pool)


async def drain(engine: Engine) -> int:
    """All of it now, whatever its pace."""
    await engine.pool.execute("update postroom.delivery set due_at = now()")
    return await engine.drain()


async def walking(pool: Pool, run_id: UUID) -> bool:
    async with transaction(pool) as conn:
        return (await replay_runs.fetch_run(conn, run_id)).walking


async def test_an_endpoint_made_later_gets_what_was_published_before_under_the_same_id(
    webhooks: Engine, pool: Pool
) -> None:
    await endpoint(pool)
    published = await webhooks.publish([order(), order("order.lost"), order(tenant="other")])
    await webhooks.drain()
    late = await endpoint(pool)
    webhooks.adapter.seen.clear()
    assert await found(pool, all_of(late)) == Found(missing=2)
    assert await recover(pool, all_of(late)) == 2
    await drain(webhooks)
    assert [(each.message_id, each.endpoint_id) for each in webhooks.adapter.seen] == [
        (published[0], late), (published[1], late),
    ]  # fmt: skip
    async with pool.acquire() as conn:
        told = await list_attempts(conn, published[0], endpoint_id=late)
    assert [(each.outcome, each.reason) for each in told] == [
        ("replayed", "replayed by ada"), ("delivered", None),
    ]  # fmt: skip
    assert await found(pool, all_of(late)) == Found(), "a second time there is nothing left"
    assert await recover(pool, all_of(late)) == 0


async def test_what_came_while_it_was_disabled_or_listened_to_less_is_missing(
    webhooks: Engine, pool: Pool
) -> None:
    one = await endpoint(pool, "order.paid")
    had, unheard = await webhooks.publish([order(), order("order.lost")])
    await webhooks.drain()
    await pool.execute(DISABLE, one)
    [missed] = await webhooks.publish([order()])
    await pool.execute(ENABLE, one)
    await webhooks.publish([order()])  # waits for it
    assert await found(pool, all_of(one)) == Found(missing=1)
    async with transaction(pool) as conn:
        await endpoints.update_endpoint(conn, one, types=["*"])
    assert await recover(pool, all_of(one)) == 2
    webhooks.adapter.seen.clear()
    await drain(webhooks)
    sent = [each.message_id for each in webhooks.adapter.seen]
    assert {missed, unheard} < set(sent)
    assert had not in sent
    assert len(sent) == 3


async def test_pings_urls_and_what_a_person_cancelled_are_not_missing(webhooks: Engine, pool: Pool) -> None:
    first = await endpoint(pool)
    async with transaction(pool) as conn:
        made = await endpoints.fetch_endpoint(conn, first)
        await endpoints.insert_ping(conn, made, type_="order.paid", data={})
    to_url = {"url": "https://b.example/", "data": {}}
    await webhooks.publish([Message(channel="webhook", payload=to_url, tenant="acme", type="t")])
    await webhooks.drain()
    [cancelled, emptied] = await webhooks.publish([order(), order()])
    async with transaction(pool) as conn:
        await cancel_message(conn, message_id=cancelled)
    await webhooks.drain()
    await pool.execute("update postroom.message set payload = '{}' where id = $1", emptied)
    late = await endpoint(pool)
    assert await found(pool, all_of(late)) == Found(emptied=1)
    assert await recover(pool, all_of(late)) == 0
    assert await found(pool, all_of(first)) == Found()


async def test_only_failed_sends_what_died_and_only_missing_what_never_went(
    webhooks: Engine, pool: Pool
) -> None:
    one = await endpoint(pool, "order.paid")
    answers: list[Answer] = [Rejected("no"), Rejected("no"), Delivered()]
    webhooks.adapter.answer = lambda _: answers.pop(0) if answers else Delivered()
    await webhooks.publish([order(), order(), order(), order("order.lost")])
    await webhooks.drain()
    async with transaction(pool) as conn:
        await endpoints.update_endpoint(conn, one, types=["*"])
    assert await found(pool, all_of(one)) == Found(failed=2, missing=1)
    assert await recover(pool, all_of(one, Only.FAILED)) == 2
    assert await found(pool, all_of(one)) == Found(missing=1)
    assert await recover(pool, all_of(one, Only.MISSING)) == 1
    assert await drain(webhooks) == 3


async def test_what_died_or_was_published_from_its_end_on_is_left_alone(webhooks: Engine, pool: Pool) -> None:
    one = await endpoint(pool, "order.paid")
    webhooks.adapter.answer = lambda _: Rejected("no")
    early = await webhooks.publish([order(), order("order.lost")])
    await webhooks.drain()
    await asyncio.sleep(0.01)  # ids tell the millisecond
    until = await pool.fetchval("select clock_timestamp()")
    await asyncio.sleep(0.01)
    await webhooks.publish([order(), order("order.lost")])
    await webhooks.drain()
    async with transaction(pool) as conn:
        await endpoints.update_endpoint(conn, one, types=["*"])
    assert await found(pool, all_of(one)) == Found(failed=2, missing=2)
    before = replace(all_of(one), until=until)
    assert await found(pool, before) == Found(failed=1, missing=1)
    webhooks.adapter.seen.clear()
    assert await recover(pool, before) == 2
    await drain(webhooks)
    assert {each.message_id for each in webhooks.adapter.seen} == set(early)


async def test_it_is_paced_stops_where_its_endpoint_does_and_goes_on_after_a_restart(
    webhooks: Engine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "WAITING_MAX", 5)
    monkeypatch.setattr(recovery, "SCANNED_MAX", 3)
    await webhooks.publish([order() for _ in range(12)])
    one = await endpoint(pool)
    run_id = await start(pool, all_of(one), pace_per_s=2.0)
    assert await carry_on(pool) == 4
    spread = "select extract(epoch from max(due_at) - min(due_at))::float8 from postroom.delivery"
    assert await pool.fetchval(spread) == pytest.approx(1.5, abs=0.4)
    assert await carry_on(pool) == 4
    assert await carry_on(pool) == 0, "too many of it wait"
    assert await drain(webhooks) == 8
    await pool.execute(DISABLE, one)
    assert await carry_on(pool) == 0
    assert await walking(pool, run_id)
    await pool.execute(ENABLE, one)
    assert await carry_on(pool) == 4
    assert await carry_on(pool) == 0
    assert not await walking(pool, run_id)
    await drain(webhooks)
    sent = [each.message_id for each in webhooks.adapter.seen]
    assert len(sent) == len(set(sent)) == 12
    async with transaction(pool) as conn:
        over = await replay_runs.fetch_run(conn, run_id)
    assert (over.run.items, over.done, over.over) == (12, 12, True)
    assert await pool.fetchval("select count(*) from postroom.replay_item") == 4, "what is done is forgotten"


async def test_it_can_be_paused_resumed_and_taken_back(webhooks: Engine, pool: Pool) -> None:
    await webhooks.publish([order() for _ in range(5)])
    one = await endpoint(pool)
    run_id = await start(pool, all_of(one), pace_per_s=1.0)
    assert await carry_on(pool) == 2
    async with transaction(pool) as conn:
        assert await replay_runs.pause_run(conn, run_id, actor="ada") == 2
    assert await carry_on(pool) == 0
    async with transaction(pool) as conn:
        assert await replay_runs.resume_run(conn, run_id, actor="ada") == 2
    assert await carry_on(pool) == 2
    async with transaction(pool) as conn:
        assert await replay_runs.undo_run(conn, run_id, actor="ada") == 4
    assert await carry_on(pool) == 0
    assert await found(pool, all_of(one)) == Found(failed=4, missing=1)


async def test_two_at_once_and_whoever_sends_it_again_meanwhile_send_it_once_each(
    webhooks: Engine, pool: Pool
) -> None:
    had = await endpoint(pool)
    published = await webhooks.publish([order() for _ in range(20)])
    await webhooks.drain()
    late = await endpoint(pool)
    runs = [await start(pool, all_of(late)) for _ in range(2)]

    async def step(run_id: UUID) -> int:
        async with transaction(pool) as conn:
            return (await recovery.carry_on(conn, run_id))[0]

    async def again(message_id: UUID) -> int:
        async with transaction(pool) as conn:
            return await resend(conn, message_id, endpoint_id=had, actor="ada")

    webhooks.adapter.seen.clear()
    counts = await asyncio.gather(*(step(each) for each in runs * 2), *map(again, published))
    assert sum(counts) == 40
    await drain(webhooks)
    sent = [(each.message_id, each.endpoint_id) for each in webhooks.adapter.seen]
    assert len(sent) == len(set(sent)) == 40


async def test_a_deleted_endpoint_ends_it(webhooks: Engine, pool: Pool) -> None:
    await webhooks.publish([order()])
    one = await endpoint(pool)
    run_id = await start(pool, all_of(one))
    async with transaction(pool) as conn:
        await endpoints.delete_endpoint(conn, one)
    assert await carry_on(pool) == 0
    assert not await walking(pool, run_id)


async def test_what_the_log_does_not_know_any_more_is_refused_and_passed_by(
    webhooks: Engine, pool: Pool
) -> None:
    """A message of before the log begins: whether the endpoint has it, nobody knows."""
    one = await endpoint(pool)
    long_ago = datetime.now(UTC) - timedelta(days=100)
    await pool.execute(
        """insert into postroom.message (id, channel, type, tenant, payload, deliveries, created_at)
        select overlay(postroom.uuid7()::text placing left(postroom.first_id_at($1)::text, 13) from 1)::uuid,
            'webhook', 'order.paid', 'acme', '{"data": {}}', 0, $1""",
        long_ago,
    )
    for only in (None, Only.MISSING):
        with pytest.raises(InvalidInput, match=r"the log of attempts begins at .* would be sent twice"):
            await found(pool, Recovery(one, long_ago - timedelta(days=1), only=only))
        with pytest.raises(InvalidInput, match="the log of attempts begins"):
            await start(pool, Recovery(one, long_ago - timedelta(days=1), only=only))
    assert await found(pool, Recovery(one, long_ago, only=Only.FAILED)) == Found()
    run_id = await start(pool, all_of(one))  # the log loses days while one walks
    await pool.execute("update postroom.replay_run set next_id = $1", UUID(int=0))
    assert await carry_on(pool) == 0
    assert not await walking(pool, run_id)
    with pytest.raises(InvalidInput, match="since must be before until"):
        await found(pool, Recovery(one, datetime.now(UTC) + timedelta(hours=1)))


async def test_what_has_an_order_goes_behind_what_waits_under_its_key(webhooks: Engine, pool: Pool) -> None:
    def keyed() -> Message:
        return Message(
            channel="webhook", payload={"data": {}}, tenant="acme", type="t", ordering_key="customer:1"
        )

    missed = await webhooks.publish([keyed(), keyed()])
    one = await endpoint(pool)
    newer = await webhooks.publish([keyed()])
    assert await recover(pool, all_of(one)) == 2
    await drain(webhooks)

    assert [each.message_id for each in webhooks.adapter.seen] == newer + missed


async def test_what_has_died_again_does_not_hide_what_waits(
    webhooks: Engine,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "WAITING_MAX", 5)
    monkeypatch.setattr(recovery, "SCANNED_MAX", 4)
    await webhooks.publish([order("order.lost") for _ in range(40)])  # nobody listens to these
    one = await endpoint(pool, "order.paid")
    webhooks.adapter.answer = lambda _: Rejected("no")
    await webhooks.publish([order() for _ in range(6)])
    await webhooks.drain()
    await pool.execute("update postroom.endpoint set types = '{*}' where id = $1", one)
    await start(pool, all_of(one), pace_per_s=3.0)
    assert await carry_on(pool) == 6  # what failed, which dies again
    assert await drain(webhooks) == 6
    for _ in range(5):  # its receiver is down: nothing of it goes out
        await carry_on(pool)
    assert await pool.fetchval("select count(*) from postroom.delivery") <= 5 + 6, (
        "it takes no more while so many wait"
    )


async def test_items_that_are_done_are_forgotten_behind_those_that_have_died_again(
    webhooks: Engine,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "SCANNED_MAX", 4)
    webhooks.adapter.answer = lambda claim: Rejected("no") if claim.type == "order.lost" else Delivered()
    await webhooks.publish([order("order.lost") for _ in range(8)])
    await webhooks.publish([order() for _ in range(60)])
    one = await endpoint(pool)
    await start(pool, all_of(one), pace_per_s=4.0)
    for _ in range(12):
        await carry_on(pool)
        await drain(webhooks)
    assert await pool.fetchval("select count(*) from postroom.replay_item") < 8 + 2 * 8


async def test_what_is_being_recovered_keeps_its_payload(webhooks: Engine, pool: Pool) -> None:
    """Retention decides by what it saw before it waited for the recovery's lock."""
    await webhooks.publish([order()])
    await pool.execute("update postroom.message set created_at = created_at - interval '2 days'")
    late = await endpoint(pool)
    run_id = await start(pool, all_of(late))
    async with transaction(pool) as conn:
        assert (await recovery.carry_on(conn, run_id))[0] == 1
        job = retention_job(pool=pool_as(pool, "runner"), keep=RetentionSettings(delivered_payload_days=1))
        sweep = asyncio.ensure_future(job.run(JobContext(once=True)))
        async with asyncio.timeout(5):
            while not sweep.done() and not await pool.fetchval(
                "select count(*) from pg_locks where not granted"
            ):
                await asyncio.sleep(0.01)
    await sweep
    assert await pool.fetchval("select payload <> '{}' from postroom.message")
