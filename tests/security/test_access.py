"""Every route with every scope, and for every tenant, over real HTTP, as `docs/reference/access.md` says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from starlette.routing import Route

from docs.generator.access import Access, matrix
from postroom.admin.scopes import Scope
from postroom.admin.tokens import insert_token
from postroom.base import json
from postroom.base.db import Pool, transaction
from postroom.base.settings import Environment, Settings
from postroom.console.access.sessions import fetch_session, open_session
from postroom.encryption.keyring import NO_KEYS
from postroom.outbox.reach import EVERYTHING, Reach
from tests.fixtures.api import Api, running_api

MARK: Final = "of-somebody-else"
NOBODY: Final = str(UUID(int=7))
REST: Final = "/console/{rest:path}"
"""Whatever else begins so, which is not found."""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(
        env=Environment.PROD,
        database_url=SecretStr(dsn),
        metrics_token=SecretStr("m" * 32),
        state_dir=tmp_path,
    )
    async with running_api(dsn, settings) as running:
        running.lift_rate_limits()
        yield running


@dataclass(frozen=True, slots=True)
class Caller:
    """One token, and a session of the console that was opened with it or has its scope."""

    api: Api
    token: str
    cookie: str
    csrf: str

    async def call(self, method: str, path: str, *, read: bool = False, form: str = "") -> tuple[int, str]:
        """Status and, where it is asked for, the body."""
        headers = {"Authorization": f"Bearer {self.token}"}
        sent: dict[str, Any] = {} if method == "GET" else {"json": {}}
        if path.startswith("/console"):
            headers = {"Cookie": f"__Host-postroom={self.cookie}", "Sec-Fetch-Site": "same-origin"}
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            sent = {} if method == "GET" else {"data": f"csrf={self.csrf}&{form}"}
        request = self.api.client.request(method, path, headers=headers, allow_redirects=False, **sent)
        async with request as response:
            return response.status, await response.text() if read else ""


async def caller(api: Api, *scopes: Scope, reach: Reach = EVERYTHING) -> Caller:
    """With a token, and a session that has its scopes and, where it is limited, its token."""
    async with transaction(api.services.pool) as conn:
        secret, token = await insert_token(conn, name=f"t{uuid4().hex[:6]}", scopes=scopes, reach=reach)
        token_id = token.id if reach.limited else None
        cookie = await open_session(
            conn, actor=token.actor, token_id=token_id, scopes=scopes, keyring=NO_KEYS
        )
        session = await fetch_session(conn, cookie, NO_KEYS)
    assert session is not None
    return Caller(api, secret, cookie, session.csrf_token)


def concrete(path: str, known: Mapping[str, str] | None = None) -> str:
    """The path with ids in place of its parameters."""
    ids = known or {}
    folder = path.removeprefix("/console/").split("/")[0]
    named = {"event_id": "messages", "endpoint_id": "webhooks", "id": folder}
    return re.sub(r"\{(\w+)(:path)?\}", lambda m: ids.get(named.get(m[1], ""), NOBODY), path)


async def test_every_route_asks_for_its_scope_and_for_no_other(api: Api) -> None:
    served = {
        (method, route.path)
        for route in api.app.routes
        if isinstance(route, Route) and route.path != REST
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    documented = api.app.state.admin.openapi()["paths"]
    served |= {(method.upper(), path) for path, methods in documented.items() for method in methods}
    rows = matrix()
    assert len({each[:2] for each in rows}) == len(rows)
    assert {each[:2] for each in rows} ^ served == {
        ("GET", f"/console/oidc/{name}") for name in ("start", "return")
    }
    callers = {scope: await caller(api, scope) for scope in Scope}
    nobody = Caller(api, "", "", "")
    wrong = []
    for each in rows:
        for scope, who in [(None, nobody), *callers.items()] if each.scope else ():
            once = await caller(api, scope) if scope and "sign-out" in each.path else who
            status, _ = await once.call(each.method, concrete(each.path))
            if not as_told(each, scope, status):
                wrong.append((each, scope, status))
    assert wrong == []


def as_told(row: Access, scope: Scope | None, status: int) -> bool:
    """Whether this answer is the table's for a caller with only this scope, or with none."""
    if scope == row.scope:
        return status not in (401, 403)
    if scope is None:
        return status == (303 if row.path.startswith("/console") else 401)
    return status == 403


