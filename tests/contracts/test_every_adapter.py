"""One behavioural suite that every adapter passes, with the real engine and a real receiving end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.outbox.ledger.replay import replay_one
from postroom.outbox.model import BatchAdapter, Channel, Delivered, Message, Settled
from postroom.outbox.publish import publish
from tests.contracts.stripe_way import StripeWay
from tests.contracts.way_out import Trouble, WayOut
from tests.contracts.ways import EmailWay, ExportWay, WebhookWay
from tests.fixtures.engine import AdapterEngine

WAYS: tuple[type[WayOut], ...] = (EmailWay, WebhookWay, ExportWay, StripeWay)
AN_ATTEMPT_S = 10.0
FAR_S = 100_000.0
AWKWARD = "e\u0301 ﷽ \u202eabc\u202c \u2028 😀 \x7f \\u0000 <b>&amp;</b> {{ object }} ' \" ; -- \x01"


def broken_by(*troubles: Trouble) -> list[Any]:
    """A parameter for each way out and each of the troubles that it can have."""
    return [
        pytest.param(way, trouble, id=f"{way.channel}-{trouble}")
        for way in WAYS
        for trouble in troubles
        if trouble in way.expected
    ]


@pytest.fixture
async def way_out(request: pytest.FixtureRequest, pool: Pool, tmp_path: Path) -> AsyncIterator[WayOut]:
    way_out = request.param(pool, tmp_path)
    await way_out.open()
    yield way_out
    way_out.mend()
    await way_out.close()


@pytest.fixture
async def engine(dsn: str, pool: Pool, way_out: WayOut) -> AsyncIterator[AdapterEngine]:
    await way_out.adapter.start()
    yield await AdapterEngine(dsn, pool, way_out.adapter).start()
    await way_out.adapter.close()


ways = pytest.mark.parametrize("way_out", [pytest.param(way, id=way.channel) for way in WAYS], indirect=True)
broken_ways = pytest.mark.parametrize(("way_out", "trouble"), broken_by(*Trouble), indirect=["way_out"])


async def drain(engine: AdapterEngine) -> None:
    """One attempt at everything that is due, within the limit that every attempt has."""
    async with asyncio.timeout(AN_ATTEMPT_S):
        await engine.drain()


async def last_attempt(pool: Pool, message_id: UUID) -> dict[str, Any]:
    row = await pool.fetchrow(
        "select outcome, code, reason from postroom.attempt "
        "where message_id = $1 order by ended_at desc limit 1",
        message_id,
    )
    assert row is not None
    return dict(row)


def as_text(payload: Any) -> str:
    """JSON as another language's library may write it: lone surrogates and NUL escaped."""
    return json.dumps(payload)


async def letters(pool: Pool) -> dict[UUID, asyncpg.Record]:
    return {row["message_id"]: row for row in await pool.fetch("select * from postroom.dead_letter")}


@ways
async def test_what_is_due_arrives_once_under_its_own_id(
    way_out: WayOut, engine: AdapterEngine, pool: Pool
) -> None:
    texts = [f"number {n}" for n in range(5)]
    ids = {str(await way_out.publish(pool, text)): text for text in texts}
    await drain(engine)
    arrived = await way_out.arrivals()
    assert sorted((each.id, each.text.strip()) for each in arrived) == sorted(ids.items())
    assert (
        await pool.fetchval("select count(*) from postroom.delivery where channel = $1", way_out.channel) == 0
    )
    assert await letters(pool) == {}


@ways
async def test_awkward_text_arrives_as_it_was(way_out: WayOut, engine: AdapterEngine, pool: Pool) -> None:
    await way_out.publish(pool, AWKWARD)
    await drain(engine)
    [arrival] = await way_out.arrivals()
    assert arrival.text.rstrip("\r\n") == AWKWARD


