"""From a publication to a broker's stream: the engine, the ledger and a real Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from chaos.link import Link
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.model import Endpoint
from postroom.outbox.ledger.resend import resend
from postroom.outbox.limits import LimitKey, set_limit
from postroom.outbox.model import Answer, Claim, Message
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.redis_server import LOGIN, PASSWORD, RedisServer
from tests.fixtures.roles import pool_as

STREAM = "orders"
TIMEOUT_S = 1.5


class Watched(WebhookAdapter):
    """Knows how many of each tenant were under way at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.now = Counter[str]()
        self.most = Counter[str]()
        self.together = 0

    async def deliver(self, claim: Claim) -> Answer:
        self.now[claim.tenant] += 1
        self.most |= self.now
        try:
            return await super().deliver(claim)
        finally:
            self.now[claim.tenant] -= 1

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        self.together = max(self.together, len(claims))
        self.now[claims[0].tenant] += len(claims)
        self.most |= self.now
        try:
            return await super().deliver_batch(claims)
        finally:
            self.now[claims[0].tenant] -= len(claims)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[Link]:
    """What stands before the broker."""
    async with Redis(port=server.port, password=PASSWORD) as client:
        await client.flushall()
    link = Link()
    link.target_port = server.port
    await link.open()
    yield link
    await link.shut()


@pytest.fixture
async def engine(dsn: str, pool: Pool, link: Link) -> AsyncIterator[AdapterEngine]:
    settings = WebhookSettings(
        allow_private=True,
        timeout_s=TIMEOUT_S,
        brokers={f"redis://127.0.0.1:{port}": ["acme", "eve"] for port in (link.port, link.target_port)},
    )
    adapter = Watched(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings)
    await adapter.start()
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


async def endpoint(pool: Pool, port: int, login: str = LOGIN, tenant: str = "acme") -> Endpoint:
    origin = f"redis://127.0.0.1:{port}"
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(
            conn, tenant=tenant, url=f"{origin}/{STREAM}", secret=SecretStr(login), allow_private=True,
            brokers={origin: [tenant]},
        )  # fmt: skip
    return made.endpoint


def message(number: int, key: str | None = None, tenant: str = "acme") -> Message:
    payload = {"tenant": tenant, "type": "order.paid", "data": {"number": number}}
    return Message(channel="webhook", payload=payload, ordering_key=key)


async def stored(server: RedisServer) -> list[dict[str, str]]:
    async with Redis(port=server.port, password=PASSWORD, decode_responses=True) as client:
        entries: list[Any] = await client.xrange(STREAM) or []
    return [fields for _, fields in entries]


async def test_what_is_published_is_there_in_the_order_of_its_key_and_again_under_one_id(
    engine: AdapterEngine, pool: Pool, server: RedisServer, link: Link
) -> None:
    await endpoint(pool, link.port)
    keys = ["a", "b", "c"]
    ids = await engine.publish(message(number, keys[number % 3]) for number in range(30))
    await engine.drain()
    there = await stored(server)
    assert sorted(each["webhook-id"] for each in there) == sorted(map(str, ids))
    for place, key in enumerate(keys):
        mine = [each["webhook-id"] for each in there if each["postroom-ordering-key"] == key]
        assert mine == [str(each) for each in ids[place::3]]
    async with transaction(pool) as conn:
        await resend(conn, ids[0], actor="test")
    await engine.drain()
    assert [each["webhook-id"] for each in await stored(server)][-1] == str(ids[0])


async def test_a_lost_acknowledgement_is_unknown_fails_the_endpoint_and_goes_again_with_one_id(
    engine: AdapterEngine, pool: Pool, server: RedisServer, link: Link
) -> None:
    made = await endpoint(pool, link.port)
    link.deaf_from = b"XADD"
    [message_id] = await engine.publish([message(1)])
    await engine.drain()
    assert await pool.fetchval("select outcome || ' ' || code from postroom.attempt") == "unknown timeout"
    async with pool.acquire() as conn:
        assert (await endpoints.fetch_endpoint(conn, made.id)).failing_since is not None
    link.deaf, link.deaf_from = False, None
    await engine.travel(3_600)
    await engine.drain()
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert {each["webhook-id"] for each in await stored(server)} == {str(message_id)}
    async with pool.acquire() as conn:
        assert (await endpoints.fetch_endpoint(conn, made.id)).failing_since is None


