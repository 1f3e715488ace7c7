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
from tests.contracts.adapter_case import AdapterCase, Trouble
from tests.contracts.outbound_cases import EmailCase, ExportCase, WebhookCase
from tests.contracts.stripe_call_case import StripeCallCase
from tests.contracts.stripe_case import StripeCase
from tests.fixtures.engine import AdapterEngine

CASES: tuple[type[AdapterCase], ...] = (EmailCase, WebhookCase, ExportCase, StripeCallCase, StripeCase)
AN_ATTEMPT_S = 10.0
FAR_S = 100_000.0
AWKWARD = "e\u0301 ﷽ \u202eabc\u202c \u2028 😀 \x7f \\u0000 <b>&amp;</b> {{ object }} ' \" ; -- \x01"


def broken_by(*troubles: Trouble) -> list[Any]:
    """A parameter for each adapter and each of the troubles that it can have."""
    return [
        pytest.param(each, trouble, id=f"{each.channel}-{trouble}")
        for each in CASES
        for trouble in troubles
        if trouble in each.expected
    ]


@pytest.fixture
async def case(request: pytest.FixtureRequest, pool: Pool, tmp_path: Path) -> AsyncIterator[AdapterCase]:
    case = request.param(pool, tmp_path)
    await case.open()
    yield case
    case.mend()
    await case.close()


@pytest.fixture
async def engine(dsn: str, pool: Pool, case: AdapterCase) -> AsyncIterator[AdapterEngine]:
    await case.adapter.start()
    yield await AdapterEngine(dsn, pool, case.adapter).start()
    await case.adapter.close()


cases = pytest.mark.parametrize(
    "case", [pytest.param(each, id=each.channel) for each in CASES], indirect=True
)
broken_cases = pytest.mark.parametrize(("case", "trouble"), broken_by(*Trouble), indirect=["case"])


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


@cases
async def test_what_is_due_arrives_once_under_its_own_id(
    case: AdapterCase, engine: AdapterEngine, pool: Pool
) -> None:
    texts = [f"number {n}" for n in range(5)]
    ids = {str(await case.publish(pool, text)): text for text in texts}
    await drain(engine)
    arrived = await case.arrivals()
    assert sorted((each.id, each.text.strip()) for each in arrived) == sorted(ids.items())
    assert await pool.fetchval("select count(*) from postroom.delivery where channel = $1", case.channel) == 0
    assert await letters(pool) == {}


@cases
async def test_awkward_text_arrives_as_it_was(case: AdapterCase, engine: AdapterEngine, pool: Pool) -> None:
    await case.publish(pool, AWKWARD)
    await drain(engine)
    [arrival] = await case.arrivals()
    assert arrival.text.rstrip("\r\n") == AWKWARD


