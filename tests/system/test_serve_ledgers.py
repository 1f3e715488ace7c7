"""`postroom serve` with several ledgers, one of which never answers: a request is for one of them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from postroom.admin.scopes import Scope
from postroom.admin.tokens import generate_token, insert_token
from postroom.base.db import Pool, transaction
from postroom.dev.stripe_events import encode, signed
from postroom.ledgers.directory import read_directory
from tests.fixtures.ledgers import black_hole, found, ledgers, pools, settings_of
from tests.processes.commands import Running
from tests.processes.local_postgres import wait_until

WITHIN_S = 60.0
SECRETS = {"a": "whsec_" + "first" * 6, "b": "whsec_" + "second" * 6}
MESSAGES = "select type from postroom.message where channel <> 'stripe' order by id"


class Front:
    """A process of the ledgers a, b and c, and of `dead`. `tenants`: one of each."""

    def __init__(
        self, client: aiohttp.ClientSession, pools: dict[str, Pool], tenants: dict[str, str]
    ) -> None:
        self.client, self.pools, self.tenants = client, pools, tenants

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.client.request(method, path, **options) as answer:
            text = await answer.text()
            is_json = "json" in answer.headers.get("content-type", "")
            return answer.status, json.loads(text) if is_json else text

    async def published(self) -> dict[str, list[str]]:
        return {
            name: [row["type"] for row in await pool.fetch(MESSAGES)] for name, pool in self.pools.items()
        }


def event(tenant: str, type_: str) -> dict[str, Any]:
    return {"channel": "webhook", "type": type_, "tenant": tenant, "payload": {"data": {}}}


@pytest.fixture
async def front(server_dsn: str, template: str, tmp_path: Path) -> AsyncIterator[Front]:
    async with ledgers(server_dsn, template, "a", "b", "c") as dsns, pools(dsns) as opened:
        await found(opened)
        token = generate_token()
        for pool in opened.values():
            async with transaction(pool) as conn:
                await insert_token(conn, name="test", scopes=tuple(Scope), secret=token)
        async with opened["a"].acquire() as conn:
            directory = await read_directory(conn)
        named = {directory.ledger_of(each): each for each in (f"tenant-{n}" for n in range(100))}
        with black_hole() as dead:
            settings = {
                **settings_of({**dsns, "dead": dead}),
                "POSTROOM_STATE_DIR": str(tmp_path / "state"),
                "POSTROOM_PORT": "0",
                "POSTROOM_LOG_JSON": "true",
                "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRETS["a"],
                "POSTROOM_STRIPE__LEDGER": "a",
                "POSTROOM_STRIPE__ACCOUNTS__SHOP__WEBHOOK_SECRETS": SECRETS["b"],
                "POSTROOM_STRIPE__ACCOUNTS__SHOP__LEDGER": "b",
            }
            running = Running(["serve"], home=tmp_path, settings=settings)
            try:
                up = await asyncio.to_thread(
                    wait_until, lambda: running.says("http.listening"), limit_s=WITHIN_S
                )
                assert up, running.output
                [port] = re.findall(r'"port": (\d+)', running.output)
                headers = {"Authorization": f"Bearer {token}"}
                jar = aiohttp.CookieJar(unsafe=True)  # an address, not a name
                base = f"http://127.0.0.1:{port}"
                async with aiohttp.ClientSession(base, headers=headers, cookie_jar=jar) as client:
                    yield Front(client, opened, named)
                running.process.terminate()
                assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0
            finally:
                if running.process.poll() is None:
                    running.process.kill()


async def test_a_message_goes_to_the_ledger_of_its_tenant(front: Front) -> None:
    for name, tenant in front.tenants.items():
        status, _ = await front.call("POST", "/v1/events", json=event(tenant, f"of.{name}"))
        assert status == 201
    assert await front.published() == {"a": ["of.a"], "b": ["of.b"], "c": ["of.c"]}
    of = front.tenants
    status, refused = await front.call(
        "POST", "/v1/events", json=[event(of["a"], "x"), event(of["b"], "x"), event(of["a"], "x")]
    )
    assert (status, refused["code"]) == (422, "invalid_payload")
    assert "(a: [0, 2]; b: [1])" in refused["detail"]
    status, _ = await front.call("POST", "/v1/events", json=[event(of["c"], "y"), event(of["c"], "z")])
    assert (status, (await front.published())["c"]) == (201, ["of.c", "y", "z"])


async def test_one_that_never_answers_refuses_and_the_others_do_not_wait(front: Front) -> None:
    there = {"Postroom-Ledger": "dead"}
    waiting = asyncio.create_task(front.call("POST", "/v1/events", json=event("nobody", "x"), headers=there))
    began_s = time.monotonic()
    for n in range(20):
        status, _ = await front.call("POST", "/v1/events", json=event(front.tenants["a"], f"n.{n}"))
        assert status == 201
    assert time.monotonic() - began_s < 3
    status, ready = await front.call("GET", "/readyz?exclude=jobs")
    assert (status, {name: each["status"] for name, each in ready["ledgers"].items()}) == (
        200,
        {"a": "ok", "b": "ok", "c": "ok", "dead": "failed"},
    )
    assert (await front.call("GET", "/readyz?ledger=dead"))[0] == 503
    assert (await front.call("GET", "/readyz/database?ledger=b"))[0] == 200
    began_s = time.monotonic()
    _, metrics = await front.call("GET", "/metrics")
    assert time.monotonic() - began_s < 8
    up = dict(re.findall(r'^postroom_database_up\{ledger="(\w+)"\} (\S+)$', metrics, re.MULTILINE))
    assert up == {"a": "1.0", "b": "1.0", "c": "1.0", "dead": "0.0"}
    assert 'postroom_ledger_drift{ledger="c"} 0.0' in metrics
    assert metrics.count("# TYPE postroom_database_up ") == 1
    assert re.search(r"^postroom_build_info\{version=", metrics, re.MULTILINE)
    status, refused = await waiting
    assert (status, refused["code"]) == (503, "unavailable")


async def test_the_api_is_about_the_ledger_that_is_named_or_has_the_tenant(front: Front) -> None:
    tenant = front.tenants["b"]
    body = {"tenant": tenant, "url": "https://example.com/hooks"}
    status, made = await front.call("POST", "/v1/admin/endpoints", json=body)
    assert status == 201, made
    _, listed = await front.call("GET", f"/v1/admin/endpoints?tenant={tenant}")
    assert len(listed["items"]) == 1
    for name, expected in (("b", 1), ("a", 0)):
        _, listed = await front.call("GET", "/v1/admin/endpoints", headers={"Postroom-Ledger": name})
        assert len(listed["items"]) == expected
    status, refused = await front.call("GET", "/v1/admin/jobs", headers={"Postroom-Ledger": "nowhere"})
    assert (status, "known: a, b, c, dead" in refused["detail"]) == (400, True)


async def test_stripes_events_go_to_the_ledger_of_their_account(front: Front) -> None:
    bodies = {
        name: encode(
            {
                "id": f"evt_{name}",
                "object": "event",
                "type": "a.b",
                "created": 1_700_000_000,
                "livemode": False,
                "data": {"object": {"id": "cus_1", "object": "customer"}},
            }
        )
        for name in SECRETS
    }
    for name, body in bodies.items():
        status, _ = await front.call(
            "POST", "/v1/stripe/webhook", data=body, headers=signed(body, SECRETS[name])
        )
        assert status == 200
    stored = {
        name: await pool.fetchval("select string_agg(event_id, ',') from postroom.stripe_event")
        for name, pool in front.pools.items()
    }
    assert stored == {"a": "evt_a", "b": "evt_b", "c": None}
    forged = signed(bodies["a"], "whsec_" + "nobody" * 6)
    assert (await front.call("POST", "/v1/stripe/webhook", data=bodies["a"], headers=forged))[0] == 400
    assert (await front.call("POST", "/v1/stripe/webhook", data=bodies["a"]))[0] == 400


async def test_a_tenant_that_has_moved_is_found_at_once(front: Front) -> None:
    tenant = front.tenants["a"]
    for pool in front.pools.values():
        await pool.execute(
            "insert into postroom.ledger_tenant (tenant, ledger, epoch) values ($1, 'b', 2)", tenant
        )
    status, _ = await front.call("POST", "/v1/events", json=event(tenant, "after.the.move"))
    assert (status, (await front.published())["b"]) == (201, ["after.the.move"])


async def test_the_console_shows_the_ledger_that_is_chosen(front: Front) -> None:
    origin = {"Origin": str(front.client._base_url).rstrip("/")}
    async with front.client.post(
        "/console/ledger", data={"ledger": "b"}, headers=origin, allow_redirects=False
    ) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/console")
    status, page = await front.call("GET", "/console/sign-in")
    assert status == 200
    assert '<span class="actor">b</span>' in page
    token = front.client.headers["Authorization"].removeprefix("Bearer ")
    async with front.client.post("/console/sign-in", data={"token": token}, headers=origin) as answer:
        assert (answer.status, "postroom_session_b" in answer.history[0].cookies) == (200, True)
    assert await front.pools["b"].fetchval("select count(*) from postroom.console_session") == 1
    status, _ = await front.call("POST", "/console/ledger", data={"ledger": "nowhere"}, headers=origin)
    assert status == 400
