"""The admin API as the runbook uses it: ledger, dead letters, replay, jobs, circuits, endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.settings import Settings
from postroom.worker.model import JOB_NAMES
from tests.fixtures.api import Api, running_api

KILL = """
with gone as (delete from postroom.delivery where message_id = any ($1::uuid[]) returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, 1, 'ours', 'f' || $2::text, 'login refused' from gone"""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


async def publish(api: Api, count: int) -> list[str]:
    payload = {"to": "a@example.com", "subject": "Hello", "text": "Hi"}
    events = [{"channel": "email", "payload": payload, "tenant": "acme"}] * count
    answer = await api.post("/v1/events", json=events)
    assert answer.status == 201, answer.text
    return [event["id"] for event in answer.json["events"]]


@pytest.mark.parametrize("chosen", ["", "&status=pending"])
async def test_pages_neither_skip_nor_repeat(api: Api, chosen: str) -> None:
    ids = await publish(api, 25)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/v1/admin/outbox?limit=7&tenant=acme{chosen}{cursor}")).json
        seen += [item["id"] for item in page["items"]]
        assert len(seen) <= 25
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(ids, reverse=True)


async def test_a_dead_letter_is_found_replayed_once_and_audited(api: Api) -> None:
    ids = await publish(api, 3)
    await api.pool.execute(KILL, ids[:2], "1")
    found = (await api.get("/v1/admin/outbox/dead-letter?cause=ours&channel=email")).json["items"]
    assert {item["message_id"] for item in found} == set(ids[:2])
    [group] = (await api.get("/v1/admin/outbox/dead-letter?group=fingerprint")).json["groups"]
    assert (group["count"], group["sample_reason"]) == (2, "login refused")
    assert (await api.get(f"/v1/admin/outbox/{ids[0]}")).json["message"]["status"] == "dead"
    assert (await api.post(f"/v1/admin/outbox/{ids[0]}/replay")).json["replayed"] == 1
    again = await api.post(f"/v1/admin/outbox/{ids[0]}/replay")
    assert (again.status, again.json["code"]) == (409, "conflict")
    story = (await api.get(f"/v1/admin/outbox/{ids[0]}")).json
    assert story["message"]["status"] in ("pending", "retry")
    assert [attempt["outcome"] for attempt in story["attempts"]] == ["replayed"]
    [entry] = (await api.get("/v1/admin/audit?action=outbox.replay")).json["items"]
    assert (entry["actor"], entry["subject"]) == ("token:test", ids[0])


async def test_many_are_replayed_after_a_dry_run(api: Api) -> None:
    ids = await publish(api, 10)
    await api.pool.execute(KILL, ids, "1")
    body = {"filter": {"cause": "ours"}, "dry_run": True}
    preview = (await api.post("/v1/admin/outbox/replay", json=body)).json
    assert (preview["matched"], preview["replayed"]) == (10, 0)
    assert await api.pool.fetchval("select count(*) from postroom.dead_letter") == 10
    done = await api.post("/v1/admin/outbox/replay", json={"filter": {"cause": "ours"}, "limit": 6})
    assert done.json["replayed"] == 6
    assert await api.pool.fetchval("select count(*) from postroom.dead_letter") == 4
    everything = await api.post("/v1/admin/outbox/replay", json={"filter": {}})
    assert (everything.status, everything.json["field"]) == (422, "filter")


async def test_stripe_letters_are_in_the_queues_and_not_in_the_outbox(api: Api) -> None:
    stripe_id = await api.pool.fetchval("select postroom.publish('stripe', '{}')")
    await api.pool.execute(KILL, [stripe_id], "2")
    assert (await api.get("/v1/admin/outbox/dead-letter")).json["items"] == []
    queues = (await api.get("/v1/admin/queues/dead-letter")).json
    assert [item["channel"] for item in queues["items"]] == ["stripe"]
    assert queues["counts"] == [{"channel": "stripe", "cause": "ours", "count": 1}]


async def test_cancelling_takes_what_waits_and_only_once(api: Api) -> None:
    [message_id] = await publish(api, 1)
    assert (await api.post(f"/v1/admin/outbox/{message_id}/cancel")).json["cancelled"] == 1
    assert (await api.post(f"/v1/admin/outbox/{message_id}/cancel")).status == 409
    page = (await api.get("/v1/admin/outbox?status=cancelled")).json
    assert [item["id"] for item in page["items"]] == [message_id]
    assert (await api.get("/v1/admin/outbox?status=delivered")).json["items"] == []


async def test_a_webhook_to_nobody_is_a_status_of_its_own(api: Api) -> None:
    message_id = await api.pool.fetchval(
        "select postroom.publish('webhook', '{\"data\": {}}', tenant => 'mistyped', type => 'a.b')::text"
    )
    page = (await api.get("/v1/admin/outbox?status=no_receiver")).json
    assert [(item["id"], item["status"]) for item in page["items"]] == [(message_id, "no_receiver")]
    assert (await api.get("/v1/admin/outbox?status=delivered")).json["items"] == []
    assert (await api.get(f"/v1/admin/outbox/{message_id}")).json["message"]["status"] == "no_receiver"


async def test_effects_show_in_the_chain_of_their_cause(api: Api) -> None:
    cause = await api.pool.fetchval("select postroom.publish('stripe', '{}')::text")
    effect = await api.pool.fetchval(
        "select postroom.publish('export', '{}', correlation_id => $1)::text", cause
    )
    for one, other in ((cause, effect), (effect, cause)):
        chain = (await api.get(f"/v1/admin/outbox/{one}")).json["chain"]
        assert [entry["id"] for entry in chain] == [other]


async def test_every_job_is_listed_and_can_be_asked_to_run(api: Api) -> None:
    jobs = {job["name"]: job for job in (await api.get("/v1/admin/jobs/status")).json["jobs"]}
    assert set(jobs) == {*JOB_NAMES, "jobs-runner"}
    assert (await api.post("/v1/admin/jobs/canary/run")).status == 202
    requested = "select requested_at is not null from postroom.job where name = 'canary'"
    assert await api.pool.fetchval(requested)
    unknown = await api.post("/v1/admin/jobs/nightly/run")
    assert unknown.status == 404
    assert "email-dlq" in unknown.json["detail"]


async def test_a_breaker_is_held_open_and_released(api: Api) -> None:
    held = await api.post("/v1/admin/circuits/email", json={"action": "open", "reason": "provider is down"})
    assert held.status == 200
    circuits = {c["name"]: c for c in (await api.get("/v1/admin/circuits")).json["circuits"]}
    assert (circuits["email"]["state"], circuits["email"]["forced"]) == ("open", True)
    assert 'circuit_state{circuit="email"} 1.0' in (await api.get("/metrics")).text
    await api.post("/v1/admin/circuits/email", json={"action": "release"})
    circuits = {c["name"]: c for c in (await api.get("/v1/admin/circuits")).json["circuits"]}
    assert (circuits["email"]["state"], circuits["email"]["forced"]) == ("closed", False)


async def test_an_endpoint_shows_its_secret_once(api: Api) -> None:
    made = await api.post(
        "/v1/admin/endpoints",
        json={"tenant": "acme", "url": "https://example.com/hook", "types": ["invoice.*"]},
    )
    assert made.status == 201, made.text
    secret, endpoint_id = made.json["secret"], made.json["endpoint"]["id"]
    assert secret.startswith("whsec_")
    listed = await api.get("/v1/admin/endpoints?tenant=acme")
    assert [endpoint["id"] for endpoint in listed.json["items"]] == [endpoint_id]
    assert secret not in listed.text
    parked = await api.post(f"/v1/admin/endpoints/{endpoint_id}/park", json={})
    assert parked.json["state"] == "parked"
    assert (await api.post(f"/v1/admin/endpoints/{endpoint_id}/resume")).json["state"] == "enabled"
    assert (await api.post(f"/v1/admin/endpoints/{endpoint_id}/rotate", json={})).json["secret"] != secret
    assert (await api.call("DELETE", f"/v1/admin/endpoints/{endpoint_id}")).json["deleted"]
    assert (await api.get(f"/v1/admin/endpoints/{endpoint_id}")).status == 404
    trail = (await api.get("/v1/admin/audit")).json["items"]
    assert [entry["action"].partition(".")[0] for entry in trail] == ["endpoint"] * 5
    assert secret not in str(trail)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("outbox?cursor=garbage", 400, "cursor"),
        ("outbox?limit=0", 422, "limit"),
        ("outbox?limit=201", 422, "limit"),
        ("outbox?stauts=dead", 422, "stauts"),
        ("outbox?channel=fax", 422, "channel"),
        ("outbox?created_from=2026-01-01T00:00:00", 422, "created_from"),
        ("outbox?tenant=%00", 400, None),
        ("outbox/zzz", 422, "event_id"),
        ("outbox/dead-letter?cursor=WzFd", 400, "cursor"),
        ("outbox/dead-letter?channel=stripe", 400, "channel"),
    ],
)
async def test_wrong_questions_get_a_clear_answer(
    api: Api, path: str, status: int, field: str | None
) -> None:
    answer = await api.get(f"/v1/admin/{path}")
    assert (answer.status, answer.json.get("field")) == (status, field), answer.text


async def test_a_body_that_is_missing_is_named(api: Api) -> None:
    answer = await api.post("/v1/admin/tokens")
    assert (answer.status, answer.json["field"]) == (422, "body")
    assert answer.json["detail"] == "body: Field required"


async def test_the_document_names_every_admin_path(api: Api) -> None:
    document = (await api.get("/openapi.json")).json
    assert {"/v1/admin/jobs/status", "/v1/admin/outbox/{event_id}/replay"} <= set(document["paths"])
    operation = document["paths"]["/v1/admin/outbox/replay"]["post"]
    assert operation["security"] == [{"HTTPBearer": []}]


async def test_a_time_before_all_ids_is_the_beginning(api: Api) -> None:
    answer = await api.get(
        "/v1/admin/outbox?created_from=1900-01-01T00:00:00Z&created_before=9999-12-31T00:00:00Z"
    )
    assert (answer.status, answer.json["items"]) == (200, [])