SCENE: Final = """
insert into postroom.endpoint (tenant, url, types, secret)
values ($1, 'https://' || $2 || '.example/hooks', '{*}', 'whsec_' || encode(sha256($2::bytea), 'base64'))
returning id::text
"""
PUBLISH: Final = """
select postroom.publish(
    channel => c, tenant => $1, key => $2 || c || n, type => $2, correlation_id => 'chain', payload => case c
        when 'webhook' then jsonb_build_object('data', jsonb_build_object('x', $2))
        when 'email' then jsonb_build_object('to', 'ann@example.com', 'subject', $2, 'text', $2)
        else jsonb_build_object('dataset', $2, 'record', '{}'::jsonb) end)::text as id, c as channel
from unnest(array['webhook', 'email', 'export']) c, generate_series(1, 2) n order by n, c
"""
DIE: Final = """
with gone as (delete from postroom.delivery d using postroom.message m
    where m.id = d.message_id and m.tenant = $1 and m.key like '%2' returning d.*)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, endpoint_id, tenant, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, endpoint_id, tenant, 1, 'ours', $2, $2 from gone
"""


async def scene(pool: Pool, tenant: str, mark: str) -> dict[str, str]:
    """Waiting and dead messages of a tenant on every channel, an endpoint and a replay, all with its mark."""
    endpoint_id = await pool.fetchval(SCENE, tenant, mark)
    ids = [row["id"] for row in await pool.fetch(PUBLISH, tenant, mark)]
    await pool.execute(DIE, tenant, mark)
    run_id = await pool.fetchval(
        "insert into postroom.replay_run (actor, wanted, pace_per_s)"
        " values ('a', $1::text::jsonb, 1) returning id::text",
        f'{{"tenant": "{tenant}"}}',
    )
    return {"messages": ids[-1], "webhooks": endpoint_id, "replays": run_id}


LOOKS: Final = (
    "/v1/admin/outbox?status=pending",
    "/v1/admin/outbox?status=dead",
    "/v1/admin/outbox?correlation_id=chain",
    "/v1/admin/outbox?tenant=globex",
    "/v1/admin/outbox?key=of-somebody-elseemail1",
    "/v1/admin/outbox/{messages}",
    "/v1/admin/outbox/dead-letter?group=fingerprint",
    "/v1/admin/outbox/dead-letter?tenant=globex",
    "/v1/admin/endpoints?tenant=globex",
    "/console/messages?q=globex",
    "/console/messages?q=chain",
    "/console/messages?q=ann@example.com",
    "/console/messages?status=pending",
    "/console/messages?tenant=globex",
    "/console/messages/{messages}",
    "/console/dead-letters?channel=email",
    "/console/dead-letters/replay?channel=email",
    "/console/webhooks?tenant=globex",
)
"""Lists, searches and chains that would show what belongs to somebody else."""


FITTING: Final = {"refused": {403}, "checked": {404}, "within": {200, 303, 400, 403, 404, 422}}
"""What a limited token may be answered that asks for what is somebody else's."""


