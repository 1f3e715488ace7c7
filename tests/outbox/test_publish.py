"""Publishing: one meaning from SQL and from Python, inside the caller's transaction."""

from __future__ import annotations

import asyncio
import json
import random
import string
from typing import Any

import asyncpg
import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidPayload
from postroom.base.migrate import migrate
from postroom.channels.webhooks.payload import read_payload
from postroom.encryption.keyring import NO_KEYS, Keyring, keyring_of
from postroom.outbox.encryption import open_payload
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.model import Message
from postroom.outbox.publish import count_receivers, publish, publish_many
from postroom.outbox.store import claim_due
from tests.fixtures.encryption import NEW, keys
from tests.fixtures.engine import Engine, ScriptedAdapter

KEYRING = keyring_of(keys(NEW))


async def test_the_same_key_again_returns_the_first_id(pool: Pool) -> None:
    async with transaction(pool) as conn:
        first = await publish(
            conn, Message(channel="email", payload={"to": "a@example.com"}, key="welcome:1")
        )
        again = await publish(
            conn, Message(channel="email", payload={"to": "b@example.com"}, key="welcome:1")
        )
    assert first.new
    assert not again.new
    assert again.id == first.id
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1


async def test_a_rollback_publishes_nothing(pool: Pool) -> None:
    async with pool.acquire() as conn:
        attempt = conn.transaction()
        await attempt.start()
        await publish_many(
            conn, [Message(channel="email", payload={}), Message(channel="export", payload={"dataset": "d"})]
        )
        await attempt.rollback()
    assert await pool.fetchval("select count(*) from postroom.message") == 0
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_a_webhook_goes_to_every_endpoint_that_listens(pool: Pool) -> None:
    for tenant, types in (("t", ["invoice.*"]), ("t", ["*"]), ("t", ["invoice.paid"]), ("u", ["*"])):
        await pool.execute(
            "insert into postroom.endpoint (tenant, url, types, secret) values ($1, 'https://x', $2, 's')",
            tenant,
            types,
        )
    async with transaction(pool) as conn:
        paid = await publish(
            conn, Message(channel="webhook", payload={"tenant": "t", "type": "invoice.paid"})
        )
        other = await publish(conn, Message(channel="webhook", payload={"tenant": "t", "type": "invoiced"}))
        nobody = await publish(conn, Message(channel="webhook", payload={"tenant": "v", "type": "x"}))
    counted = await pool.fetch(
        "select m.id, m.deliveries, count(d.*) as open from postroom.message m "
        "left join postroom.delivery d on d.message_id = m.id group by m.id"
    )
    assert {(row["id"], row["deliveries"], row["open"]) for row in counted} == {
        (paid.id, 3, 3),
        (other.id, 1, 1),
        (nobody.id, 0, 0),
    }


async def test_publish_many_is_all_or_nothing(pool: Pool) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await pool.execute(
            "select postroom.publish_many($1)",
            '[{"channel": "email", "payload": {}}, {"channel": "pigeon", "payload": {}}]',
        )
    assert await pool.fetchval("select count(*) from postroom.message") == 0


@pytest.mark.parametrize("size", [3, 300])
async def test_a_batch_leaves_out_what_is_known_and_keeps_its_order(pool: Pool, size: int) -> None:
    """Small and large batches take different ways through the database."""
    async with transaction(pool) as conn:
        known = await publish(conn, Message(channel="email", payload={}, key="1"))
        batch = [Message(channel="email", payload={"n": n}, key=f"{n}") for n in range(size)]
        published = await publish_many(conn, [*batch, batch[-1], Message(channel="webhook", payload={})])
    assert [not p.new for p in published] == [n in {1, size} for n in range(size + 2)]
    assert published[1].id == known.id
    assert published[size].id == published[size - 1].id
    made = [p.id for p in published if p.new]
    assert made == sorted(set(made)), "ids grow in the order of publication"
    kept = await pool.fetch("select message_id from postroom.delivery order by seq")
    assert [row["message_id"] for row in kept] == [known.id, *made]
    spread = "select count(*) from postroom.message m join postroom.delivery d on d.message_id = m.id"
    assert await pool.fetchval(f"{spread} where m.key = (m.payload ->> 'n')") == size - 1


