"""An endpoint that only fails for days is disabled; one success in between is enough not to be."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import endpoints, store
from postroom.channels.webhooks.endpoint_cache import EndpointCache
from postroom.channels.webhooks.endpoint_health import EndpointHealth
from postroom.channels.webhooks.model import Endpoint, EndpointState
from postroom.outbox.model import Answer, Deferred, Delivered, Rejected, RetryLater, Wait
from tests.fixtures.roles import pool_as

FAILED = RetryLater("answered 500", code="500")


class Receiver:
    """An endpoint whose answers a test tells, over days that it makes pass."""

    def __init__(self, pool: Pool, endpoint_id: UUID) -> None:
        self.pool = pool
        self.id = endpoint_id
        self.cache = EndpointCache(pool=pool_as(pool, "runner"), clock=SystemClock())
        self.health = EndpointHealth(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            endpoints=self.cache,
            disable_after=timedelta(days=5),
        )

    async def answers(self, answer: Answer) -> Answer:
        target = await self.cache.find(self.id)
        assert target is not None
        return await self.health.note(self.id, target, answer)

    async def days_pass(self, days: float) -> None:
        async with transaction(self.pool) as conn:
            await conn.execute(
                "update postroom.endpoint set failing_since = failing_since - make_interval(secs => $1)",
                days * 86_400,
            )
        self.cache.forget(self.id)

    async def shown(self) -> Endpoint:
        async with self.pool.acquire() as conn:
            return await endpoints.fetch_endpoint(conn, self.id)


@pytest.fixture
async def receiver(pool: Pool) -> Receiver:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url="https://example.com/hooks")
    return Receiver(pool, made.endpoint.id)


async def test_five_days_of_failures_disable_it(receiver: Receiver) -> None:
    assert await receiver.answers(FAILED) == FAILED
    assert (await receiver.shown()).failing_since is not None
    await receiver.days_pass(4.9)
    assert await receiver.answers(FAILED) == FAILED
    await receiver.days_pass(0.2)
    reason = "it has only failed for 5 days: answered 500"
    assert await receiver.answers(FAILED) == Deferred(Wait.PARKED, reason)
    shown = await receiver.shown()
    assert (shown.state, shown.parked_reason) == (EndpointState.DISABLED, reason)


async def test_one_success_starts_the_count_anew(receiver: Receiver) -> None:
    await receiver.answers(FAILED)
    await receiver.days_pass(4)
    assert await receiver.answers(Delivered("200")) == Delivered("200")
    assert (await receiver.shown()).failing_since is None
    await receiver.answers(FAILED)
    await receiver.days_pass(4)
    assert await receiver.answers(FAILED) == FAILED
    assert (await receiver.shown()).state is EndpointState.ENABLED


async def test_nothing_is_written_in_between(receiver: Receiver) -> None:
    await receiver.answers(FAILED)
    changed = (await receiver.shown()).updated_at
    for _ in range(3):
        await receiver.answers(FAILED)
        await receiver.answers(Deferred(Wait.DESTINATION_FULL, "busy"))
        await receiver.answers(Rejected("invalid", code="invalid_payload"))
    assert (await receiver.shown()).updated_at == changed


async def test_another_address_has_its_own_five_days(receiver: Receiver) -> None:
    await receiver.answers(FAILED)
    for url, since in (("https://example.com/hooks", True), ("https://example.com/v2", False)):
        async with transaction(receiver.pool) as conn:
            shown = await endpoints.update_endpoint(conn, receiver.id, url=url, description="moved")
        assert (shown.failing_since is not None) is since


async def test_a_resume_gives_it_five_days_again(receiver: Receiver) -> None:
    await receiver.answers(FAILED)
    await receiver.days_pass(6)
    await receiver.answers(FAILED)
    async with transaction(receiver.pool) as conn:
        await endpoints.resume(conn, receiver.id)
    receiver.cache.forget(receiver.id)
    assert await receiver.answers(FAILED) == FAILED
    async with transaction(receiver.pool) as conn:
        assert not await store.mark_failing(
            conn, endpoint_id=receiver.id, reason="x", disable_after_s=5 * 86_400.0
        )
