"""POST /v1/events: all or nothing, ids in order, bad input named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postroom.admin.tokens import Scope
from postroom.base.settings import Settings
from tests.fixtures.api import Answer, Api, running_api

EMAIL = {"to": "a@example.com", "subject": "Hello", "text": "Hi"}


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path), Scope.EVENTS_WRITE) as running:
        yield running


def email(**fields: Any) -> dict[str, Any]:
    return {"channel": "email", "payload": EMAIL, **fields}


async def test_the_same_key_again_gives_the_first_id(api: Api) -> None:
    first = await api.post("/v1/events", json=email(key="welcome:1"))
    again = await api.post("/v1/events", json=email(key="welcome:1"))
    assert (first.status, again.status) == (201, 200)
    assert first.json["published"]
    assert again.json == {"id": first.json["id"], "published": False, "receivers": 1}
    other = await api.post("/v1/events", json=email(key="welcome:1") | {"payload": {**EMAIL, "text": "Bye"}})
    assert other.json == {**again.json, "payload_differs": True}
    assert (await api.post("/v1/events", json=email(key="welcome:1", tenant="a"))).status == 201


async def test_what_is_unique_is_told_what_has_become_of_it(api: Api) -> None:
    sent = [
        email(key="a", replace=True),
        email(),
        email(key="a", replace=True),
        email(key="b", unique_for_s=9),
    ]
    first = await api.post("/v1/events", json=sent)
    assert first.status == 201
    results = [each.get("result") for each in first.json["events"]]
    assert results == ["published", None, "replaced", "published"]
    again = await api.post("/v1/events", json=email(key="b", unique_for_s=9))
    assert (again.status, again.json["result"]) == (200, "skipped")
    assert (again.json["id"], again.json["published"]) == (first.json["events"][3]["id"], False)
    for wrong, field in (({"replace": True}, "key"), ({"key": "k", "unique_for_s": 0}, "unique_for_s")):
        refused = await api.post("/v1/events", json=email(**wrong))
        assert (refused.status, refused.json["field"]) == (422, field)


async def test_a_webhook_to_nobody_says_so(api: Api) -> None:
    await api.pool.execute(
        "insert into postroom.endpoint (tenant, url, types, secret) "
        "select 'acme', 'https://x/' || n, '{*}', 's' from generate_series(1, 2) n"
    )
    webhook = {"channel": "webhook", "payload": {"type": "order.paid", "data": {}}}
    answer = await api.post(
        "/v1/events", json=[{**webhook, "tenant": "acmee"}, {**webhook, "tenant": "acme"}]
    )
    assert answer.status == 201
    assert [event["receivers"] for event in answer.json["events"]] == [0, 2]


async def test_a_list_comes_back_in_order(api: Api) -> None:
    known = (await api.post("/v1/events", json=email(key="3"))).json["id"]
    sent = [email(key=str(number)) for number in range(1_000)]
    answer = await api.post("/v1/events", json=sent)
    assert answer.status == 201
    events = answer.json["events"]
    assert [event["published"] for event in events] == [number != 3 for number in range(1_000)]
    assert events[3]["id"] == known
    keys = {
        str(row["id"]): row["key"] for row in await api.pool.fetch("select id, key from postroom.message")
    }
    assert [keys[event["id"]] for event in events] == [str(number) for number in range(1_000)]


async def test_one_bad_event_publishes_none(api: Api) -> None:
    answer = await api.post("/v1/events", json=[email(), {"channel": "email", "payload": {"to": "nobody"}}])
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["field"].startswith("[1].")
    assert await api.pool.fetchval("select count(*) from postroom.message") == 0


async def test_many_callers_at_once_each_get_their_own_id(api: Api) -> None:
    async def publish(key: str) -> Answer:
        while (answer := await api.post("/v1/events", json=email(key=key))).status == 503:
            refused.append(answer)  # the machine is busy: nothing was taken, come again
            await asyncio.sleep(1)
        return answer

    refused: list[Answer] = []
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(publish(f"k{number % 50}") for number in range(200)))
    ids: dict[int, set[str]] = {}
    for number, answer in enumerate(answers):
        ids.setdefault(number % 50, set()).add(answer.json["id"])
    assert all(len(found) == 1 for found in ids.values())
    assert refused or sum(answer.json["published"] for answer in answers) == 50
    assert await api.pool.fetchval("select count(*) from postroom.message") == 50


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "body"),
        (b"", 400, "body"),
        (b"[]", 422, "body"),
        (b"5", 422, "body"),
        (b'{"channel": "email"}', 422, "body"),
        (b'{"channel": "fax", "payload": {}}', 422, "channel"),
        (b'{"channel": "stripe", "payload": {}}', 422, "channel"),
        (b'{"channel": "email", "payload": []}', 422, "payload"),
        (b'{"channel": "email", "payload": {}, "chanel": 1}', 422, "body"),
        (b'{"channel": "email", "payload": {}, "deliver_at": "2026-01-01T00:00:00"}', 422, "deliver_at"),
        (b'{"channel": "email", "payload": {}, "deliver_at": "9999-01-01T00:00:00Z"}', 422, "deliver_at"),
        (b'[{"channel": "email", "payload": {}, "key": ""}]', 422, "[0].key"),
        (b'{"channel": "export", "payload": {"dataset": "a", "record": {"x": "\\u0000"}}}', 422, None),
        (
            b'{"channel": "export", "payload": {"dataset": "a", "record": {"x": "\\ud800"}}}',
            400,
            "$.payload.record.x",
        ),
        (
            b'{"channel": "webhook", "payload": {"url": "http://127.0.0.1/x", "type": "a", "data": {}}}',
            422,
            None,
        ),
    ],
)
async def test_bad_input_gets_a_clear_answer(api: Api, body: bytes, status: int, field: str | None) -> None:
    answer = await api.post("/v1/events", data=body)
    assert answer.status == status, answer.text
    if field is not None:
        assert answer.json["field"] == field
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(answer.json)
    assert "Traceback" not in answer.text


async def test_a_key_of_ours_is_refused(api: Api) -> None:
    """What Stripe's events cause has keys that begin so; a taken one would make an effect a duplicate."""
    answer = await api.post("/v1/events", json={**email(), "key": "stripe:self:evt_1:receipt"})
    assert (answer.status, answer.json["field"]) == (422, "key")