@broken_cases
async def test_a_trouble_costs_one_attempt_and_once_mended_the_same_message_arrives(
    case: AdapterCase, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    message_id = await case.publish(pool, "hello")
    case.break_with(trouble)
    await drain(engine)
    expected = case.expected[trouble]
    attempt = await last_attempt(pool, message_id)
    assert (attempt["outcome"], attempt["code"]) == (expected.outcome, expected.code)
    assert attempt["reason"]

    case.mend()
    if message_id in await letters(pool):
        async with transaction(pool) as conn:
            await replay_one(conn, message_id, actor="test")
    else:
        waiting = await pool.fetchrow("select state, attempts from postroom.delivery")
        assert waiting is not None
        assert (waiting["state"], waiting["attempts"]) == ("retry", 1)
    await engine.travel(FAR_S)
    await drain(engine)
    arrived = await case.arrivals()
    assert {each.id for each in arrived} == {str(message_id)}
    assert (await last_attempt(pool, message_id))["outcome"] == "delivered"
    assert await letters(pool) == {}


@broken_cases
async def test_a_trouble_that_stays_ends_as_a_dead_letter_that_says_why(
    case: AdapterCase, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    message_id = await case.publish(pool, "hello")
    case.break_with(trouble)
    attempts_max = engine.backoff.attempts_max
    for _ in range(attempts_max):
        await drain(engine)
        await engine.travel(FAR_S)
    letter = (await letters(pool))[message_id]
    expected = case.expected[trouble]
    assert (letter["cause"], letter["code"]) == (expected.cause, expected.code)
    assert letter["attempts"] == (1 if expected.outcome == "rejected" else attempts_max)
    assert letter["reason"]
    assert letter["fingerprint"]


@pytest.mark.parametrize(
    ("case", "payload", "field"),
    [
        pytest.param(each, payload, field, id=f"{each.channel}-{number}-{field}")
        for each in CASES
        for number, (payload, field) in enumerate(each.rejected_payload)
        if isinstance(payload, dict)
    ],
    indirect=["case"],
)
async def test_what_could_never_be_sent_is_refused_at_publish_time(
    case: AdapterCase, payload: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        case.adapter.check(payload)
    # Stripe's events are never published by hand.
    assert refused.value.field == ("channel" if case.channel is Channel.STRIPE else field)
    assert refused.value.detail
    assert "secret" not in refused.value.message


@cases
async def test_what_sql_published_unusable_dies_at_once_and_its_neighbour_arrives(
    case: AdapterCase, engine: AdapterEngine, pool: Pool
) -> None:
    ids = {}
    for payload, field in case.rejected_payload:
        message_id = await pool.fetchval(
            "select postroom.publish(channel => $1, payload => $2::text::jsonb)",
            case.channel,
            as_text(payload),
        )
        ids[message_id] = field
    good = await case.publish(pool, "fine")
    await drain(engine)
    assert [each.id for each in await case.arrivals()] == [str(good)]
    dead = await letters(pool)
    assert dead.keys() == ids.keys()
    for message_id, field in ids.items():
        letter = dead[message_id]
        assert field in letter["reason"], letter["reason"]
        assert letter["attempts"] == 1
        # A template that somebody may yet add is no fault of the payload alone.
        assert letter["code"] in (InvalidPayload.code, "template")
        assert "secret" not in letter["reason"]


@cases
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00"], ids=["high", "low", "nul"])
async def test_text_that_postgresql_cannot_keep_is_refused_and_nothing_is_booked(
    case: AdapterCase, text: str, pool: Pool
) -> None:
    if case.channel is Channel.STRIPE:  # what Stripe signed is never refused for its content
        await case.publish(pool, "\x00")
        return
    payload = case.payload(text)
    with contextlib.suppress(InvalidPayload):  # and nothing else
        case.adapter.check(payload)
    with pytest.raises(InvalidInput):
        async with transaction(pool) as conn:
            await publish(conn, Message(channel=case.channel, payload=payload))
    with pytest.raises((asyncpg.DataError, UnicodeError)):
        await pool.fetchval(
            "select postroom.publish(channel => $1, payload => $2::text::jsonb)",
            case.channel,
            as_text(payload),
        )
    assert await pool.fetchval("select count(*) from postroom.message") == 0


@pytest.mark.parametrize(("case", "trouble"), broken_by(Trouble.SILENT), indirect=["case"])
async def test_an_attempt_that_is_cut_off_gives_its_place_back(
    case: AdapterCase, trouble: Trouble, engine: AdapterEngine, pool: Pool
) -> None:
    """More attempts are cut off than may be in flight; the next one must still find a place."""
    await case.publish(pool, "hello")
    [claim] = await engine.claim()
    case.break_with(trouble)
    for _ in range(3):
        attempt = asyncio.create_task(case.adapter.deliver(claim))
        await asyncio.wait({attempt}, timeout=0.05)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    case.mend()
    async with asyncio.timeout(AN_ATTEMPT_S):
        assert isinstance(await case.adapter.deliver(claim), Delivered | Settled)


@cases
async def test_a_new_process_delivers_what_the_old_one_left(
    case: AdapterCase, engine: AdapterEngine, dsn: str, pool: Pool
) -> None:
    """Close, start anew; an adapter that delivered nothing closes as well."""
    idle = case.make_adapter()
    await idle.start()
    await idle.close()
    first = await case.publish(pool, "before")
    await drain(engine)
    second = await case.publish(pool, "after")
    successor = case.make_adapter()
    await successor.start()
    await drain(await AdapterEngine(dsn, pool, successor).start())
    await successor.close()
    assert {each.id for each in await case.arrivals()} == {str(first), str(second)}


@cases
async def test_what_the_engine_plans_with_is_sound(case: AdapterCase) -> None:
    adapter = case.adapter
    assert adapter.channel is case.channel
    assert 0 < adapter.per_destination_max <= adapter.concurrency_max
    assert 0 < adapter.timeout_s < 600
    assert adapter.circuit in (None, "", case.channel)
    if isinstance(adapter, BatchAdapter):
        assert 0 < adapter.batch_max <= adapter.per_destination_max
