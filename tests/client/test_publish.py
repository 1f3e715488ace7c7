"""`postroom.publish` in the caller's own transaction: one meaning with every driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

import postroom
from postroom import Publication, PublishRefused
from postroom.base.db import Pool
from tests.client.drivers import DRIVERS, REOPEN, Case, done
from tests.conftest import on_database, run_sql

MAIL: Final[Publication] = {"channel": "email", "payload": {"to": "ada@example.com"}, "key": "welcome:1"}
OWN_WORK: Final = "insert into shop_order (email) values ('ada@example.com')"
TOMORROW: Final = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Case:
    return DRIVERS[request.param]


@pytest.fixture
async def shop(dsn: str, pool: Pool) -> AsyncIterator[str]:
    """The database as an application signs in to it: its own table, and the right to publish."""
    role = f"shop_{uuid4().hex[:12]}"
    await pool.execute(f"create role {role} login password 'x' in role postroom_publisher")
    await pool.execute("create table shop_order (email text not null)")
    await pool.execute(f"grant all on shop_order to {role}")
    yield signed_in(dsn, role)
    await pool.execute(f"drop owned by {role}; drop role {role}")


def signed_in(dsn: str, role: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}"))


async def kept(pool: Pool) -> tuple[int, int]:
    """How many messages and how many of the application's own rows were committed."""
    counts = await pool.fetchrow(
        "select (select count(*) from postroom.message) as m, (select count(*) from shop_order) as o"
    )
    assert counts is not None
    return counts["m"], counts["o"]


async def test_a_commit_publishes_and_a_rollback_does_not(driver: Case, shop: str, pool: Pool) -> None:
    async with driver(shop) as app:
        await done(app.execute(OWN_WORK))
        await done(postroom.publish(app.connection, **MAIL))
        await done(app.rollback())
    async with driver(shop) as app:
        await done(app.execute(OWN_WORK))
        await done(postroom.publish(app.connection, **MAIL))
        # It goes without a commit, as whoever dies here.
    assert await kept(pool) == (0, 0)
    async with driver(shop) as app:
        await done(app.execute(OWN_WORK))
        published = await done(postroom.publish(app.connection, **MAIL))
        again = await done(postroom.publish(app.connection, **MAIL))
        assert await kept(pool) == (0, 0), "committed before its time"
        await done(app.commit())
    assert await kept(pool) == (1, 1)
    assert type(published) is UUID
    assert published == again == await pool.fetchval("select id from postroom.message")


async def test_every_field_arrives(driver: Case, shop: str, pool: Pool) -> None:
    message: Publication = {
        "channel": "email", "payload": {"to": "ä' \\u0000 %s $1 :x", "n": 12.5}, "key": "k",
        "tenant": "acme", "type": "welcome", "correlation_id": "c", "ordering_key": "o",
        "traceparent": "00-1-2-01", "urgency": "bulk",
    }  # fmt: skip
    async with driver(shop) as app:
        one = await done(postroom.publish(app.connection, **message))
        many = await done(
            postroom.publish_many(
                app.connection,
                [
                    MAIL,
                    {**message, "key": "l", "deliver_at": TOMORROW, "expires_at": TOMORROW + timedelta(1)},
                ],
            )
        )
        assert await done(postroom.publish_many(app.connection, [])) == []
        unique = await done(postroom.publish_unique(app.connection, **MAIL, unique_for_s=60))
        again = await done(postroom.publish_unique(app.connection, **MAIL, unique_for_s=60, replace=False))
        assert (unique.result, again) == ("published", (unique.id, "skipped"))
        report: Publication = {"channel": "task", "payload": {"task": "report"}}
        batch = await done(postroom.publish_batch(app.connection, [report], then=report, on="success"))
        await done(app.commit())
    columns = "m.channel, m.type, m.tenant, m.correlation_id, m.ordering_key, m.traceparent, m.payload"
    rows = await pool.fetch(
        f"select m.id, {columns}, m.key, d.state, d.due_at, d.expires_at from postroom.message m "
        "join postroom.delivery d on d.message_id = m.id"
    )
    found = {row["id"]: dict(row) for row in rows}
    assert found.keys() == {one, *many, unique.id, *batch.ids, batch.then}
    for each in (one, many[1]):
        assert await pool.fetchval(
            "select payload = $2::text::jsonb from postroom.message where id = $1",
            each,
            '{"to": "ä\' \\\\u0000 %s $1 :x", "n": 12.5}',
        )
        stored = [found[each][name] for name in ("type", "tenant", "correlation_id", "ordering_key")]
        assert stored == ["welcome", "acme", "c", "o"]
        assert (found[each]["traceparent"], found[each]["state"]) == ("00-1-2-01", "pending_bulk")
    assert found[many[0]]["key"] == "welcome:1"
    assert (found[many[1]]["due_at"], found[many[1]]["expires_at"]) == (TOMORROW, TOMORROW + timedelta(1))


