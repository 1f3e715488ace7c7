"""The demo's judge: what is missing, doubled, forged or too much is said; a perfect run is not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from postroom.base.db import Pool
from postroom.dev.demo_events import EFFECTS
from postroom.dev.expectations import Arrivals, find_faults
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish

EVENT: dict[str, Any] = {"id": "evt_1", "type": "customer.created"}
PAYLOADS: dict[Channel, dict[str, Any]] = {
    Channel.EMAIL: {"to": "a@example.com", "subject": "Hello", "text": "…"},
    Channel.WEBHOOK: {"url": "https://example.com", "type": "customer.created", "data": {}},
    Channel.EXPORT: {"dataset": "customers", "record": {}},
}


@pytest.fixture
async def arrived(pool: Pool) -> Arrivals:
    """One event with its three effects, each seen once at its end."""
    async with pool.acquire() as conn:
        root = await publish(conn, Message(channel="stripe", payload=EVENT, key="self:evt_1"))
        seen = {}
        for channel in EFFECTS[EVENT["type"]]:
            message = Message(channel=channel, payload=PAYLOADS[channel], correlation_id=str(root.id))
            seen[channel] = Counter([str((await publish(conn, message)).id)])
    return Arrivals(seen, ())


async def faults_of(pool: Pool, arrivals: Arrivals, events: list[dict[str, Any]] | None = None) -> list[str]:
    """Without the ledger's own fault: nothing is delivered here, so it says that four are open."""
    async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
        *faults, ledger = await find_faults(conn, events or [EVENT], arrivals)
    assert "open=4" in ledger
    return faults


async def test_a_perfect_run_has_no_fault(pool: Pool, arrived: Arrivals) -> None:
    assert await faults_of(pool, arrived) == []


@pytest.mark.parametrize("channel", PAYLOADS)
@pytest.mark.parametrize("times", [0, 2])
async def test_an_effect_that_is_missing_or_doubled_is_said(
    pool: Pool, arrived: Arrivals, channel: Channel, times: int
) -> None:
    [identity] = arrived.seen[channel]
    arrived.seen[channel][identity] = times
    [fault] = await faults_of(pool, arrived)
    assert f"{channel} {identity} arrived {times} times" in fault


async def test_what_nobody_expected_is_said(pool: Pool, arrived: Arrivals) -> None:
    arrived.seen[Channel.EMAIL]["a-stranger"] += 1
    assert await faults_of(pool, arrived) == ["email a-stranger was not expected"]


async def test_a_wrong_signature_is_said(pool: Pool, arrived: Arrivals) -> None:
    forged = Arrivals(arrived.seen, ("webhook 1: no signature fits a secret",))
    assert await faults_of(pool, forged) == ["webhook 1: no signature fits a secret"]


async def test_an_event_that_caused_nothing_is_said(pool: Pool, arrived: Arrivals) -> None:
    lost = {"id": "evt_2", "type": "invoice.paid"}
    faults = await faults_of(pool, arrived, [EVENT, lost])
    assert faults == [f"invoice.paid: 1 {channel} not published" for channel in EFFECTS["invoice.paid"]]
