"""What leaves for receivers that are strangers: where to, with what in the clear, signed for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.base.settings import Environment, Settings, WebhookSettings
from postroom.channels.webhooks import endpoints, store
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.payload import check_payload
from postroom.channels.webhooks.url import PrivateUrl, parse_url
from postroom.dev.receiver import Receiver
from postroom.outbox.model import Claim, Delivered, Message, Rejected
from postroom.outbox.publish import publish
from postroom.outbox.store import claim_due
from tests.fixtures.roles import pool_as

PAYLOAD: Final = {"type": "invoice.paid", "data": {}}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def claimed(pool: Pool, payload: dict[str, Any], **fields: Any) -> Claim:
    async with transaction(pool) as conn:
        await publish(conn, Message(channel="webhook", payload=payload, **fields))
        [claim] = await claim_due(conn, channel="webhook", worker=1, first_max=1, retry_max=0)
    return claim


async def delivered(pool: Pool, claim: Claim, **settings: Any) -> object:
    adapter = WebhookAdapter(
        pool=pool_as(pool, "runner"), clock=SystemClock(), settings=WebhookSettings(**settings)
    )
    await adapter.start()
    try:
        return await adapter.deliver(claim)
    finally:
        await adapter.close()


def prod(**webhook: Any) -> WebhookSettings:
    return Settings(
        env=Environment.PROD,
        database_url=SecretStr("postgresql://127.0.0.1/p"),
        metrics_token=SecretStr("m" * 16),
        webhook=WebhookSettings(**webhook),
    ).webhook


async def test_a_tenant_beside_a_url_passes_no_endpoint_by_in_silence(pool: Pool, receiver: Receiver) -> None:
    """By SQL it is a dead letter that says so; it was posted, whatever the tenant's endpoints were."""
    claims = [
        await claimed(pool, {**PAYLOAD, "url": receiver.url(), "tenant": "acme"}),
        await claimed(pool, {**PAYLOAD, "url": receiver.url()}, tenant="acme"),
    ]
    for claim in claims:
        answer = await delivered(pool, claim, allow_private=True)
        assert isinstance(answer, Rejected)
        assert "leave out url to reach the tenant's endpoints" in answer.reason
    assert not receiver.received


def test_a_tenant_beside_a_url_is_refused_where_it_is_published() -> None:
    with pytest.raises(InvalidPayload, match="or tenant to post to the url") as refused:
        check_payload({**PAYLOAD, "url": "https://example.com/", "tenant": "acme"}, allow_private=False)
    assert refused.value.field == "tenant"


def test_prod_refuses_http_unless_it_is_allowed() -> None:
    for settings, allowed in ((prod(), False), (prod(allow_http=True), True), (WebhookSettings(), True)):
        assert settings.http is allowed
        payload = {**PAYLOAD, "url": "http://example.com/"}
        if allowed:
            check_payload(payload, allow_private=False, allow_http=settings.http)
        else:
            with pytest.raises(InvalidPayload, match="POSTROOM_WEBHOOK__ALLOW_HTTP=true"):
                check_payload(payload, allow_private=False, allow_http=settings.http)


async def test_what_was_published_to_http_before_is_not_sent_in_the_clear(
    pool: Pool, receiver: Receiver
) -> None:
    claim = await claimed(pool, {**PAYLOAD, "url": receiver.url()})
    answer = await delivered(pool, claim, allow_private=True, allow_http=False)
    assert isinstance(answer, Rejected)
    assert "POSTROOM_WEBHOOK__ALLOW_HTTP" in answer.reason
    assert not receiver.received


@pytest.mark.parametrize(
    ("networks", "host", "allowed"),
    [
        ("10.20.0.0/16", "10.20.3.4", True),
        ("10.20.0.0/16", "10.21.3.4", False),
        ("10.20.0.0/16, fd00:1::/64", "[fd00:1::7]", True),
        ("10.20.0.0/16", "[::ffff:10.20.3.4]", True),
        ("10.20.0.0/16", "169.254.169.254", False),
        ("10.20.0.0/16", "127.0.0.1", False),
        ("10.20.0.0/16", "93.184.215.14", True),
        ("", "10.20.3.4", False),
    ],
)
def test_private_addresses_are_allowed_by_network(networks: str, host: str, allowed: bool) -> None:
    settings = WebhookSettings(allow_networks=networks)  # type: ignore[arg-type]
    if allowed:
        assert parse_url(f"https://{host}/", allow_private=settings.private)
    else:
        with pytest.raises(PrivateUrl):
            parse_url(f"https://{host}/", allow_private=settings.private)


async def test_the_socket_goes_to_allowed_networks_alone(pool: Pool, receiver: Receiver) -> None:
    """A name is looked up when it is connected to: the network decides there, too."""
    by_name = receiver.url().replace("127.0.0.1", "localhost")
    claim = await claimed(pool, {**PAYLOAD, "url": by_name})
    assert isinstance(await delivered(pool, claim, allow_networks="10.0.0.0/8"), Rejected)
    assert not receiver.received
    assert isinstance(await delivered(pool, claim, allow_networks="127.0.0.0/8"), Delivered)


async def test_the_overlap_of_a_rotation_is_chosen(pool: Pool) -> None:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url="https://example.com/hooks")
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id, overlap_s=0)
    async with transaction(pool) as conn:
        found = await store.fetch_targets(conn, [made.endpoint.id])
        assert found[made.endpoint.id].secrets == (rotated.secret,), "what has leaked signs nothing more"
        again = await endpoints.rotate_secret(conn, made.endpoint.id, overlap_s=3_600)
    async with transaction(pool) as conn:
        found = await store.fetch_targets(conn, [made.endpoint.id])
        assert found[made.endpoint.id].secrets == (again.secret, rotated.secret)
        for overlap_s in (-1, 31 * 86_400, float("nan")):
            with pytest.raises(InvalidInput):
                await endpoints.rotate_secret(conn, made.endpoint.id, overlap_s=overlap_s)


async def test_strangers_learn_no_name_and_no_trace_where_that_is_switched_off(
    pool: Pool, receiver: Receiver
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    claim = await claimed(
        pool, {**PAYLOAD, "url": receiver.url()}, correlation_id="c", traceparent=traceparent
    )
    for identify in (True, False):
        assert isinstance(await delivered(pool, claim, allow_private=True, identify=identify), Delivered)
    known, stranger = (received.headers for received in receiver.received)
    assert known["user-agent"].startswith("Postroom/")
    assert {"postroom-correlation-id", "traceparent"} <= set(known)
    assert not {"postroom-correlation-id", "traceparent"} & set(stranger)
    assert "postroom" not in " ".join([*stranger, *stranger.values()]).lower()
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= set(stranger)
