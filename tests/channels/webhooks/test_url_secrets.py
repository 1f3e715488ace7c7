"""Urls of payloads: each origin has a secret of its own, so that no receiver can sign to another."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import SecretStr
from yarl import URL

from postroom.admin import endpoints as actions
from postroom.admin.audit import Actor
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import deployment_secret, store
from postroom.channels.webhooks.signing import decode_secret, generate_secret

ORIGIN: Final = URL("https://example.com/hooks")
MIGRATIONS: Final = Path(__file__).parents[3] / "migrations" / "sql"


async def test_each_origin_has_a_secret_of_its_own_and_its_rotation_changes_no_other(pool: Pool) -> None:
    other = [URL("https://example.com:8443/a"), URL("http://example.com/a"), URL("https://a.example.com/a")]

    async def of(url: URL) -> list[str]:
        async with transaction(pool) as conn:
            found = (await deployment_secret.fetch_or_create_secrets(conn)).of(url)
        return [each.get_secret_value() for each in found]

    [first] = await of(ORIGIN)
    assert await of(URL("https://EXAMPLE.com:443/b?c")) == [first]
    others = [await of(url) for url in other]
    assert len({first, *(each for [each] in others)}) == 4
    decode_secret(SecretStr(first))
    async with transaction(pool) as conn:
        second = (await deployment_secret.rotate(conn, ORIGIN, overlap_s=60)).get_secret_value()
    assert await of(ORIGIN) == [second, first]
    async with transaction(pool) as conn:
        third = (await deployment_secret.rotate(conn, ORIGIN, overlap_s=0)).get_secret_value()
    assert await of(ORIGIN) == [third]
    assert len({first, second, third}) == 3
    assert [await of(url) for url in other] == others


async def test_after_an_upgrade_the_shared_secret_signs_too_until_its_time_is_over(pool: Pool) -> None:
    async def signing() -> list[str]:
        async with transaction(pool) as conn:
            found = (await deployment_secret.fetch_or_create_secrets(conn)).of(ORIGIN)
        return [each.get_secret_value() for each in found]

    shared = generate_secret()
    async with transaction(pool) as conn:
        await store.insert_signing_secret(conn, shared)
    await pool.execute("alter table postroom.signing_secret drop column shared_until")
    await pool.execute((MIGRATIONS / "webhook_origins.sql").read_text())
    own, *rest = await signing()
    assert rest == [shared.get_secret_value()]
    await pool.execute("update postroom.signing_secret set shared_until = now()")
    assert await signing() == [own]
    await pool.execute("update postroom.signing_secret set shared_until = now() + interval '1 day'")
    async with transaction(pool) as conn:
        await actions.end_shared_secret(conn, actor=Actor("me"))
    assert await signing() == [own]
