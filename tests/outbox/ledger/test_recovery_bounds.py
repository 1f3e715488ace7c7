"""A recovery whose newest items have died again still counts what waits of it."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from postroom.outbox.ledger import recovery
from postroom.outbox.model import Delivered, Rejected
from tests.fixtures.engine import Engine
from tests.outbox.ledger.test_recovery import all_of, carry_on, drain, endpoint, order, start, webhooks  # noqa: F401

WAITS = "select count(*) from postroom.delivery"


async def test_what_has_died_again_does_not_hide_what_waits(
    webhooks: Engine,  # noqa: F811
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
    assert await pool.fetchval(WAITS) <= 5 + 6, "it takes no more while so many wait"


async def test_items_that_are_done_are_forgotten_behind_those_that_have_died_again(
    webhooks: Engine,  # noqa: F811
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
