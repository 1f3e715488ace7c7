"""`unique` of a task: what `publish` makes of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from postroom import PublishRefused, publish_many, task
from postroom.base.db import Pool, transaction
from tests.channels.tasks.code import Line

PEN = Line(sku="pen", price=Decimal(1))


@task("mail", unique=60)
async def mail(to: str, tags: dict[str, int] | None = None, line: Line | None = None) -> None: ...


async def published(pool: Pool) -> int:
    return int(await pool.fetchval("select count(*) from postroom.message"))


async def test_the_same_arguments_are_published_once_within_the_time(pool: Pool) -> None:
    async with transaction(pool) as conn:
        first = await mail.publish(conn, "ada", {"a": 1, "b": 2}, PEN)
        again = await mail.publish(conn, line=PEN, tags={"b": 2, "a": 1}, to="ada")
        other = await mail.publish(conn, "ada", {"a": 1, "b": 3}, PEN)
        assert (first == again, first == other) == (True, False)
        short = await mail.publish(conn, "bob")
        assert short == await mail.publish(conn, "bob", None), "a default is the same as what it says"
        assert short != await mail.with_options(tenant="acme").publish(conn, "bob"), "of each tenant"
        assert (await mail.publish_unique(conn, "bob")).result == "skipped"
    assert await published(pool) == 4
    await pool.execute("update postroom.unique_key set until = now() - interval '1 second'")
    async with transaction(pool) as conn:
        assert await mail.publish(conn, "bob") != short


def test_a_plain_connection_returns_the_id_as_it_is(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        assert mail.publish(conn, "ada") == mail.publish(conn, "ada")


async def test_what_is_said_at_publishing_wins(pool: Pool) -> None:
    async with transaction(pool) as conn:
        first = await mail.publish(conn, "ada")
        keyed = mail.with_options(key="mail:7")
        assert await keyed.publish(conn, "ada") == await keyed.publish(conn, "bob") != first
        assert await mail.with_options(unique_for_s=None).publish(conn, "ada") != first
        replaced = await mail.with_options(replace=True).publish_unique(conn, "ada")
        assert (replaced.result, replaced.id != first) == ("replaced", True)
        assert (await keyed.publish_unique(conn, "eve")).result == "published", (
            "its own seconds, and that key"
        )
        assert (await keyed.publish_unique(conn, "eva")).result == "skipped"
        with pytest.raises(PublishRefused, match="throttle_s: goes with publish_unique"):
            await mail.with_options(throttle_s=5).publish(conn, "ada")
        await publish_many(conn, [mail.message("ada"), mail.message("ada")])


@pytest.mark.parametrize("value", [0, -1, 4e7, float("nan"), "60", True])
def test_what_are_no_seconds_is_refused_where_it_is_written(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="task crm: unique is "):
        task("crm", unique=value)