async def test_a_connection_that_cannot_publish_says_so(driver: Case, shop: str, pool: Pool) -> None:
    async with driver(shop, autocommit=True) as app:
        with pytest.raises(PublishRefused, match="in no transaction, so the message would be committed by"):
            await done(postroom.publish(app.connection, **MAIL))
    async with driver(shop) as app:
        with pytest.raises(Exception, match="no_such_table"):
            await done(app.execute("select * from no_such_table"))
        with pytest.raises(PublishRefused, match="has failed already, by an earlier error: roll back"):
            await done(postroom.publish(app.connection, **MAIL))
        await done(app.rollback())
    if driver not in REOPEN:
        async with driver(shop) as app:
            await done(app.close())
            with pytest.raises(PublishRefused, match="the connection is closed: open another one"):
                await done(postroom.publish(app.connection, **MAIL))
    assert await kept(pool) == (0, 0)


REFUSED: Final[list[tuple[dict[str, Any], str | None, str]]] = [
    ({"channel": "sms"}, "channel", r"unknown channel 'sms'; known are email, webhook, export, stripe_api"),
    ({"urgency": "asap"}, "urgency", r"unknown urgency 'asap'; known are urgent, normal, bulk"),
    ({"deliver_at": datetime(9999, 6, 1, tzinfo=UTC)}, "deliver_at", r"^deliver_at must be before the year"),
    ({"channel": "export", "payload": {"x": "a" * 3_000_000}}, "payload", r"a payload of \d+ bytes; export"),
    ({"key": "k" * 501}, "key", r"^key: is empty or too long$"),
    ({"tenant": "t" * 201}, "tenant", r"^tenant: is empty or too long$"),
    ({"key": "stripe:self:evt_1"}, None, r"^shop_\w+ may only publish: the channel stripe and .* own$"),
]


def call(connection: Any, message: Any, *, many: bool) -> Any:
    if many:
        return postroom.publish_many(connection, [{**MAIL, "key": "welcome:2"}, message])
    return postroom.publish(connection, **message)


async def test_what_the_database_refuses_is_told_alike_and_nothing_stays(
    driver: Case, shop: str, pool: Pool
) -> None:
    for number, (fault, field, told) in enumerate(REFUSED):
        message: Any = {**MAIL, **fault}
        async with driver(shop) as app:
            await done(app.execute(OWN_WORK))
            with pytest.raises(PublishRefused, match=told) as refused:
                await done(call(app.connection, message, many=number % 2 == 1))
            assert refused.value.field == field
            with pytest.raises(PublishRefused, match="has failed already"):
                await done(postroom.publish(app.connection, **MAIL))
            await done(app.rollback())
    assert await kept(pool) == (0, 0)


async def test_what_a_role_may_not_do_is_told(driver: Case, shop: str, pool: Pool) -> None:
    role = urlsplit(shop).username
    await pool.execute("insert into postroom.publisher_limit (role, channels) values ($1, '{webhook}')", role)
    async with driver(shop) as app:
        with pytest.raises(PublishRefused, match=r"may not publish on the channel email .*publisher list\)$"):
            await done(postroom.publish(app.connection, **MAIL))
    await pool.execute(f"revoke postroom_publisher from {role}")
    async with driver(shop) as app:
        with pytest.raises(PublishRefused, match=r"needs: grant postroom_publisher to <role>$"):
            await done(postroom.publish(app.connection, **MAIL))