async def test_a_large_batch_of_new_keys_keeps_its_order(pool: Pool) -> None:
    batch = [Message(channel="email", payload={"n": n}, key=f"{n}", type="t") for n in range(300)]
    async with transaction(pool) as conn:
        published = await publish_many(conn, batch)
    assert all(p.new for p in published)
    kept = await pool.fetch(
        "select m.id, m.payload ->> 'n' as n, m.deliveries, m.type, m.xid from postroom.message m "
        "join postroom.delivery d on d.message_id = m.id and d.due_at = m.created_at order by d.seq"
    )
    assert [(row["id"], row["n"], row["deliveries"], row["type"]) for row in kept] == [
        (p.id, f"{n}", 1, "t") for n, p in enumerate(published)
    ]
    below = await pool.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    assert {row["xid"] for row in kept} < set(range(1, below)), "the transaction's, for the canary"


async def test_a_large_batch_fans_out_too(pool: Pool) -> None:
    insert = (
        "insert into postroom.endpoint (tenant, url, types, secret) values ('t', 'https://x', '{*}', 's')"
    )
    for _ in range(3):
        await pool.execute(insert)
    batch = [Message(channel="webhook", payload={"tenant": "t", "type": "a"}) for _ in range(150)]
    async with transaction(pool) as conn:
        await publish_many(conn, batch)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 450
    assert await pool.fetchval("select sum(deliveries) from postroom.message") == 450


async def test_two_publishers_of_one_key_get_one_message(dsn: str) -> None:
    async def publish_once() -> object:
        conn = await asyncpg.connect(dsn)
        try:
            return await conn.fetchval("select postroom.publish('email', '{}', key => 'same')")
        finally:
            await conn.close()

    assert len(set(await asyncio.gather(*(publish_once() for _ in range(8))))) == 1


SQL = "select postroom.publish('email', '{}', deliver_at => $1::text::timestamptz)"
MANY = """
select postroom.publish_many(jsonb_agg(
    jsonb_build_object('channel', 'email', 'payload', '{}'::jsonb, 'deliver_at', $1::text)))
from generate_series(1, $2::integer)"""


async def publish_at(pool: Pool, moment: str, size: int) -> None:
    async with transaction(pool) as conn:
        await (conn.execute(MANY, moment, size) if size else conn.execute(SQL, moment))


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0044-03-15 BC", "-infinity"]
)
@pytest.mark.parametrize("size", [0, 1, 150])
async def test_a_moment_that_has_passed_is_now(dsn: str, pool: Pool, moment: str, size: int) -> None:
    """The year 1 is what Go sends for a time that nobody set."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await publish_at(pool, moment, size)
    assert await engine.drain() == (size or 1)


@pytest.mark.parametrize("moment", ["infinity", "9999-01-01T00:00:00Z", "20000-01-01"])
@pytest.mark.parametrize("size", [0, 1, 150])
async def test_what_would_never_be_sent_is_refused(pool: Pool, moment: str, size: int) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="deliver_at"):
        await publish_at(pool, moment, size)


@pytest.mark.parametrize("field", ["tenant", "type"])
@pytest.mark.parametrize("size", [0, 1, 150])
async def test_a_name_too_long_in_a_payload_costs_nobody_the_transaction(
    pool: Pool, field: str, size: int
) -> None:
    """It is a payload that cannot be sent, so it ends as a dead letter. And a name cut short is another's."""
    await pool.execute(
        "insert into postroom.endpoint (tenant, url, types, secret)"
        " values (repeat('x', 200), 'u', '{*}', 's')"
    )
    payload = {"tenant": "t", "type": "a", "data": {}, field: "x" * 201}
    if size:
        async with transaction(pool) as conn:
            await publish_many(conn, [Message(channel="webhook", payload=payload)] * size)
    else:
        await pool.fetchval("select postroom.publish('webhook', $1::text::jsonb)", json.dumps(payload))
    rows = await pool.fetch(f"select {field} as name from postroom.message")
    assert {row["name"] for row in rows} == {""}
    assert await pool.fetchval("select count(*) from postroom.delivery where endpoint_id is null") == (
        size or 1
    )


