"""POST /v1/batches, and how a batch is told: in the API, in the metrics and in the console."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from postroom.admin.tokens import Scope
from postroom.base.settings import Settings
from postroom.metrics.families import families
from postroom.metrics.gauges import read_gauges
from postroom.outbox.model import Answer as Outcome
from postroom.outbox.model import Channel, Claim, Delivered, Rejected
from tests.console.http import visitor
from tests.fixtures.api import Api, running_api
from tests.fixtures.encryption import NEW, keys
from tests.fixtures.engine import Engine, ScriptedAdapter

PATH: Final = "/v1/batches"
THEN: Final = {"channel": "task", "type": "report", "payload": {"task": "report"}}
MAIL: Final = {"to": "a@example.com", "subject": "Hello", "text": "Hi"}


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


def task(name: str, **fields: Any) -> dict[str, Any]:
    return {"channel": "task", "payload": {"task": name}, **fields}


async def state(api: Api, message_id: str) -> tuple[str, dict[str, Any] | None]:
    told = (await api.get(f"/v1/admin/outbox/{message_id}")).json
    return told["message"]["status"], told["batch"]


async def test_it_is_published_once_and_tells_how_it_stands_until_all_has_ended(dsn: str, api: Api) -> None:
    batch = {"events": [task("a", key="1"), task("dies", key="2")], "then": THEN}
    first = await api.post(PATH, json=batch)
    assert (first.status, [each["published"] for each in first.json["events"]]) == (201, [True, True])
    again = await api.post(PATH, json=batch)
    assert (again.status, again.json["then"]) == (200, None)
    follower = first.json["then"]
    counts = {"size": 2, "delivered": 0, "dead": 0, "cancelled": 0, "follows_on": "end"}
    assert await state(api, follower) == ("awaiting_batch", counts)
    [member] = (await api.get(f"/v1/admin/outbox/{first.json['events'][0]['id']}")).json["open_deliveries"]
    assert (member["batch"], member["awaits_batch"], member["parked"]) == (follower, False, False)
    for status, found in (("awaiting_batch", [follower]), ("parked", [])):
        listed = (await api.get(f"/v1/admin/outbox?status={status}")).json["items"]
        assert [each["id"] for each in listed] == found

    def answer(claim: Claim) -> Outcome:
        return Rejected("gone") if claim.body()["task"] == "dies" else Delivered()

    engine = await Engine(dsn, api.pool, ScriptedAdapter(answer, Channel.TASK)).start()
    await engine.drain()
    assert await state(api, follower) == ("delivered", counts | {"delivered": 1, "dead": 1})
    assert (await state(api, first.json["events"][0]["id"]))[1] is None


async def test_what_awaits_its_batch_is_not_told_as_parked(api: Api) -> None:
    follower = (await api.post(PATH, json={"events": [task("a")], "then": THEN, "on": "success"})).json[
        "then"
    ]
    async with api.pool.acquire() as conn:
        gauges = await read_gauges(conn)
    found = {
        (sample.name, sample.labels.get("channel")): sample.value
        for family in families(gauges)
        for sample in family.samples
    }
    assert found["postroom_tasks_awaiting_batch", None] == 1
    assert found["postroom_deliveries_parked", "task"] == 0
    async with visitor(api) as guest:
        await guest.sign_in(api.token)
        assert "1 awaiting a batch" in (await guest.get("/console")).text
        waiting = (await guest.get("/console/messages?status=awaiting_batch")).text
        assert f"/console/messages/{follower}" in waiting
        page = (await guest.get(f"/console/messages/{follower}")).text
    assert "awaits the end of its batch" in page
    assert "of 1, on success: 0 delivered, 0 dead, 0 cancelled" in page
    assert "parked" not in page


NO_BATCHES: Final[list[tuple[dict[str, Any], str]]] = [
    ({"events": []}, "events"),
    ({"events": [task("a")] * 1_001}, "events"),
    ({"events": [task("a")], "on": "often"}, "on"),
    ({"events": [task("a"), {"channel": "email", "payload": {"to": "nobody"}}]}, "events[1].to"),
    ({"events": [task("a", key="k", replace=True)]}, "events[0]"),
    ({"events": [task("a")], "then": {"channel": "email", "payload": MAIL}}, "then.channel"),
    ({"events": [task("a")], "then": {**THEN, "key": "k"}}, "then.key"),
    ({"events": [task("a")], "then": {**THEN, "payload": {"task": 7}}}, "then.task"),
]


async def test_what_is_no_batch_is_refused_with_its_field(api: Api) -> None:
    for batch, field in NO_BATCHES:
        refused = await api.post(PATH, json={"then": THEN, **batch})
        assert (refused.status, refused.json["field"]) == (422, field), refused.text
    unknown = await api.post(PATH, json={"events": [task("a")], "then": THEN, "after": THEN})
    assert (unknown.status, "unknown field `after`" in unknown.text) == (422, True)
    reader = await api.make_token(Scope.ADMIN_READ, name="reader")
    asked = await api.post(
        PATH, json={"events": [task("a")], "then": THEN}, headers={"Authorization": f"Bearer {reader}"}
    )
    assert asked.status == 403
    assert await api.pool.fetchval("select count(*) from postroom.message") == 0


async def test_with_a_key_nothing_of_it_lies_open(dsn: str, tmp_path: Path) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path, encryption=keys(NEW))) as api:
        email = {"channel": "email", "payload": MAIL}
        made = await api.post(PATH, json={"events": [email, task("a")], "then": THEN})
        assert made.status == 201, made.text
        payloads = await api.pool.fetch("select payload::text as payload from postroom.message")
    assert len(payloads) == 3
    assert all(json.loads(row["payload"])["$"].startswith("sealed:1:") for row in payloads)
