"""A payload whose own url names a broker: who may use which, and that there is no login for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from postroom.admin.tokens import Scope
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.settings import Settings, WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.outbox.model import Message
from tests.fixtures.api import running_api
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.roles import pool_as

STREAM = "orders"
SQS = "sqs://sqs.eu-west-1.amazonaws.com"
QUEUE = f"{SQS}/123456789012/orders"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Whoever gives no login may add to streams, and nothing else."""
    users = "user default on nopass resetkeys ~orders* -@all +xadd +select\nuser reader on nopass ~* +xrange"
    server = RedisServer(tmp_path_factory.mktemp("redis"), more=users)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def settings(server: RedisServer) -> WebhookSettings:
    brokers = {
        f"redis://127.0.0.1:{server.port}": ["*"],
        "redis://127.0.0.1:1": ["acme"],
        f"{SQS}:443": ["*"],
    }
    return WebhookSettings(allow_private=True, brokers=brokers)


@pytest.fixture
async def engine(dsn: str, pool: Pool, settings: WebhookSettings) -> AsyncIterator[AdapterEngine]:
    adapter = WebhookAdapter(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings)
    await adapter.start()
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


def payload(url: str) -> dict[str, Any]:
    return {"url": url, "type": "order.paid", "data": {"number": 1}}


async def test_what_has_the_url_of_an_allowed_broker_is_in_its_stream(
    dsn: str, tmp_path: Path, engine: AdapterEngine, server: RedisServer, settings: WebhookSettings
) -> None:
    url = f"redis://127.0.0.1:{server.port}/{STREAM}"
    async with running_api(dsn, Settings(state_dir=tmp_path, webhook=settings), Scope.EVENTS_WRITE) as api:
        answer = await api.post("/v1/events", json={"channel": "webhook", "payload": payload(url)})
    assert answer.status == 201, answer.text
    await engine.drain()
    async with Redis(port=server.port, username="reader", password="any", decode_responses=True) as client:
        entries: list[Any] = await client.xrange(STREAM) or []
    [(_, fields)] = entries
    assert fields["webhook-id"] == answer.json["id"]
    assert fields["body"].endswith('"data":{"number":1}}')
    assert "postroom-tenant" not in fields


async def test_a_broker_that_only_some_tenants_may_use_takes_no_url_of_a_payload(
    dsn: str, tmp_path: Path, engine: AdapterEngine, settings: WebhookSettings
) -> None:
    refused = payload(f"redis://127.0.0.1:1/{STREAM}")
    async with running_api(dsn, Settings(state_dir=tmp_path, webhook=settings), Scope.EVENTS_WRITE) as api:
        answer = await api.post("/v1/events", json={"channel": "webhook", "payload": refused})
    assert (answer.status, answer.json["field"]) == (422, "url"), answer.text
    assert "POSTROOM_WEBHOOK__BROKERS does not allow" in answer.text
    await engine.publish([Message(channel="webhook", payload=refused)])
    await engine.drain()
    [letter] = await engine.pool.fetch("select reason, attempts from postroom.dead_letter")
    assert "POSTROOM_WEBHOOK__BROKERS does not allow" in letter["reason"]
    assert letter["attempts"] == 1


@pytest.mark.parametrize("url", [QUEUE, "sqs+http://127.0.0.1:5000/1/orders?region=eu-west-1"])
async def test_a_broker_that_wants_a_login_is_refused_and_an_endpoint_is_named(
    url: str, dsn: str, tmp_path: Path, engine: AdapterEngine, settings: WebhookSettings
) -> None:
    """Allowed or not: without a login it would be tried until it is too old."""
    async with running_api(dsn, Settings(state_dir=tmp_path, webhook=settings), Scope.EVENTS_WRITE) as api:
        answer = await api.post("/v1/events", json={"channel": "webhook", "payload": payload(url)})
    assert (answer.status, answer.json["field"]) == (422, "url"), answer.text
    assert "make an endpoint" in answer.text
    await engine.publish([Message(channel="webhook", payload=payload(url))])
    await engine.drain()
    [letter] = await engine.pool.fetch("select cause, reason, attempts from postroom.dead_letter")
    assert (letter["cause"], letter["attempts"]) == ("permanent", 1)
    assert "make an endpoint" in letter["reason"]
    assert await engine.pool.fetchval("select count(*) from postroom.delivery") == 0