CONTRADICTIONS = [
    ({"tenant": "b", "type": "order.paid", "data": {}}, "another"),
    ({"tenant": "a", "type": "order.gone", "data": {}}, "another"),
    ({"type": "order.paid", "data": {}, "url": "https://example.com"}, "a tenant and a url"),
]


@pytest.mark.parametrize(("payload", "fault"), CONTRADICTIONS)
@pytest.mark.parametrize("keyring", [NO_KEYS, KEYRING], ids=["plain", "encrypted"])
async def test_a_payload_that_contradicts_its_parameters_is_sent_to_nobody(
    pool: Pool, payload: dict[str, Any], fault: str, keyring: Keyring
) -> None:
    """The transaction goes on; the first attempt ends it as a dead letter with the reason."""
    for tenant in ("a", "b"):
        await pool.execute(
            "insert into postroom.endpoint (tenant, url, types, secret)"
            " values ($1, 'https://example.com', '{*}', 's')",
            tenant,
        )
    message = Message(channel="webhook", payload=payload, tenant="a", type="order.paid")
    async with transaction(pool) as conn:
        if keyring is KEYRING:
            await publish(conn, message, keyring=KEYRING)
        else:
            text = json.dumps(payload)
            call = "select postroom.publish('webhook', $1::text::jsonb, tenant => 'a', type => 'order.paid')"
            await conn.execute(call, text)
        [claimed] = await claim_due(conn, channel="webhook", worker=1, first_max=5, retry_max=5)
    assert claimed.endpoint_id is None
    assert (claimed.tenant, claimed.type) == ("a", "order.paid")
    text = open_payload(claimed.message_id, claimed.payload, KEYRING, channel=claimed.channel)
    with pytest.raises(InvalidPayload, match=fault):
        read_payload(text, tenant=claimed.tenant, type_=claimed.type)


async def test_an_address_of_any_length_costs_nobody_the_transaction(pool: Pool) -> None:
    """Random text, because what repeats is compressed below the limit of an index entry."""
    to = "".join(random.choices(string.ascii_letters, k=20_000))
    message_id = await pool.fetchval(
        "select postroom.publish('email', jsonb_build_object('to', $1::text))", to
    )
    assert (
        await pool.fetchval("select payload ->> 'to' from postroom.message where id = $1", message_id) == to
    )


OLDER = """
drop function postroom.short;
drop function postroom.make_attempt_partitions;
update postroom.alembic_version set version_num = '0003'"""


async def test_an_upgrade_brings_the_functions_of_an_older_database_up_to_date(dsn: str, pool: Pool) -> None:
    await pool.execute(OLDER)
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await pool.fetchval("select postroom.publish('webhook', '{}')")
    await migrate(dsn)
    assert await pool.fetchval("select postroom.publish('webhook', '{}')")
    assert await pool.fetchval("select postroom.make_attempt_partitions(8)") == 1


BEFORE_RECEIVERS = """
alter table postroom.ledger_fold drop column no_receiver;
alter table postroom.ledger_check drop column no_receiver;
update postroom.alembic_version set version_num = '0004'"""


async def test_an_upgrade_that_waits_for_a_publisher_holds_up_no_other(dsn: str, pool: Pool) -> None:
    """A caller's transaction may stay open for long; meanwhile others publish, and so does it."""
    await pool.execute(BEFORE_RECEIVERS)
    waits = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted"
    async with asyncio.timeout(60):
        async with transaction(pool) as conn:
            await conn.execute(
                "insert into postroom.message (id, channel, payload, deliveries) "
                "values (postroom.uuid7(), 'webhook', '{}', 0)"
            )
            upgrade = asyncio.create_task(migrate(dsn))
            while not await conn.fetchval(waits):
                await asyncio.sleep(0)
            assert await pool.fetchval("select postroom.publish('email', '{}')")
            assert not upgrade.done()
            await publish(conn, Message(channel="email", payload={}))
        await upgrade
    assert (await check_ledger(pool)).no_receiver == 1


NOBODY = Message(channel="webhook", payload={"data": {}}, tenant="mistyped", type="order.paid")