async def test_a_refused_login_is_told_and_is_in_no_row_and_no_log(
    engine: AdapterEngine, pool: Pool, link: Link, capfd: pytest.CaptureFixture[str]
) -> None:
    await endpoint(pool, link.port, login="app:wrong-example")
    await engine.publish([message(1)])
    await engine.drain()
    [row] = await pool.fetch("select outcome, code, attempt::text as all_of_it from postroom.attempt")
    assert (row["outcome"], row["code"]) == ("retry", "login_refused")
    view = await pool.fetchval("select string_agg(e::text, '') from postroom.endpoint_view e")
    captured = capfd.readouterr()
    for text in (row["all_of_it"], view, captured.out, captured.err):
        assert "wrong-example" not in text


async def until_all_are_stored(engine: AdapterEngine) -> None:
    async with asyncio.timeout(60):
        while await engine.pool.fetchval("select count(*) from postroom.delivery"):
            await engine.travel(3_600)
            await engine.drain()


async def test_a_broker_that_is_away_opens_its_breaker_and_holds_up_nobody_else(
    engine: AdapterEngine, pool: Pool, server: RedisServer, link: Link
) -> None:
    made = await endpoint(pool, link.port)
    await endpoint(pool, server.port, tenant="eve")
    await link.shut()
    ids = await engine.publish(message(number, tenant=("acme", "eve")[number % 2]) for number in range(400))
    await engine.drain()
    assert {each["webhook-id"] for each in await stored(server)} == set(map(str, ids[1::2]))
    opened = await pool.fetch("select name from postroom.circuit where state <> 'closed'")
    assert [row["name"] for row in opened] == [f"webhook:{made.id}"]
    tried = await pool.fetchval("select sum(attempts) from postroom.delivery")
    assert 5 <= tried <= 5 + WebhookSettings().connections_per_host, "those under way when it opened, no more"
    await link.open()
    await until_all_are_stored(engine)
    assert {each["webhook-id"] for each in await stored(server)} == set(map(str, ids))
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0


async def test_a_broker_that_is_limited_to_one_at_once_has_one_at_once(
    engine: AdapterEngine, pool: Pool, server: RedisServer, link: Link
) -> None:
    made = await endpoint(pool, link.port)
    await endpoint(pool, server.port, tenant="eve")
    link.delay_s = 0.01
    async with transaction(pool) as conn:
        key = LimitKey("webhook", destination=str(made.id))
        await set_limit(conn, key, in_flight=1, reason="it is small", set_by="ada")
    ids = await engine.publish(message(number, tenant=("acme", "eve")[number % 2]) for number in range(40))
    await until_all_are_stored(engine)
    assert {each["webhook-id"] for each in await stored(server)} == set(map(str, ids))
    assert isinstance(engine.adapter, Watched)
    assert engine.adapter.most["acme"] == 1
    assert engine.adapter.most["eve"] > 1


async def test_of_what_goes_together_each_has_its_own_answer(
    engine: AdapterEngine, pool: Pool, server: RedisServer, link: Link
) -> None:
    """Some can never be sent, and were published by SQL, so that nobody checked them."""
    await endpoint(pool, link.port)
    ids = await engine.publish(message(number) for number in range(200))
    bad = ids[50::50]
    await pool.execute('update postroom.message set payload = \'{"tenant": "acme"}\' where id = any($1)', bad)
    await engine.drain()
    assert isinstance(engine.adapter, Watched)
    assert engine.adapter.together > 1
    assert {each["webhook-id"] for each in await stored(server)} == set(map(str, ids)) - set(map(str, bad))
    dead = await pool.fetch("select message_id, attempts from postroom.dead_letter")
    assert sorted(row["message_id"] for row in dead) == sorted(bad)
    outcomes = await pool.fetch("select outcome, count(*) as count from postroom.attempt group by 1")
    assert {row["outcome"]: row["count"] for row in outcomes} == {"delivered": 197, "rejected": 3}