@broken_ways
async def test_a_trouble_costs_one_attempt_and_once_mended_the_same_message_arrives(
    way_out: WayOut, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    message_id = await way_out.publish(pool, "hello")
    way_out.break_with(trouble)
    await drain(engine)
    expected = way_out.expected[trouble]
    attempt = await last_attempt(pool, message_id)
    assert (attempt["outcome"], attempt["code"]) == (expected.outcome, expected.code)
    assert attempt["reason"]

    way_out.mend()
    if message_id in await letters(pool):
        async with transaction(pool) as conn:
            await replay_one(conn, message_id, actor="test")
    else:
        waiting = await pool.fetchrow("select state, attempts from postroom.delivery")
        assert waiting is not None
        assert (waiting["state"], waiting["attempts"]) == ("retry", 1)
    await engine.travel(FAR_S)
    await drain(engine)
    arrived = await way_out.arrivals()
    assert {each.id for each in arrived} == {str(message_id)}
    assert (await last_attempt(pool, message_id))["outcome"] == "delivered"
    assert await letters(pool) == {}


@broken_ways
async def test_a_trouble_that_stays_ends_as_a_dead_letter_that_says_why(
    way_out: WayOut, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    message_id = await way_out.publish(pool, "hello")
    way_out.break_with(trouble)
    attempts_max = engine.backoff.attempts_max
    for _ in range(attempts_max):
        await drain(engine)
        await engine.travel(FAR_S)
    letter = (await letters(pool))[message_id]
    expected = way_out.expected[trouble]
    assert (letter["cause"], letter["code"]) == (expected.cause, expected.code)
    assert letter["attempts"] == (1 if expected.outcome == "rejected" else attempts_max)
    assert letter["reason"]
    assert letter["fingerprint"]


@pytest.mark.parametrize(
    ("way_out", "payload", "field"),
    [
        pytest.param(way, payload, field, id=f"{way.channel}-{number}-{field}")
        for way in WAYS
        for number, (payload, field) in enumerate(way.rejected_payload)
        if isinstance(payload, dict)
    ],
    indirect=["way_out"],
)
async def test_what_could_never_be_sent_is_refused_at_publish_time(
    way_out: WayOut, payload: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        way_out.adapter.check(payload)
    # Stripe's events are never published by hand.
    assert refused.value.field == ("channel" if way_out.channel is Channel.STRIPE else field)
    assert refused.value.detail
    assert "secret" not in refused.value.told


@ways
async def test_what_sql_published_unusable_dies_at_once_and_its_neighbour_arrives(
    way_out: WayOut, engine: AdapterEngine, pool: Pool
) -> None:
    ids = {}
    for payload, field in way_out.rejected_payload:
        message_id = await pool.fetchval(
            "select postroom.publish(channel => $1, payload => $2::text::jsonb)",
            way_out.channel,
            as_text(payload),
        )
        ids[message_id] = field
    good = await way_out.publish(pool, "fine")
    await drain(engine)
    assert [each.id for each in await way_out.arrivals()] == [str(good)]
    dead = await letters(pool)
    assert dead.keys() == ids.keys()
    for message_id, field in ids.items():
        letter = dead[message_id]
        assert field in letter["reason"], letter["reason"]
        assert letter["attempts"] == 1
        # A template that somebody may yet add is no fault of the payload alone.
        assert letter["code"] in (InvalidPayload.code, "template")
        assert "secret" not in letter["reason"]


@ways
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00"], ids=["high", "low", "nul"])
async def test_text_that_postgresql_cannot_keep_is_refused_and_nothing_is_booked(
    way_out: WayOut, text: str, pool: Pool
) -> None:
    if way_out.channel is Channel.STRIPE:  # what Stripe signed is never refused for its content
        await way_out.publish(pool, "\x00")
        return
    payload = way_out.payload(text)
    with contextlib.suppress(InvalidPayload):  # and nothing else
        way_out.adapter.check(payload)
    with pytest.raises(InvalidInput):
        async with transaction(pool) as conn:
            await publish(conn, Message(channel=way_out.channel, payload=payload))
    with pytest.raises((asyncpg.DataError, UnicodeError)):
        await pool.fetchval(
            "select postroom.publish(channel => $1, payload => $2::text::jsonb)",
            way_out.channel,
            as_text(payload),
        )
    assert await pool.fetchval("select count(*) from postroom.message") == 0


@pytest.mark.parametrize(("way_out", "trouble"), broken_by(Trouble.SILENT), indirect=["way_out"])
async def test_an_attempt_that_is_cut_off_gives_its_place_back(
    way_out: WayOut, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    """More attempts are cut off than may be in flight; the next one must still find a place."""
    await way_out.publish(pool, "hello")
    [claim] = await engine.claim()
    way_out.break_with(trouble)
    for _ in range(3):
        attempt = asyncio.create_task(way_out.adapter.deliver(claim))
        await asyncio.wait({attempt}, timeout=0.05)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    way_out.mend()
    async with asyncio.timeout(AN_ATTEMPT_S):
        assert isinstance(await way_out.adapter.deliver(claim), Delivered | Settled)


@ways
async def test_a_new_process_delivers_what_the_old_one_left(
    way_out: WayOut, engine: AdapterEngine, dsn: str, pool: Pool
) -> None:
    """Close, start anew; an adapter that delivered nothing closes as well."""
    idle = way_out.make_adapter()
    await idle.start()
    await idle.close()
    first = await way_out.publish(pool, "before")
    await drain(engine)
    second = await way_out.publish(pool, "after")
    successor = way_out.make_adapter()
    await successor.start()
    await drain(await AdapterEngine(dsn, pool, successor).start())
    await successor.close()
    assert {each.id for each in await way_out.arrivals()} == {str(first), str(second)}


@ways
async def test_what_the_engine_plans_with_is_sound(way_out: WayOut) -> None:
    adapter = way_out.adapter
    assert adapter.channel is way_out.channel
    assert 0 < adapter.per_destination_max <= adapter.concurrency_max
    assert 0 < adapter.timeout_s < 600
    assert adapter.circuit in (None, "", way_out.channel)
    if isinstance(adapter, BatchAdapter):
        assert 0 < adapter.batch_max <= adapter.concurrency_max