async def test_a_database_without_postroom_is_told_of(driver: Case, server_dsn: str) -> None:
    name = f"plain_{uuid4().hex[:8]}"
    await run_sql(server_dsn, f'create database "{name}"')
    async with driver(on_database(server_dsn, name)) as app:
        with pytest.raises(
            PublishRefused, match=r"has no postroom\.publish of this version: connect to the one"
        ):
            await done(postroom.publish(app.connection, **MAIL))
    await run_sql(server_dsn, f'drop database "{name}" with (force)')


async def test_a_lost_connection_is_the_drivers_own_error(driver: Case, shop: str, pool: Pool) -> None:
    """Whoever repeats transactions after such errors looks for them."""
    async with driver(shop) as app:
        await done(app.execute(OWN_WORK))
        await pool.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1",
            urlsplit(shop).username,
        )
        with pytest.raises(Exception, match=r"(?i)terminat|closed|another operation") as lost:
            await done(postroom.publish(app.connection, **MAIL))
    assert not isinstance(lost.value, PublishRefused) or "connection is closed" in str(lost.value)
    assert await kept(pool) == (0, 0)


BAD_CALLS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"payload": {"when": object()}}, r"payload: this cannot be written as JSON"),
    ({"payload": {"a": {"b": "x\x00"}}}, r"payload\.a\.b: text holds a NUL character"),
    ({"payload": {"a": [None, {"b": float("nan")}]}}, r"payload\.a\[1\]\.b: nan cannot be written as JSON"),
    ({"payload": [1]}, r"payload: must be a JSON object such as a dict, not list"),
    ({"payload": '{"to": "x"}'}, r"payload: must be a JSON object such as a dict, not str"),
    ({"payload": None}, r"payload: is missing"),
    ({"key": 42}, r"key: must be text, not int"),
    ({"tenant": "\ud800"}, r"tenant: text holds a lone surrogate"),
    (
        {"deliver_at": TOMORROW.replace(tzinfo=None)},
        r"deliver_at: must be a datetime with a time zone, not one without",
    ),
    ({"expires_at": 60}, r"expires_at: must be a datetime with a time zone, not int"),
    ({"chanel": "email"}, r"chanel: unknown; a message has channel, payload, key, tenant"),
]


async def test_a_call_that_makes_no_sense_never_reaches_the_transaction(shop: str, pool: Pool) -> None:
    async with DRIVERS["psycopg"](shop) as app:
        await done(app.execute(OWN_WORK))
        for fault, told in BAD_CALLS:
            message: Any = {**MAIL, **fault}
            with pytest.raises(PublishRefused, match=f"^{told}") as refused:
                postroom.publish(app.connection, **message)
            assert told.startswith((refused.value.field or "-").replace(".", r"\.").replace("[1]", r"\[1\]"))
            with pytest.raises(PublishRefused, match=f"^1.{told}"):
                postroom.publish_many(app.connection, [MAIL, message])
        seconds: Any = "60"
        with pytest.raises(PublishRefused, match=r"^unique_for_s: must be seconds, not str"):
            postroom.publish_unique(app.connection, **MAIL, unique_for_s=seconds)
        await done(app.commit())
    assert await kept(pool) == (0, 1)


async def test_what_is_no_connection_is_named(pool: Pool, shop: str) -> None:
    anything: Any
    for anything, name in ((pool, r"asyncpg\.pool\.Pool"), (None, "NoneType"), (shop, "str")):
        with pytest.raises(PublishRefused, match=f"cannot publish with .*{name}: pass the connection or"):
            postroom.publish(anything, **MAIL)


async def test_more_than_a_thousand_at_once_are_refused() -> None:
    anything: Any = None
    with pytest.raises(PublishRefused, match="at most 1000 messages at once, not 1001"):
        postroom.publish_many(anything, [MAIL] * 1001)


async def test_a_transaction_of_another_is_not_taken_along(shop: str, pool: Pool) -> None:
    """Two connections of one application: each has what it published itself."""
    first, second = await asyncpg.connect(shop), await asyncpg.connect(shop)
    begun = second.transaction()
    await begun.start()
    await postroom.publish(second, **MAIL)
    with pytest.raises(PublishRefused, match="in no transaction"):
        await postroom.publish(first, **MAIL)
    await begun.rollback()
    assert await kept(pool) == (0, 0)
    await first.close()
    await second.close()
