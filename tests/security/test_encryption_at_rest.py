"""Payloads at rest: with a key, nothing of what people wrote is readable in a table, and all of it works."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postroom.base import json
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import endpoints
from postroom.encryption.keyring import NO_KEYS, keyring_of
from postroom.health.doctor import diagnose
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.console.http import visitor
from tests.fixtures.api import Api, running_api
from tests.fixtures.encryption import NEW, OLD, Product, keys, places_of, product, stripe_event
from tests.processes.commands import run

PLANTED = "Xylograph Quuxbury"
ADDRESS = "xylograph.quuxbury@example.com"
KEYRING = keyring_of(keys(OLD))
ALL = ("stripe-events", "outbox-delivery")
INVOICE: dict[str, Any] = {
    "id": "in_1",
    "object": "invoice",
    "customer": "cus_1",
    "customer_email": ADDRESS,
    "customer_name": PLANTED,
    "amount_paid": 4200,
    "currency": "eur",
    "number": "R-1",
    "lines": {"data": []},
}


@pytest.fixture
async def scene(dsn: str, tmp_path: Path) -> AsyncIterator[Product]:
    async with product(dsn, tmp_path) as running:
        yield running


async def publish_over_http(api: Api, scene: Product) -> list[str]:
    """One message a channel, the webhook by url and by tenant, all holding what was planted."""
    data = {"who": PLANTED, "mail": ADDRESS}
    events = [
        {"channel": "email", "payload": {"to": ADDRESS, "subject": PLANTED, "text": PLANTED}},
        {"channel": "export", "payload": {"dataset": "people", "record": {**data, "n": 0.1}}},
        {"channel": "webhook", "payload": {"url": scene.receiver.url("/a"), "type": "t", "data": data}},
        {"channel": "webhook", "payload": {"tenant": "acme", "type": "invoice.paid", "data": data}},
    ]
    answer = await api.post("/v1/events", json=events)
    assert answer.status == 201, answer.text
    return [each["id"] for each in answer.json["events"]]


async def make_endpoint(pool: Pool, scene: Product) -> None:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(
            conn, tenant="acme", url=scene.receiver.url("/b"), allow_private=True
        )
    scene.receiver.secrets.append(made.secret.get_secret_value())


def exported(scene: Product, dataset: str) -> list[dict[str, Any]]:
    files = (scene.folder / "out" / dataset).rglob("*.gz")
    return [json.decode(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


async def put_by_sql(pool: Pool, payload: str = "", channel: str = "email") -> UUID:
    text = payload or json.encode({"to": ADDRESS, "subject": PLANTED, "text": PLANTED})
    message_id: UUID = await pool.fetchval("select postroom.publish($1, $2::jsonb)", channel, text)
    return message_id


async def everything_in(scene: Product, pool: Pool, *texts: str) -> list[str]:
    """From every entrance that Python has: HTTP, and Stripe with its effects and mirror."""
    await make_endpoint(pool, scene)
    async with running_api(scene.dsn, scene.settings(*texts)) as api:
        ids = await publish_over_http(api, scene)
        body, headers = stripe_event("evt_1", INVOICE)
        assert (await api.post("/v1/stripe/webhook", data=body, headers=headers)).status == 200
    return ids


async def test_without_keys_it_lies_where_one_would_look(scene: Product, pool: Pool) -> None:
    """The search itself: it finds what is there, in texts and in bytes."""
    await everything_in(scene, pool)
    await scene.run(*ALL)
    for planted in (PLANTED, ADDRESS):
        assert await places_of(pool, planted) == {"message", "stripe_event", "stripe_object"}


async def test_nothing_readable_is_in_any_table_and_everything_arrives(scene: Product, pool: Pool) -> None:
    await everything_in(scene, pool, OLD)
    for planted in (PLANTED, ADDRESS):
        assert await places_of(pool, planted) == set(), "before delivery"
    await scene.run(*ALL, keys=(OLD,))
    for planted in (PLANTED, ADDRESS):
        assert await places_of(pool, planted) == set(), "after delivery"

    mails = await scene.mailbox.wait_for(2)
    assert all(mail.recipients == (ADDRESS,) and PLANTED in (mail.text or "") for mail in mails)
    received = await scene.receiver.wait_for(3)
    assert all(PLANTED.encode() in each.body for each in received)
    assert [line["record"] for line in exported(scene, "people")] == [
        {"who": PLANTED, "mail": ADDRESS, "n": 0.1}
    ]
    for dataset in ("invoices", "more"):
        [line] = exported(scene, dataset)
        assert line["record"]["customer_name"] == PLANTED
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0


async def test_destination_tenant_and_type_are_as_without_keys(scene: Product, pool: Pool) -> None:
    await make_endpoint(pool, scene)
    payloads = [
        Message(
            channel="webhook", payload={"url": "https://u:p@Example.com:444/x?y", "type": "t", "data": 1}
        ),
        Message(channel="webhook", payload={"url": "nonsense", "type": "t", "data": 1}),
        Message(channel="webhook", payload={"tenant": "acme", "type": "t", "data": 1}),
        Message(channel="webhook", payload={"tenant": "nobody", "type": "t", "data": 1}),
        Message(channel="webhook", payload={"url": None, "tenant": 7, "type": True, "data": 1}),
        Message(channel="export", payload={"dataset": "d", "record": {}}, tenant="x", type="y"),
        Message(channel="export", payload={"record": {}}),
        Message(channel="email", payload={"to": "a@example.com", "subject": "s", "text": "t"}),
    ]
    seen = []
    for keyring in (NO_KEYS, KEYRING):
        async with transaction(pool) as conn:
            ids = [each.id for each in await publish_many(conn, payloads, keyring=keyring)]
            rows = await conn.fetch(
                "select m.tenant, m.type, m.deliveries, d.destination, d.endpoint_id"
                " from postroom.message m left join postroom.delivery d on d.message_id = m.id"
                " where m.id = any ($1) order by array_position($1, m.id)",
                ids,
            )
        seen.append([tuple(row) for row in rows])
    assert seen[0] == seen[1]
    assert ("", "t", 1, "example.com:444", None) in seen[0]


async def test_a_known_key_gives_the_first_id_and_leaves_its_payload(pool: Pool) -> None:
    payloads: list[dict[str, Any]] = [{"dataset": "d", "record": {"n": n}} for n in (1, 2)]
    messages = [Message(channel="export", payload=each, key="k") for each in payloads]
    async with transaction(pool) as conn:
        first, second = [(await publish_many(conn, [each], keyring=KEYRING))[0] for each in messages]
        story = await fetch_message(conn, first.id, keyring=KEYRING)
    assert (first.id, first.new, second.new) == (second.id, True, False)
    assert story.payload["record"] == {"n": 1}


async def test_what_sql_publishes_is_sealed_by_the_job_and_delivered_either_way(
    scene: Product, pool: Pool
) -> None:
    await put_by_sql(pool)
    await scene.run("sealing", keys=(OLD,))  # the first run only notes where it is
    early = await put_by_sql(pool)
    assert await places_of(pool, PLANTED) == {"message"}
    await scene.run("sealing", keys=(OLD,))
    late = await put_by_sql(pool)
    assert await payload_of(pool, early) != await payload_of(pool, late)
    await scene.run("outbox-delivery", "sealing", keys=(OLD,))
    assert len(await scene.mailbox.wait_for(3)) == 3
    encrypted = [await payload_of(pool, each) for each in (early, late)]
    assert all(text.startswith('{"$": "sealed:1:key1:') and PLANTED not in text for text in encrypted)


async def test_a_transaction_that_commits_late_is_not_passed_over(scene: Product, pool: Pool) -> None:
    await scene.run("sealing", keys=(OLD,))
    async with pool.acquire() as late:
        async with late.transaction():
            message_id = await late.fetchval(
                "select postroom.publish('export', $1::jsonb)",
                f'{{"dataset": "d", "record": {{"n": "{PLANTED}"}}}}',
            )
            await put_by_sql(pool)
            await scene.run("sealing", keys=(OLD,))
        assert PLANTED in await payload_of(pool, message_id)
    await scene.run("sealing", keys=(OLD,))
    assert await places_of(pool, PLANTED) == set()


@pytest.mark.rows_by_hand
async def test_the_job_leaves_what_was_emptied_empty_and_seals_whatever_json_there_is(
    scene: Product, pool: Pool
) -> None:
    await scene.run("sealing", keys=(OLD,))
    odd = ["[1]", '"text"', "7", "null", "1" + "0" * 400, '{"$": "sealed:2:x"}', '{"to": 5}', '{"to": ["a"]}']
    ids = [await put_by_sql(pool, text) for text in odd]
    emptied = await put_by_sql(pool)
    await pool.execute("update postroom.message set payload = '{}' where id = $1", emptied)
    await scene.run("sealing", keys=(OLD,))
    assert await payload_of(pool, emptied) == "{}"
    for message_id in ids:
        assert (await payload_of(pool, message_id)).startswith('{"$": "sealed:1:key1:')


async def payload_of(pool: Pool, message_id: UUID | str) -> str:
    text: str = await pool.fetchval("select payload::text from postroom.message where id = $1", message_id)
    return text


async def loaded() -> None:
    """Routes and handlers are no matter here."""


async def test_without_the_key_it_waits_with_its_name_and_goes_out_with_it(
    scene: Product, pool: Pool
) -> None:
    """As in a process that a rotation has not reached yet."""
    await everything_in(scene, pool, OLD)
    await scene.run(*ALL)
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0
    waiting = await pool.fetch(
        "select channel, state, attempts, last_reason, extract(epoch from due_at - now()) as delay_s"
        " from postroom.delivery"
    )
    assert {row["channel"] for row in waiting} == {"stripe", "email", "export", "webhook"}
    assert {(row["state"], row["attempts"]) for row in waiting} == {("pending", 0)}
    assert all("'key1', which is not in POSTROOM_ENCRYPTION__KEYS" in row["last_reason"] for row in waiting)
    assert all(0 < row["delay_s"] < 7 for row in waiting)
    counted = await pool.fetch("select label from postroom.tally where label like '%/key_missing'")
    assert {row["label"] for row in counted} >= {f"{each}/key_missing" for each in ("stripe", "email")}
    # No breaker was told: whoever has the key delivers at once.
    assert await pool.fetchval("select count(*) from postroom.circuit where state <> 'closed'") == 0
    lacking = await diagnose(scene.settings(), scene.dsn, load_effects=loaded)
    found = [each for each in lacking if each.subject == "encryption"]
    assert [each.level for each in found] == ["error"]
    assert "'key1'" in found[0].text
    healthy = await diagnose(scene.settings(OLD), scene.dsn, load_effects=loaded)
    assert [each for each in healthy if each.subject == "encryption"] == []

    await pool.execute("update postroom.delivery set due_at = now()")
    await scene.run(*ALL, keys=(OLD,))
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0
    assert len(await scene.mailbox.wait_for(2)) == 2
    assert len(exported(scene, "people")) == 1


async def test_a_payload_that_was_changed_or_moved_is_never_sent(scene: Product, pool: Pool) -> None:
    messages = [Message(channel="email", payload={"to": f"{n}@example.com", "subject": "s", "text": n})
                for n in ("a", "b", "c")]  # fmt: skip
    async with transaction(pool) as conn:
        a, b, _ = await publish_many(conn, messages, keyring=KEYRING)
    await pool.execute(
        "update postroom.message set payload = (select payload from postroom.message where id = $2)"
        " where id = $1",
        a.id,
        b.id,
    )
    changed = (await payload_of(pool, b.id)).replace("sealed:1:key1:", "sealed:1:key1:AAAA")
    await pool.execute("update postroom.message set payload = $2::jsonb where id = $1", b.id, changed)
    await scene.run("outbox-delivery", keys=(OLD,))
    assert [mail.recipients for mail in await scene.mailbox.wait_for(1)] == [("c@example.com",)]
    letters = await pool.fetch("select cause, reason from postroom.dead_letter")
    assert [(row["cause"], "does not open it" in row["reason"]) for row in letters] == [("ours", True)] * 2


async def test_rotation_leaves_nothing_under_the_old_key_and_everything_readable(
    scene: Product, pool: Pool
) -> None:
    ids = await everything_in(scene, pool, OLD)
    by_sql = await put_by_sql(pool)
    await scene.run("stripe-events", keys=(OLD,))
    place = {"POSTROOM_DATABASE_URL": scene.dsn, "POSTROOM_STATE_DIR": str(scene.folder)}
    both = {**place, "POSTROOM_ENCRYPTION__KEYS": f"{NEW},{OLD}"}

    def command(*arguments: str, settings: dict[str, str] = both) -> Any:
        return run("postroom", "encryption", *arguments, "--json", home=scene.folder, settings=settings)

    before = command("status").json
    assert {(use["key"], use["state"]) for use in before} == {("key1", "known"), (None, "not sealed")}
    rotated = command("rotate", "--pace", "100000")
    assert (rotated.code, rotated.err.count("Error")) == (0, 0), rotated.err
    assert {row["table"]: row["sealed"] for row in rotated.json}["bodies"] == 1
    used = [row for row in rotated.json if row["table"] != "deployment_secret"]
    assert all(row["sealed"] > 0 and row["unreadable"] == 0 for row in used)
    assert {row["sealed"] for row in command("rotate").json} == {0}
    after = command("status", settings={**place, "POSTROOM_ENCRYPTION__KEYS": NEW})
    assert after.code == 0
    assert {(use["key"], use["state"]) for use in after.json} == {("key2", "current")}
    lost = command("status", settings={**place, "POSTROOM_ENCRYPTION__KEYS": OLD})
    assert (lost.code, {use["state"] for use in lost.json}) == (1, {"missing"})
    blind = command("rotate", settings={**place, "POSTROOM_ENCRYPTION__KEYS": OLD})
    assert (blind.code, {row["sealed"] for row in blind.json}) == (1, {0})
    keyless = command("rotate", settings=place)
    assert keyless.code == 1
    assert "postroom encryption new-key" in keyless.err

    for planted in (PLANTED, ADDRESS):
        assert await places_of(pool, planted) == set()
    assert await pool.fetchval("select action from postroom.audit order by id limit 1") == "encryption.rotate"
    keyring = keyring_of(keys(NEW))
    async with transaction(pool) as conn:
        for message_id in (*map(UUID, ids), by_sql):
            assert ADDRESS in json.encode((await fetch_message(conn, message_id, keyring=keyring)).payload)
    await scene.run(*ALL, keys=(NEW,))
    assert len(await scene.mailbox.wait_for(3)) == 3
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0


async def test_people_read_a_sealed_message_in_the_api_and_the_console(scene: Product, pool: Pool) -> None:
    await make_endpoint(pool, scene)
    async with running_api(scene.dsn, scene.settings(OLD)) as api:
        mail, _, webhook, _ = await publish_over_http(api, scene)
        shown = (await api.get(f"/v1/admin/outbox/{mail}")).json["payload"]
        assert shown == {"to": ADDRESS, "subject": PLANTED, "text": PLANTED}
        async with visitor(api) as person:
            await person.sign_in(api.token)
            assert PLANTED in (await person.get(f"/console/messages/{mail}/preview")).text
            page = (await person.post(f"/console/messages/{webhook}/reveal")).text
            assert "curl -sS -X POST" in page
            assert page.count(PLANTED) == 2
            for asked in (ADDRESS, ADDRESS.upper()):
                found = await person.get(f"/console/messages?q={asked}")
                assert (found.status, found.headers["Location"]) == (303, f"/console/messages/{mail}")
    async with running_api(scene.dsn, scene.settings(NEW)) as api:
        shown = (await api.get(f"/v1/admin/outbox/{mail}")).json["payload"]
        assert "'key1', which is not in POSTROOM_ENCRYPTION__KEYS" in shown["$unreadable"]
        async with visitor(api) as person:
            await person.sign_in(api.token)
            assert (
                "is not in POSTROOM_ENCRYPTION"
                in (await person.get(f"/console/messages/{mail}/preview")).text
            )


async def test_nobody_may_publish_what_only_looks_sealed(scene: Product) -> None:
    async with running_api(scene.dsn, scene.settings()) as api:
        payload = {"dataset": "d", "record": {}, "$": "sealed:1:key1:AAAA"}
        answer = await api.post("/v1/events", json={"channel": "export", "payload": payload})
    assert (answer.status, answer.json["field"]) == (422, "$")


async def test_a_person_is_erased_from_what_is_sealed_too(scene: Product, pool: Pool) -> None:
    await everything_in(scene, pool, OLD)
    others = [
        Message(channel="export", payload={"dataset": "d", "record": {"m": f"{each}{ADDRESS}{more}"}})
        for each, more in (("x", ""), ("a.", ""), ("", ".au"), ("", "munity"), ("+", ""))
    ]
    theirs = [
        Message(channel="export", payload={"dataset": "d", "record": {"m": text}})
        for text in (ADDRESS.upper(), f"hi\n{ADDRESS}.", ADDRESS.replace("@", "%40"))
    ]
    async with transaction(pool) as conn:
        kept = [each.id for each in await publish_many(conn, others, keyring=KEYRING)]
        gone = [each.id for each in await publish_many(conn, theirs, keyring=KEYRING)]
    await scene.run(*ALL, keys=(OLD,))
    async with running_api(scene.dsn, scene.settings()) as api:
        blind = (await api.post("/v1/admin/erasures", json={"email": ADDRESS})).json
    assert blind["messages"] == 0
    assert blind["unreadable"] > 10
    async with running_api(scene.dsn, scene.settings(OLD)) as api:
        report = (await api.post("/v1/admin/erasures", json={"email": ADDRESS})).json
    assert (report["unreadable"], report["stripe_objects"], report["open_messages"]) == (0, 1, [])
    for message_id in gone:
        assert await payload_of(pool, message_id) == "{}"
    for message_id in kept:
        assert await payload_of(pool, message_id) != "{}"
    assert await pool.fetchval("select count(*) from postroom.stripe_event where raw is not null") == 0