async def test_what_has_no_receiver_says_so_and_the_ledger_adds_up(pool: Pool) -> None:
    await pool.execute(
        "insert into postroom.endpoint (tenant, url, types, secret) "
        "select 't', 'https://x/' || n, '{*}', 's' from generate_series(1, 2) n"
    )
    messages = [
        NOBODY,
        Message(channel="webhook", payload={"data": {}}, tenant="t", type="order.paid", key="two"),
        Message(channel="webhook", payload={"data": {}, "url": "https://x/", "type": "a"}),
        Message(channel="email", payload={"to": "a@example.com"}),
    ]
    async with transaction(pool) as conn:
        stored = await count_receivers(conn, messages, await publish_many(conn, messages))
        again = await count_receivers(conn, messages[1:2], await publish_many(conn, messages[1:2]))
    assert [each.receivers for each in stored] == [0, 2, 1, 1]
    assert (again[0].new, again[0].receivers) == (False, 2)
    balance = await check_ledger(pool)
    assert (balance.published, balance.open, balance.no_receiver, balance.drift) == (4, 4, 1, 0)


async def test_what_has_no_receiver_is_counted_once_and_for_good(pool: Pool) -> None:
    for count in (1, 2, 3):
        async with transaction(pool) as conn:
            await publish(conn, NOBODY)
        assert (await check_ledger(pool)).no_receiver == count
    assert (await check_ledger(pool)).no_receiver == 3
    assert await pool.fetchval("select no_receiver from postroom.ledger_check") == 3


@pytest.mark.parametrize("channel", ["emial", "", None])
async def test_an_unknown_channel_is_refused_with_the_known_ones(pool: Pool, channel: str | None) -> None:
    one = "select postroom.publish(channel => $1, payload => '{}')"
    ordered = "select postroom.publish(channel => $1, payload => '{}', ordering_key => 'a')"
    known = "known are email, webhook, export"
    for statement in (one, ordered):
        with pytest.raises(asyncpg.InvalidParameterValueError, match=known):
            await pool.fetchval(statement, channel)
    for count in (1, 100):
        many = json.dumps([{"channel": channel, "payload": {}}] * count)
        with pytest.raises(asyncpg.InvalidParameterValueError, match=known):
            await pool.fetch("select * from postroom.publish_many($1::text::jsonb)", many)
    assert await pool.fetchval("select count(*) from postroom.message") == 0


LARGE = "jsonb_build_object('to', 'a', 'text', repeat(md5(random()::text), $1 / 32))"
CALLS = {
    "one": f"select postroom.publish($2, {LARGE})",
    "fanned": f"select postroom.publish($2, {LARGE}, ordering_key => 'k')",
    "many": "select postroom.publish_many(jsonb_build_array("
    f"jsonb_build_object('channel', $2::text, 'payload', {LARGE})))",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("channel", "bytes_max"), [("webhook", 2 << 20), ("export", 2 << 20), ("email", 32 << 20)]
)
async def test_a_payload_beyond_what_its_channel_takes_is_refused(
    pool: Pool, call: str, channel: str, bytes_max: int
) -> None:
    await pool.execute(CALLS[call], bytes_max - 1_000, channel)
    with pytest.raises(asyncpg.ProgramLimitExceededError, match=f"{channel} takes at most {bytes_max}"):
        await pool.execute(CALLS[call], bytes_max + 1_000, channel)
    assert await pool.fetchval("select count(*) from postroom.message") == 1


async def test_a_payload_that_compresses_well_is_refused_too(pool: Pool) -> None:
    await pool.execute("create table pg_temp_kept (payload jsonb)")
    await pool.execute("insert into pg_temp_kept values (jsonb_build_object('text', repeat('x', 5000000)))")
    assert await pool.fetchval("select pg_column_size(payload) from pg_temp_kept") < 100_000
    with pytest.raises(asyncpg.ProgramLimitExceededError):
        await pool.execute("select postroom.publish('export', payload) from pg_temp_kept")
    large = Message(channel="export", payload={"dataset": "d", "record": {"x": "x" * (3 << 20)}})
    with pytest.raises(InvalidPayload, match="at most"):
        async with transaction(pool) as conn:
            await publish(conn, large)
