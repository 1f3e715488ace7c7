"""Signing secrets lie encrypted where a key derives others, each for its own place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from yarl import URL

from postroom.admin.audit import Actor
from postroom.admin.encryption import count_keys, rotate
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import deployment_secret, endpoints, store
from postroom.channels.webhooks.model import EndpointSecret
from postroom.encryption.keyring import (
    NO_KEYS,
    KeyMissing,
    Keyring,
    OpenRefused,
    Unreadable,
    keyring_of,
    new_key,
)
from postroom.health.doctor import diagnose
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.fixtures.encryption import NEW, OLD, Product, keys, places_of, product

KEYRING = keyring_of(keys(NEW))
URL_OF_PAYLOAD = URL("https://hooks.example.com/x")
ACTOR = Actor("test")


@pytest.fixture
async def scene(dsn: str, tmp_path: Path) -> AsyncIterator[Product]:
    async with product(dsn, tmp_path) as running:
        yield running


async def make(
    pool: Pool, keyring: Keyring, *, url: str = "https://a.example/h", tenant: str = "acme"
) -> EndpointSecret:
    async with transaction(pool) as conn:
        return await endpoints.create_endpoint(
            conn, tenant=tenant, url=url, allow_private=True, keyring=keyring
        )


async def secrets_of(pool: Pool, made: EndpointSecret, keyring: Keyring) -> tuple[SecretStr, ...]:
    async with pool.acquire() as conn:
        return (await store.fetch_targets(conn, [made.endpoint.id], keyring))[made.endpoint.id].secrets


async def re_encrypt(pool: Pool, keyring: Keyring) -> dict[str, tuple[int, int]]:
    done = await rotate(
        lambda: transaction(pool), keyring=keyring, pace_per_s=1e6, progress=lambda *_: None, actor=ACTOR
    )
    return {each.table: (each.sealed, each.unreadable) for each in done}


async def test_no_secret_is_readable_in_any_table_and_each_signs(scene: Product, pool: Pool) -> None:
    made = await make(pool, KEYRING, url=scene.receiver.url("/b"))
    async with transaction(pool) as conn:
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id, keyring=KEYRING)
        own = (await deployment_secret.fetch_or_create_secrets(conn, KEYRING)).own[0]
        payload = {"tenant": "acme", "type": "t", "data": {}}
        address = scene.receiver.url("/u")
        to_url = {"url": address, "type": "t", "data": {}}
        await publish_many(
            conn, [Message(channel="webhook", payload=each) for each in (payload, to_url)], keyring=KEYRING
        )
        signs_url = (await deployment_secret.fetch_or_create_secrets(conn, KEYRING)).of(URL(address))[0]
    for secret in (made.secret, rotated.secret, own):
        assert await places_of(pool, secret.get_secret_value().removeprefix("whsec_")) == set()
    assert await secrets_of(pool, made, KEYRING) == (rotated.secret, made.secret)
    scene.receiver.secrets += [each.get_secret_value() for each in (rotated.secret, signs_url)]
    await scene.run("outbox-delivery", keys=(NEW,))
    assert {each.valid for each in await scene.receiver.wait_for(2)} == {True}


async def test_a_secret_that_was_moved_signs_nothing(pool: Pool) -> None:
    """Between rows, between the columns of one row, and from the deployment."""
    made, other = await make(pool, KEYRING), await make(pool, KEYRING, tenant="thief")
    async with transaction(pool) as conn:
        await endpoints.rotate_secret(conn, made.endpoint.id, keyring=KEYRING)
        await deployment_secret.fetch_or_create_secrets(conn, KEYRING)
    for moved in (
        "(select secret from postroom.endpoint where tenant = 'thief')",
        "previous_secret",
        "(select secret from postroom.signing_secret)",
    ):
        async with pool.acquire() as conn:
            changing = conn.transaction()
            await changing.start()
            await conn.execute(
                f"update postroom.endpoint set secret = {moved} where id = $1", made.endpoint.id
            )
            target = (await store.fetch_targets(conn, [made.endpoint.id], KEYRING))[made.endpoint.id]
            await changing.rollback()
        with pytest.raises(Unreadable, match="does not open it"):
            _ = target.secrets
    assert await secrets_of(pool, other, KEYRING) == (other.secret,)


async def test_rotate_encrypts_what_lay_open_and_what_lay_under_another_key(pool: Pool) -> None:
    made = await make(pool, NO_KEYS)
    async with transaction(pool) as conn:
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id)
        own = (await deployment_secret.fetch_or_create_secrets(conn)).of(URL_OF_PAYLOAD)
    assert "endpoints" not in await re_encrypt(pool, keyring_of(keys(OLD))), "a process of before reads them"
    later = keyring_of(keys(new_key("later"), NEW))
    for keyring in (KEYRING, later):
        done = await re_encrypt(pool, keyring)
        assert (done["endpoints"], done["deployment_secret"]) == ((1, 0), (1, 0))
        assert (await re_encrypt(pool, keyring))["endpoints"] == (0, 0)
        assert await secrets_of(pool, made, keyring) == (rotated.secret, made.secret)
        async with pool.acquire() as conn:
            assert (await deployment_secret.fetch_or_create_secrets(conn, keyring)).of(URL_OF_PAYLOAD) == own
    uses = {use.table: use.key for use in await count_keys(lambda: transaction(pool), keyring=later)}
    assert uses == {"endpoints": "later", "deployment_secret": "later"}


async def test_where_it_is_required_an_open_secret_signs_nothing_and_is_not_encrypted(pool: Pool) -> None:
    made = await make(pool, NO_KEYS)
    requiring = keyring_of(keys(NEW, required_from=datetime.now(UTC) - timedelta(hours=1)))
    with pytest.raises(OpenRefused):
        await secrets_of(pool, made, requiring)
    assert (await re_encrypt(pool, requiring))["endpoints"] == (0, 1)
    with pytest.raises(OpenRefused):
        async with transaction(pool) as conn:
            await endpoints.rotate_secret(conn, made.endpoint.id, keyring=requiring)
    async with transaction(pool) as conn:
        again = await endpoints.rotate_secret(conn, made.endpoint.id, overlap_s=0, keyring=requiring)
    assert await secrets_of(pool, made, requiring) == (again.secret,)


async def test_a_delivery_waits_for_the_key_of_its_secret(scene: Product, pool: Pool) -> None:
    """A process that has no key yet, and a payload that SQL has published open."""
    made = await make(pool, KEYRING, url=scene.receiver.url("/b"))
    await pool.execute(
        'select postroom.publish(\'webhook\', \'{"tenant": "acme", "type": "t", "data": {}}\')'
    )
    with pytest.raises(KeyMissing):
        await secrets_of(pool, made, NO_KEYS)
    await scene.run("outbox-delivery")
    [waits] = await pool.fetch("select attempts, last_reason from postroom.delivery")
    assert waits["attempts"] == 0
    assert "'key2'" in waits["last_reason"]
    scene.receiver.secrets.append(made.secret.get_secret_value())
    await pool.execute("update postroom.delivery set due_at = now()")
    await scene.run("outbox-delivery", keys=(NEW,))
    assert [each.valid for each in await scene.receiver.wait_for(1)] == [True]


async def test_the_doctor_counts_those_that_lie_open(scene: Product, pool: Pool) -> None:
    await make(pool, NO_KEYS)

    async def loaded() -> None:
        """Routes and handlers are no matter here."""

    async def findings(*texts: str) -> list[tuple[str, str | None]]:
        found = await diagnose(scene.settings(*texts), scene.dsn, load_effects=loaded)
        return [(each.level, each.command) for each in found if each.subject == "encryption"]

    assert await findings(OLD) == []
    assert await findings(NEW) == [("warning", "postroom encryption rotate")]
    await re_encrypt(pool, KEYRING)
    assert await findings(NEW) == []
