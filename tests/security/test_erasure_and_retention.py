"""What is forgotten, when, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from postroom.admin.erasure import person
from postroom.base.db import Pool, transaction
from postroom.base.settings import RetentionSettings, Settings
from postroom.channels.email.store import Lookup, list_excluded
from postroom.outbox.ledger.retention import retention_job
from postroom.worker.model import JobContext
from tests.fixtures.api import Api, running_api
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.roles import as_role, pool_as

ADA = "ada@example.com"
KILL = """
with gone as (delete from postroom.delivery where message_id = $1 returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, 1, 'ours', 'f', 'refused ' || $2::text from gone"""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


async def payload(pool: Pool, message_id: UUID | str) -> str:
    text: str = await pool.fetchval("select payload::text from postroom.message where id = $1", message_id)
    return text


async def age(pool: Pool, days: int) -> None:
    await pool.execute(
        "update postroom.message set created_at = created_at - make_interval(days => $1)", days
    )
    await pool.execute("update postroom.dead_letter set died_at = died_at - make_interval(days => $1)", days)


async def test_payloads_leave_after_30_days_those_of_the_dead_after_90(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    [delivered, dead, waiting] = await engine.publish([email("a"), email("b"), email("c", deliver_at=None)])
    await pool.execute("update postroom.delivery set due_at = 'infinity' where message_id = $1", waiting)
    await pool.execute(KILL, dead, ADA)
    await engine.drain()
    job = retention_job(pool=pool_as(pool, "runner"), keep=RetentionSettings())

    async def run() -> list[bool]:
        await job.run(JobContext(once=True))
        return ["ada" in await payload(pool, each) for each in (delivered, dead, waiting)]

    await age(pool, 29)
    assert await run() == [True, True, True]
    await age(pool, 2)
    assert await run() == [False, True, True]
    await age(pool, 58)
    assert await run() == [False, True, True]
    await age(pool, 2)
    assert await run() == [False, False, True]


async def put(pool: Pool, channel: str, payload: str, key: str | None = None) -> UUID:
    message_id: UUID = await pool.fetchval(
        "select postroom.publish(channel => $1, payload => $2::jsonb, key => $3)", channel, payload, key
    )
    return message_id


@pytest.mark.rows_by_hand
async def test_one_person_leaves_and_everybody_else_stays(api: Api) -> None:
    pool = api.pool
    mine = await put(
        pool, "email", f'{{"to": "Ada <ADA@example.com>", "subject": "s", "text": "{ADA}"}}', f"w:{ADA}"
    )
    dead = await put(pool, "email", f'{{"to": "x@y.org", "subject": "s", "text": "line\\n{ADA}\\n"}}')
    export = await put(pool, "export", '{"dataset": "d", "record": {"url": "?m=ada%40example.com"}}')
    others = [
        await put(pool, "email", f'{{"to": "{to}", "subject": "s", "text": "t"}}')
        for to in (
            "maria.ada@example.com",
            "ada@example.com.au",
            "ada@example.community",
            "ada+x@example.com",
        )
    ]
    waiting = await put(pool, "email", f'{{"to": "{ADA}", "subject": "later", "text": "t"}}')
    await pool.execute(KILL, dead, f"{ADA} unknown")
    await pool.execute("delete from postroom.delivery where message_id <> $1", waiting)
    await pool.execute(
        "insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, detail, destination)"
        " values ($1, 0, 'email', 1, 'delivered', null, 'thanks Ada', null),"
        " ($2, 0, 'email', 1, 'retry', $3, null, 'example.org'),"
        " ($1, 0, 'email', 2, 'delivered', null, null, 'ada.example')",
        mine, others[0], f"no room for {ADA}",
    )  # fmt: skip
    await pool.execute(
        "with f as (insert into postroom.export_file"
        " (id, dataset, records, stored_at, path, size_bytes, sha256)"
        " values (gen_random_uuid(), 'd', 1, now(), 'd/f.gz', 9, sha256('')) returning id)"
        " insert into postroom.export_record select $1, id, 1 from f", export,
    )  # fmt: skip
    await pool.execute("insert into postroom.suppression values ($1, 'asked')", ADA)

    answer = await api.post("/v1/admin/erasures", json={"email": "Ada@Example.com"})
    assert answer.status == 200, answer.text
    report = answer.json
    assert (report["messages"], report["dead_letters"], report["cancelled"]) == (3, 1, 0)
    assert report["open_messages"] == [str(waiting)]
    assert report["export_files"] == ["d/f.gz"]
    assert report["suppressed"] is True
    assert report["resume_after"] is None
    for each in (mine, dead, export):
        assert await payload(pool, each) == "{}"
    for each in (*others, waiting):
        assert await payload(pool, each) != "{}"
    assert await pool.fetchval("select key from postroom.message where id = $1", mine) == f"erased:{mine}"
    attempts = str(await pool.fetch("select reason, detail, destination from postroom.attempt"))
    assert "no room for [erased]" in attempts
    assert "example.org" in attempts, "nothing else of somebody else's mail goes"
    assert "ada" not in attempts.lower()
    assert await pool.fetchval("select count(*) from postroom.export_record where not erased") == 0
    trail = str(await pool.fetch("select action, subject, detail from postroom.audit"))
    assert "erasure.done" in trail
    assert ADA not in trail.lower()

    again = (await api.post("/v1/admin/erasures", json={"email": ADA, "cancel_open": True})).json
    assert (again["messages"], again["cancelled"], again["open_messages"]) == (1, 1, [])
    assert await payload(pool, waiting) == "{}"


@pytest.mark.rows_by_hand
async def test_a_person_leaves_the_trail_the_replays_and_the_texts_of_endpoints(api: Api) -> None:
    """Who did what stays in the trail; a url and a tenant are what an endpoint is: a person changes those."""
    pool = api.pool
    await pool.execute(
        "insert into postroom.audit (actor, action, subject, detail) values"
        " ($1, 'channel.pause', 'email', "
        "  jsonb_build_object('reason', $2::text, 'of', 'maria.ada@example.com')),"
        " ('cli:bob', 'circuit.open', $2, '{}')",
        f"oidc:{ADA}", f"complaint of {ADA.upper()} and ada%40example.com",
    )  # fmt: skip
    await pool.execute(
        "insert into postroom.replay_run (actor, wanted, pace_per_s)"
        " values ('bob', jsonb_build_object('tenant', $1::text, 'channels', array['email']), 0)", ADA,
    )  # fmt: skip
    made = [
        await pool.fetchval(
            "insert into postroom.endpoint (tenant, url, types, secret, description, state, parked_reason)"
            " values ($1, $2, '{*}', 's', $3, 'parked', $3) returning id", tenant, url, f"ask {ADA}",
        )
        for tenant, url in (("t", "https://example.com"), (ADA, "https://x"), ("t", f"https://x/?who={ADA}"))
    ]  # fmt: skip

    report = (await api.post("/v1/admin/erasures", json={"email": ADA})).json
    assert (report["audit_entries"], report["replays"]) == (2, 1)
    assert report["endpoints"] == sorted(str(each) for each in made[1:])
    trail = await pool.fetch("select actor, subject, detail::text from postroom.audit order by id limit 2")
    assert [tuple(row) for row in trail] == [
        (
            f"oidc:{ADA}",
            "email",
            '{"of": "maria.ada@example.com", "reason": "complaint of [erased] and [erased]"}',
        ),
        ("cli:bob", "complaint of [erased] and [erased]", "{}"),
    ]
    assert await pool.fetchval("select wanted ->> 'tenant' from postroom.replay_run") == "[erased]"
    texts = await pool.fetch("select distinct description, parked_reason from postroom.endpoint")
    assert [tuple(row) for row in texts] == [("ask [erased]", "ask [erased]")]
    # What was taken out of the trail is in the trail, by the database itself.
    [own] = await pool.fetch("select actor, detail from postroom.audit where action = 'erasure.audit'")
    assert own["actor"].startswith("database:postroom_login_api_")
    assert own["detail"] == '{"entries": 2}'


async def test_the_trail_is_erased_of_an_address_and_of_nothing_else(dsn: str, pool: Pool) -> None:
    """Whoever holds the API's login may call the function, but not empty the trail by it."""
    await pool.execute("insert into postroom.audit (actor, action, subject) values ('a', 'b', 'token 1')")
    conn = await asyncpg.connect(as_role(dsn, "api"))
    statement = "select * from postroom.erase_from_audit($1, $2, 0, 1000)"
    for local, domains in ((".*", ["x.org"]), ("", [""]), ("token", ["1"]), ("t", []), ("a", [".*|token"])):
        with suppress(asyncpg.DataError):
            await conn.fetch(statement, local, domains)
    await conn.close()
    assert [row[0] for row in await pool.fetch("select subject from postroom.audit")] == ["token 1"]


@pytest.mark.rows_by_hand
async def test_two_tenants_of_one_person_may_have_had_the_same_key(api: Api) -> None:
    """Their names become one; the keys, which are unique within a tenant, must not."""
    pool = api.pool
    for tenant in (ADA, ADA.upper()):
        await pool.execute("select postroom.publish('email', '{\"to\": \"x\"}', 'w:1', tenant => $1)", tenant)
    await pool.execute("delete from postroom.delivery")
    answer = await api.post("/v1/admin/erasures", json={"email": ADA})
    assert (answer.status, answer.json["messages"]) == (200, 2)
    assert await pool.fetchval("select count(*) from postroom.message where key = 'erased:' || id") == 2


@pytest.mark.parametrize("email", ["", "ada", "a@b@c", "ada@example.com\r\n", "%", ".*", "x" * 400])
async def test_an_erasure_of_nobody_erases_nothing(api: Api, email: str) -> None:
    message = await put(api.pool, "export", '{"dataset": "d", "record": {"id": 1}}')
    assert (await api.post("/v1/admin/erasures", json={"email": email})).status in (400, 422)
    assert await payload(api.pool, message) != "{}"


def test_letters_that_mean_something_in_a_pattern_mean_themselves() -> None:
    assert "a\\.b" in person("a.b@example.com").pattern
    assert "a\\+b" in person("a+b@example.com").pattern


async def test_a_suppressed_address_is_left_out_until_it_is_released(api: Api) -> None:
    pool = api.pool
    made = await api.post("/v1/admin/suppressions", json={"address": "Ada@EXAMPLE.com", "reason": "asked"})
    assert (made.status, made.json["address"]) == (201, ADA)
    async with transaction(pool) as conn:
        [[excluded]] = await list_excluded(conn, [Lookup(UUID(int=1), 0, [ADA, "bob@example.com"])])
    assert (excluded.recipient, excluded.reason) == (0, "asked")
    listed = (await api.get("/v1/admin/suppressions")).json["items"]
    assert [each["address"] for each in listed] == [ADA]
    released = await api.call("DELETE", "/v1/admin/suppressions?address=ADA@example.com")
    assert released.json == {"address": ADA, "released": True}
    assert (await api.call("DELETE", f"/v1/admin/suppressions?address={ADA}")).status == 404
    bad = await api.post("/v1/admin/suppressions", json={"address": "nobody", "reason": "x"})
    assert (bad.status, bad.json["field"]) == (422, "address")
    trail = (await api.get("/v1/admin/audit")).json["items"]
    assert [entry["action"] for entry in trail] == ["suppression.remove", "suppression.add"]
    assert {entry["subject"] for entry in trail} == {"a***@example.com"}


async def test_pages_of_suppressions_follow_the_alphabet(api: Api) -> None:
    names = [f"{letter}@example.com" for letter in "cab"]
    await asyncio.gather(
        *(api.post("/v1/admin/suppressions", json={"address": each, "reason": "x"}) for each in names)
    )
    first = (await api.get("/v1/admin/suppressions?limit=2")).json
    second = (await api.get(f"/v1/admin/suppressions?limit=2&cursor={first['next_cursor']}")).json
    found = [each["address"] for each in (*first["items"], *second["items"])]
    assert found == sorted(names)