@pytest.mark.parametrize("name", ["tenant", "type"])
@pytest.mark.parametrize("channel", ["webhook", "export"])
async def test_a_payload_that_contradicts_what_stands_beside_it_is_refused(
    api: Api, channel: str, name: str
) -> None:
    """Checked as b's and sent to a would be somebody else's data."""
    inside = {"tenant": "a", "type": "order.paid", "data": {}, "dataset": "d", "record": {}}
    fields = ("tenant", "type", "data") if channel == "webhook" else ("tenant", "type", "dataset", "record")
    payload = {field: inside[field] for field in fields}
    event = {"channel": channel, "tenant": "a", "type": "order.paid", "payload": payload}
    assert (await api.post("/v1/events", json=event)).status == 201
    answer = await api.post("/v1/events", json={**event, name: "b"})
    assert (answer.status, answer.json["field"]) == (422, name)


async def test_a_thousand_and_one_are_too_many(api: Api) -> None:
    answer = await api.post("/v1/events", json=[email()] * 1_001)
    assert answer.status == 422
    assert "1000" in answer.json["detail"]


async def test_a_body_beyond_the_limit_is_refused_announced_or_not(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(18):
            yield b" " * 1_048_576

    announced = await api.post("/v1/events", headers={"Content-Length": "99999999"})
    assert announced.status == 413
    streamed = await api.post("/v1/events", data=chunks())
    assert streamed.status == 413
    assert streamed.json["code"] == "too_large"


async def test_deliver_at_is_kept(api: Api) -> None:
    await api.post("/v1/events", json=email(deliver_at="2030-01-01T00:00:00Z"))
    due = await api.pool.fetchval("select due_at from postroom.delivery")
    assert due.year == 2030