@pytest.mark.parametrize(
    "tenants", [("acme",), ("acme", "initech")], ids=["an index finds it", "it is sorted out"]
)
async def test_a_limited_token_sees_and_touches_only_what_is_within_its_reach(
    api: Api, tenants: tuple[str, ...]
) -> None:
    pool = api.services.pool
    own, other = await scene(pool, "acme", "of-acme"), await scene(pool, "globex", MARK)
    reach = Reach.of(tenants, None)
    who = await caller(api, *Scope, reach=reach)
    before = await pool.fetchrow(STATE)
    wrong: list[tuple[Access, int, str]] = []
    for each in matrix():
        if each.scope is None or each.path == "/console/live":
            continue
        once = await caller(api, *Scope, reach=reach) if "sign-out" in each.path else who
        status, text = await once.call(each.method, concrete(each.path, other), read=True)
        if status not in FITTING[each.limited] or MARK in text:
            wrong.append((each, status, text))
    assert wrong == []
    for path in LOOKS:
        status, text = await who.call("GET", path.format(**own), read=True)
        assert status in (200, 303), (path, text)
        assert MARK not in text, path
        assert "globex" in path or "=of-somebody-else" in path or "of-acme" in text or status == 303, path
    assert await pool.fetchrow(STATE) == before
    assert (await who.call("GET", concrete("/v1/admin/outbox/{event_id}", own)))[0] == 200
    assert (await who.call("GET", concrete("/console/webhooks/{id}", own)))[0] == 200
    assert (await who.call("GET", concrete("/console/replays/{id}", own)))[0] == 200


STATE: Final = """
select (select md5(string_agg(d::text, '|' order by d.seq)) from postroom.delivery d) as delivery,
    (select md5(string_agg(l::text, '|' order by l.seq)) from postroom.dead_letter l) as dead_letter,
    (select md5(string_agg(e::text, '|' order by e.id)) from postroom.endpoint e) as endpoint,
    (select md5(string_agg(r::text, '|' order by r.id)) from postroom.replay_run r) as replay_run
"""


async def test_a_token_of_one_channel_sees_no_other(api: Api) -> None:
    made = await scene(api.services.pool, "acme", "of-acme")
    who = await caller(api, *Scope, reach=Reach.of(None, ["email"]))
    for path in ("/v1/admin/outbox", "/v1/admin/queues/dead-letter", "/v1/admin/outbox/dead-letter"):
        _, text = await who.call("GET", path, read=True)
        assert '"email"' in text
        assert '"webhook"' not in text
        assert '"export"' not in text
    assert (await who.call("GET", concrete("/v1/admin/endpoints/{endpoint_id}", made)))[0] == 404
    assert (await who.call("GET", "/v1/admin/endpoints", read=True))[1].startswith('{"items":[]')


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"channel": "export", "tenant": "acme", "payload": {"dataset": "d", "record": {}}}, 201),
        ({"channel": "webhook", "payload": {"tenant": "acme", "type": "t", "data": {}}}, 201),
        ({"channel": "export", "tenant": "globex", "payload": {"dataset": "d", "record": {}}}, 403),
        ({"channel": "webhook", "payload": {"tenant": "globex", "type": "t", "data": {}}}, 403),
        ({"channel": "export", "payload": {"dataset": "d", "record": {}}}, 403),
        ({"channel": "webhook", "payload": {"url": "https://x.example/", "type": "t", "data": {}}}, 403),
        (
            {
                "channel": "email",
                "tenant": "acme",
                "payload": {"to": "a@b.example", "subject": "s", "text": "t"},
            },
            403,
        ),
    ],
)
async def test_it_publishes_for_its_tenants_on_its_channels_alone(
    api: Api, event: dict[str, Any], status: int
) -> None:
    who = await caller(api, Scope.EVENTS_WRITE, reach=Reach.of(["acme"], ["webhook", "export"]))
    fine = {"channel": "export", "tenant": "acme", "payload": {"dataset": "d", "record": {}}}
    headers = {"Authorization": f"Bearer {who.token}"}
    for sent in (event, [fine, event]):
        answer = await api.post("/v1/events", json=sent, headers=headers)
        assert answer.status == status, answer.text
    assert bool(await api.services.pool.fetchval("select count(*) from postroom.message")) == (status == 201)


async def test_of_a_batch_all_must_be_within_its_reach_and_what_follows_too(api: Api) -> None:
    fine = {"channel": "export", "tenant": "acme", "payload": {"dataset": "d", "record": {}}}
    then = {"channel": "task", "tenant": "acme", "payload": {"task": "report"}}
    for channels, event, status in (
        (["export"], fine, 403),
        (["export", "task"], {**fine, "tenant": "globex"}, 403),
        (["export", "task"], fine, 201),
    ):
        who = await caller(api, Scope.EVENTS_WRITE, reach=Reach.of(["acme"], channels))
        headers = {"Authorization": f"Bearer {who.token}"}
        answer = await api.post("/v1/batches", json={"events": [event], "then": then}, headers=headers)
        assert answer.status == status, answer.text
    assert await api.services.pool.fetchval("select count(*) from postroom.message") == 2


