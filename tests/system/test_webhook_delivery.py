"""Deliveries over real HTTP to a receiver that verifies and misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks import deployment_secret, endpoints
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.answer import PRIVATE
from postroom.channels.webhooks.client import PrivateAddress, PublicResolver, open_session
from postroom.channels.webhooks.model import RESPONSE_BYTES_MAX, EndpointSecret, EndpointState
from postroom.dev.receiver import Receiver
from postroom.outbox.model import (
    Answer,
    Claim,
    Deferred,
    Delivered,
    Message,
    Rejected,
    RetryLater,
    Trip,
    Wait,
)
from postroom.outbox.publish import publish
from postroom.outbox.store import claim_due
from tests.fixtures.names import Names
from tests.fixtures.roles import pool_as

OPEN = WebhookSettings(allow_private=True, timeout_s=5.0)
GUARDED = WebhookSettings(allow_private=False, timeout_s=5.0)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def adapter(pool: Pool) -> AsyncIterator[WebhookAdapter]:
    adapter = WebhookAdapter(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=OPEN)
    await adapter.start()
    yield adapter
    await adapter.close()


async def endpoint_at(pool: Pool, url: str) -> EndpointSecret:
    async with transaction(pool) as conn:
        return await endpoints.create_endpoint(conn, tenant="acme", url=url, allow_private=True)


async def claims(pool: Pool, *payloads: dict[str, Any], **fields: Any) -> list[Claim]:
    """Publish, and claim all that is due."""
    async with transaction(pool) as conn:
        for payload in payloads:
            await publish(conn, Message(channel="webhook", payload=payload, **fields))
    async with transaction(pool) as conn:
        return await claim_due(conn, channel="webhook", worker=1, first_max=1_000, retry_max=0)


def to_tenant(data: Any = None) -> dict[str, Any]:
    return {"tenant": "acme", "type": "invoice.paid", "data": data or {"id": "in_1"}}


def to_url(url: str) -> dict[str, Any]:
    return {"url": url, "type": "invoice.paid", "data": {"id": "in_1"}}


async def test_a_delivery_verifies_and_a_retry_repeats_id_and_body(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    made = await endpoint_at(pool, receiver.url())
    receiver.secrets = [made.secret.get_secret_value()]
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    [claim] = await claims(pool, to_tenant(), correlation_id="case 7\r\nx: y", traceparent=traceparent)
    receiver.behaviour = "status/500"
    assert isinstance(await adapter.deliver(claim), RetryLater)
    receiver.behaviour = "ok"
    assert await adapter.deliver(claim) == Delivered(code="200", detail='{"received": true}')

    first, second = receiver.received
    assert first.valid
    assert second.valid
    assert first.id == second.id == str(claim.message_id)
    assert first.body == second.body
    assert json.loads(first.body).keys() == {"type", "timestamp", "data"}
    assert json.loads(first.body)["data"] == {"id": "in_1"}
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"].startswith("Postroom/")
    assert first.headers["traceparent"] == traceparent
    assert first.headers["postroom-correlation-id"] == "case%207%0D%0Ax:%20y"
    assert "x" not in first.headers


async def test_after_a_rotation_both_secrets_verify(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    made = await endpoint_at(pool, receiver.url())
    async with transaction(pool) as conn:
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id)
    [claim] = await claims(pool, to_tenant())
    for secret in (made.secret, rotated.secret):
        receiver.secrets = [secret.get_secret_value()]
        assert isinstance(await adapter.deliver(claim), Delivered)
    assert [received.valid for received in receiver.received] == [True, True]
    assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2


async def test_a_direct_url_is_signed_with_the_secret_of_its_origin(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    [claim] = await claims(pool, to_url(receiver.url("/ok")))
    async with transaction(pool) as conn:
        receiver.secrets = [
            s.get_secret_value()
            for s in (await deployment_secret.fetch_or_create_secrets(conn)).of(URL(receiver.url()))
        ]
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert receiver.received[0].valid


async def test_one_connection_serves_many_deliveries(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    made = await claims(pool, *(to_url(receiver.url("/ok")) for _ in range(200)))
    for claim in made[:100]:
        assert isinstance(await adapter.deliver(claim), Delivered)
    assert receiver.connections == 1
    assert all(isinstance(a, Delivered) for a in await asyncio.gather(*map(adapter.deliver, made[100:])))
    assert len(receiver.received) == 200
    assert receiver.connections <= OPEN.connections_per_host


async def test_410_disables_the_endpoint_and_nothing_more_is_queued(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    made = await endpoint_at(pool, receiver.url("/gone"))
    first, second = await claims(pool, to_tenant(), to_tenant())
    assert await adapter.deliver(first) == Deferred(Wait.PARKED, "answered 410 Gone")
    assert await adapter.deliver(second) == Deferred(Wait.PARKED, "the endpoint is disabled")
    assert len(receiver.received) == 1
    assert await claims(pool, to_tenant()) == []
    async with transaction(pool) as conn:
        shown = await endpoints.fetch_endpoint(conn, made.endpoint.id)
    assert (shown.state, shown.parked_reason, shown.waiting) == (
        EndpointState.DISABLED,
        "answered 410 Gone",
        0,
    )
    assert await pool.fetchval("select count(*) from postroom.message where deliveries = 0") == 1


async def test_410_from_a_direct_url_is_final(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    [claim] = await claims(pool, to_url(receiver.url("/gone")))
    assert isinstance(await adapter.deliver(claim), Rejected)


async def test_what_is_left_of_a_deleted_endpoint_is_rejected(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    made = await endpoint_at(pool, receiver.url())
    [claim] = await claims(pool, to_tenant())
    async with transaction(pool) as conn:
        await endpoints.delete_endpoint(conn, made.endpoint.id)
    outcome = await adapter.deliver(claim)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.cause) == ("endpoint was deleted", "ours")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status/404", ("404", Trip.NO, None)),
        ("/status/503", ("503", Trip.STRIKE, None)),
        ("/busy/30", ("429", Trip.NOW, 30.0)),
        ("/silent", ("timeout", Trip.STRIKE, None)),
        ("/drop", ("disconnected", Trip.STRIKE, None)),
        ("/garbage", ("protocol", Trip.STRIKE, None)),
    ],
)
async def test_a_failure_that_may_pass_is_tried_again(
    pool: Pool, receiver: Receiver, path: str, expected: tuple[str, Trip, float | None]
) -> None:
    settings = OPEN.model_copy(update={"timeout_s": 0.5})
    outcome = await answer_of(pool, settings, receiver.url(path))
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.trip, outcome.after_s) == expected
    assert len(receiver.received) == 1


async def answer_of(pool: Pool, settings: WebhookSettings, url: str, **options: Any) -> Answer:
    """One delivery to a direct url, published by SQL so that nothing was checked before."""
    [answer] = await answers_of(pool, settings, [url], **options)
    return answer


async def test_waiting_for_a_connection_to_a_busy_host_is_no_failure(pool: Pool, receiver: Receiver) -> None:
    """Several endpoints of one host share its connections; the time limit is for the answer alone."""
    settings = OPEN.model_copy(update={"timeout_s": 0.8, "connections_per_host": 1})
    answers = await answers_of(pool, settings, [receiver.url("/slow/0.4")] * 4)
    assert [type(answer) for answer in answers] == [Delivered] * 4


async def test_what_gets_no_connection_in_time_is_put_off_and_spends_no_attempt(
    pool: Pool, receiver: Receiver
) -> None:
    settings = OPEN.model_copy(update={"timeout_s": 1.0, "connections_per_host": 1})
    answers = await answers_of(pool, settings, [receiver.url("/silent")] * 3, connection_within_s=0.2)
    assert sorted(type(answer).__name__ for answer in answers) == ["Deferred", "Deferred", "RetryLater"]
    assert len(receiver.received) == 1
    assert {answer.wait for answer in answers if isinstance(answer, Deferred)} == {Wait.DESTINATION_FULL}


async def answers_of(pool: Pool, settings: WebhookSettings, urls: list[str], **options: Any) -> list[Answer]:
    """Deliveries to direct urls, all at once."""
    adapter = WebhookAdapter(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings, **options)
    await adapter.start()
    try:
        waiting = await claims(pool, *map(to_url, urls))
        return list(await asyncio.gather(*map(adapter.deliver, waiting)))
    finally:
        await adapter.close()


async def test_nobody_listening_and_a_name_without_address_are_tried_again(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    refused = await answer_of(pool, OPEN, f"http://127.0.0.1:{port}/")
    assert isinstance(refused, RetryLater)
    assert refused.code == "refused"
    unknown = await answer_of(pool, OPEN, "http://nowhere.invalid/")
    assert isinstance(unknown, RetryLater)
    assert unknown.code == "dns"


async def test_an_endless_answer_is_cut_at_20000_bytes_and_quickly(
    pool: Pool, receiver: Receiver, adapter: WebhookAdapter
) -> None:
    [claim, again] = await claims(pool, to_url(receiver.url("/endless")), to_url(receiver.url("/ok")))
    begun = time.monotonic()
    outcome = await adapter.deliver(claim)
    assert time.monotonic() - begun < 2
    assert isinstance(outcome, Delivered)
    assert outcome.detail == "x" * RESPONSE_BYTES_MAX
    assert isinstance(await adapter.deliver(again), Delivered)
    assert receiver.connections == 2


async def test_an_answer_that_stalls_after_its_status_counts_and_holds_nobody_up(
    pool: Pool, receiver: Receiver
) -> None:
    begun = time.monotonic()
    answer = await answer_of(pool, OPEN, receiver.url("/stall"), response_timeout_s=0.2)
    assert answer == Delivered("200", "the beginning")
    assert time.monotonic() - begun < OPEN.timeout_s / 2


async def test_an_answer_counts_also_where_the_time_limit_passes_while_its_body_stalls(
    pool: Pool, receiver: Receiver
) -> None:
    settings = OPEN.model_copy(update={"timeout_s": 0.3})
    answer = await answer_of(pool, settings, receiver.url("/stall"), response_timeout_s=1.0)
    assert answer == Delivered("200", "the beginning")


async def test_a_redirect_is_never_followed(pool: Pool, receiver: Receiver, adapter: WebhookAdapter) -> None:
    hop = receiver.url("/redirect?to=" + receiver.url("/ok"))
    [claim] = await claims(pool, to_url(hop))
    outcome = await adapter.deliver(claim)
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.detail) == ("301", receiver.url("/ok"))
    assert [received.path for received in receiver.received] == ["/redirect"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_a_private_receiver_is_never_reached(pool: Pool, receiver: Receiver, host: str) -> None:
    assert await answer_of(pool, GUARDED, f"http://{host}:{receiver.port}/ok") == PRIVATE
    assert not receiver.received


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001"])
async def test_other_forms_of_an_address_are_never_reached(pool: Pool, receiver: Receiver, host: str) -> None:
    assert isinstance(await answer_of(pool, GUARDED, f"http://{host}:{receiver.port}/ok"), Rejected)
    assert not receiver.received


def resolving(*addresses: str) -> PublicResolver:
    """Knows one answer for every name."""
    return PublicResolver(allow_private=False, names=Names(*addresses))


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("10.0.0.1", "::1"), ("169.254.169.254",), ("::ffff:127.0.0.1",), ("fe80::1%2",)],
)
async def test_a_name_that_resolves_to_private_addresses_is_refused(
    pool: Pool, receiver: Receiver, addresses: tuple[str, ...]
) -> None:
    url = f"http://hooks.example:{receiver.port}/ok"
    assert await answer_of(pool, GUARDED, url, resolver=resolving(*addresses)) == PRIVATE
    assert not receiver.received


async def test_of_a_mixed_answer_only_the_public_addresses_are_used() -> None:
    resolver = resolving("127.0.0.1", "1.1.1.1", "::1")
    assert [found["host"] for found in await resolver.resolve("hooks.example", 80)] == ["1.1.1.1"]
    await resolver.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "hooks.example"])
async def test_the_socket_itself_refuses_what_a_resolver_let_through(receiver: Receiver, host: str) -> None:
    careless = PublicResolver(allow_private=True, names=Names("127.0.0.1"))
    session = open_session(
        allow_private=False, connect_timeout_s=5, connections_max=2, connections_per_host=2, resolver=careless
    )
    with pytest.raises(PrivateAddress):
        async with asyncio.timeout(5):
            await session.post(f"http://{host}:{receiver.port}/ok")
    await session.close()
    await careless.close()
    assert not receiver.received


@pytest.mark.parametrize(
    "payload",
    [
        "[]",
        '{"type": "a", "data": 1}',
        '{"url": "ftp://x", "type": "a", "data": 1}',
        '{"url": "http://example.com/", "type": "a b", "data": 1}',
    ],
)
async def test_what_sql_published_and_nobody_can_send_is_rejected_at_once(
    pool: Pool, adapter: WebhookAdapter, payload: str
) -> None:
    await pool.execute("select postroom.publish('webhook', $1::jsonb)", payload)
    [claim] = await claims(pool)
    outcome = await adapter.deliver(claim)
    assert isinstance(outcome, Rejected)
    assert outcome.code == "invalid_payload"


async def test_a_thousand_deliveries_to_many_endpoints_need_few_queries(
    pool: Pool, receiver: Receiver
) -> None:
    counted = CountingPool(pool)
    adapter = WebhookAdapter(pool=counted, clock=SystemClock(), settings=OPEN)  # type: ignore[arg-type]
    await adapter.start()
    for _ in range(20):
        await endpoint_at(pool, receiver.url("/ok"))
    made = await claims(pool, *(to_tenant() for _ in range(20)))
    assert len(made) == 400
    assert all(isinstance(a, Delivered) for a in await asyncio.gather(*map(adapter.deliver, made)))
    assert (
        len({(received.id, received.headers["webhook-signature"]) for received in receiver.received}) == 400
    )
    for claim in made[:100]:  # one after the other, so that nothing can be gathered
        assert isinstance(await adapter.deliver(claim), Delivered)
    assert counted.acquired <= 5
    await adapter.close()


class CountingPool:
    """The real pool, and how often a connection was taken from it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.acquired = 0

    def acquire(self) -> Any:
        self.acquired += 1
        return self._pool.acquire()


async def test_the_receiver_runs_as_a_process_and_stops_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "postroom.dev.receiver", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            url = msgspec.json.decode(await process.stdout.readline())["listening"]
            async with aiohttp.ClientSession() as session, session.post(url, data=b'{"type":"a"}') as answer:
                assert answer.status == 200
            line = msgspec.json.decode(await process.stdout.readline())
            assert (line["type"], line["valid"]) == ("a", False)
            os.kill(process.pid, signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
