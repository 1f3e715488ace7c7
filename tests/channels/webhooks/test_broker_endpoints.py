"""Endpoints that name a broker: what is refused before anything is sent, and what becomes of their login."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput, InvalidPayload, SettingsInvalid
from postroom.base.settings import WebhookSettings, load_settings
from postroom.channels.webhooks import endpoints, store
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.brokers import kinds
from postroom.channels.webhooks.brokers.login import read_login
from postroom.channels.webhooks.model import EndpointSecret
from postroom.outbox.model import Deferred, Rejected, Wait
from tests.factories.claims import make_claim

BROKER = "nats://192.0.2.1:4222"
OTHER = "nats://192.0.2.2:4222"
ALLOWED = {BROKER: ["acme"], OTHER: ["acme"]}
LOGIN = SecretStr("ann:example")


async def create(pool: Pool, url: str = f"{BROKER}/orders", **more: Any) -> EndpointSecret:
    values: dict[str, Any] = {
        "tenant": "acme", "url": url, "secret": LOGIN, "brokers": ALLOWED, "allow_private": True,
    }  # fmt: skip
    async with transaction(pool) as conn:
        return await endpoints.create_endpoint(conn, **{**values, **more})


async def login_of(pool: Pool, made: EndpointSecret) -> str:
    async with pool.acquire() as conn:
        targets = await store.fetch_targets(conn, [made.endpoint.id])
    return targets[made.endpoint.id].secrets[0].get_secret_value()


async def test_the_login_is_kept_as_a_secret_and_no_answer_shows_it(pool: Pool) -> None:
    made = await create(pool)
    assert made.secret.get_secret_value() == ""
    assert made.endpoint.url == f"{BROKER}/orders"
    assert await login_of(pool, made) == "ann:example"


async def test_a_new_login_has_to_be_given_and_replaces_the_present_one_at_once(pool: Pool) -> None:
    made = await create(pool)
    async with transaction(pool) as conn:
        with pytest.raises(InvalidInput, match="has to be given"):
            await endpoints.rotate_secret(conn, made.endpoint.id)
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id, secret=SecretStr("bob:example"))
    assert rotated.secret.get_secret_value() == ""
    assert rotated.endpoint.previous_secret_until is None
    assert await login_of(pool, made) == "bob:example"


async def test_an_update_changes_the_subject_and_never_takes_the_login_elsewhere(pool: Pool) -> None:
    made = await create(pool)
    options: dict[str, Any] = {"brokers": ALLOWED, "allow_private": True}
    async with transaction(pool) as conn:
        changed = await endpoints.update_endpoint(conn, made.endpoint.id, url=f"{BROKER}/bills", **options)
        assert changed.url == f"{BROKER}/bills"
        for url in (f"{OTHER}/orders", "https://example.com/hooks"):
            with pytest.raises(InvalidInput, match="another broker"):
                await endpoints.update_endpoint(conn, made.endpoint.id, url=url, **options)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"brokers": {}}, "url"),
        ({"tenant": "eve"}, "url"),
        ({"url": "nats://192.0.2.3:4222/orders"}, "url"),
        ({"url": f"{BROKER}/orders.>"}, "url"),
        ({"url": BROKER.replace("//", "//ann:example@") + "/orders"}, "url"),
        ({"url": f"{BROKER}/orders?format=xml"}, "url"),
        ({"url": f"{BROKER}/orders?format=envelope&format=cloudevents"}, "url"),
        ({"url": f"{BROKER}/orders#part"}, "url"),
        ({"url": "nats://192.0.2.1:99999/orders"}, "url"),
        ({"url": "nats:///orders"}, "url"),
        ({"url": f"{BROKER}/" + "a" * 2_000}, "url"),
        ({"secret": SecretStr("ann:exam\nple")}, "secret"),
        ({"secret": SecretStr("a" * 4_001)}, "secret"),
        ({"allow_private": False}, "url"),
    ],
)
async def test_bad_input_names_its_field_and_never_a_login(
    pool: Pool, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create(pool, **more)
    assert refused.value.field == field
    assert "exam" not in refused.value.message


async def test_what_is_no_longer_allowed_is_dead_and_says_why(pool: Pool) -> None:
    made = await create(pool)
    adapter = WebhookAdapter(pool=pool, clock=SystemClock(), settings=WebhookSettings(allow_private=True))
    await adapter.start()
    claim = make_claim(
        channel="webhook", tenant="acme", type="a", endpoint_id=made.endpoint.id, payload='{"data": 1}'
    )
    answer = await adapter.deliver(claim)
    await adapter.close()
    assert isinstance(answer, Rejected)
    assert "POSTROOM_WEBHOOK__BROKERS" in answer.reason


async def test_a_missing_library_says_what_to_install_and_costs_no_attempt(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create(pool)
    monkeypatch.delitem(sys.modules, "postroom.channels.webhooks.brokers.nats")
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    kinds.parse_broker_url.cache_clear()
    with pytest.raises(InvalidPayload, match=r"pip install 'postroom\[nats\]'"):
        await create(pool)
    adapter = WebhookAdapter(
        pool=pool, clock=SystemClock(), settings=WebhookSettings(allow_private=True, brokers=ALLOWED)
    )
    await adapter.start()
    claim = make_claim(
        channel="webhook", tenant="acme", type="a", endpoint_id=made.endpoint.id, payload='{"data": 1}'
    )
    answer = await adapter.deliver(claim)
    await adapter.close()
    assert isinstance(answer, Deferred)
    assert answer.wait is Wait.NOT_CONFIGURED
    assert "postroom[nats]" in answer.reason


def test_a_login_is_a_user_with_a_password_or_a_token() -> None:
    assert read_login(None) is None
    assert read_login(SecretStr("")) is None
    for text, user, password in (("ann:a:b", "ann", "a:b"), ("token", "", "token"), (":only", "", "only")):
        login = read_login(SecretStr(text))
        assert login is not None
        assert (login.user, login.password.get_secret_value()) == (user, password)


def test_the_setting_names_its_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_WEBHOOK__BROKERS", '{"nats://h:4222": ["*"]}')
    assert load_settings().webhook.brokers == {"nats://h:4222": ["*"]}
    for value in ('{"nats://h": ["*"]}', '{"nats://a@h:1": ["*"]}', '{"nats://h:4222": []}', "nats://h:4222"):
        monkeypatch.setenv("POSTROOM_WEBHOOK__BROKERS", value)
        with pytest.raises(SettingsInvalid, match="POSTROOM_WEBHOOK__BROKERS"):
            load_settings()