async def test_it_makes_no_endpoint_and_replays_nothing_beyond_its_reach(api: Api) -> None:
    pool = api.services.pool
    await scene(pool, "acme", "of-acme")
    await scene(pool, "globex", MARK)
    who = await caller(api, *Scope, reach=Reach.of(["acme", "initech"], None))
    headers = {"Authorization": f"Bearer {who.token}"}
    wanted = {"tenant": "globex", "url": "https://a.example/"}
    assert (await api.post("/v1/admin/endpoints", json=wanted, headers=headers)).status == 403
    form = "tenant=globex&url=https%3A%2F%2Fa.example%2F"
    assert (await who.call("POST", "/console/webhooks/create", form=form))[0] == 403
    for wanted in ({"cause": "ours"}, {"tenant": "globex"}):
        answer = await api.post("/v1/admin/outbox/replay", json={"filter": wanted}, headers=headers)
        assert answer.status == 200, answer.text
        assert MARK not in answer.text
    status, _ = await who.call("POST", "/console/dead-letters/start", form="channel=email")
    assert status == 409
    left = await pool.fetch("select tenant, count(*) as n from postroom.dead_letter group by 1")
    assert {row["tenant"]: row["n"] for row in left} == {"globex": 3}
    runs = await pool.fetch("select wanted::text from postroom.replay_run where actor like 'token:%'")
    assert ["initech" in row["wanted"] for row in runs] == [True]


async def test_its_replays_are_shown_behind_newer_ones_of_others(api: Api) -> None:
    pool = api.services.pool
    own, *others = [(await scene(pool, tenant, tenant))["replays"] for tenant in ("acme", *["globex"] * 3)]
    await pool.execute("update postroom.replay_run set state = 'paused'")
    who = await caller(api, *Scope, reach=Reach.of(["acme"], None))
    status, text = await who.call("GET", "/console/dead-letters", read=True)
    assert status == 200
    assert own in text
    assert not any(each in text for each in others)


async def test_a_payload_is_shown_to_its_scope_alone_and_the_trail_says_to_whom(api: Api, pool: Pool) -> None:
    """By the API, on the page, as a mail and as a signed command."""
    await scene(pool, "acme", "of-acme")
    for row in await pool.fetch("select id::text, channel from postroom.message where key like '%1'"):
        paths = [concrete(path, {"messages": row["id"]}) for path in SHOWN]
        for scopes in ((Scope.ADMIN_READ,), (Scope.ADMIN_READ, Scope.PAYLOAD_READ)):
            who = await caller(api, *scopes)
            await pool.execute("delete from postroom.audit")
            shown = [await who.call("POST" if "reveal" in path else "GET", path, read=True) for path in paths]
            trail = await pool.fetch("select action, subject from postroom.audit order by id")
            looked = [(each["action"], each["subject"]) for each in trail if each["action"] != "auth.refused"]
            answer = json.decode(shown[0][1])
            if Scope.PAYLOAD_READ in scopes:
                assert [status for status, _ in shown] == [200] * 4
                assert (bool(answer["payload"]), answer["payload_hidden"]) == (True, False)
                assert looked == [(f"message.{how}", row["id"]) for how in ("reveal", "reveal", "preview")]
                assert ("webhook-signature" in shown[2][1]) == (row["channel"] == "webhook")
            else:
                assert [status for status, _ in shown] == [200, 200, 403, 403]
                assert (answer["payload"], answer["payload_hidden"]) == (None, True)
                assert looked == []


SHOWN: Final = (
    "/v1/admin/outbox/{event_id}",
    "/console/messages/{id}",
    "/console/messages/{id}/reveal",
    "/console/messages/{id}/preview",
)
"""The second one never shows a payload."""
