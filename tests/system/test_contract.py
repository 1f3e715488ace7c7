"""What users and alerts depend on, by the names that were promised: targets, paths, settings, the trail."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from postroom.admin.tokens import Scope
from postroom.api.admin.application import create_admin
from postroom.base import json
from postroom.base.db import Pool
from postroom.base.settings import Settings, load_settings
from postroom.cli.application import COMMANDS, load
from postroom.worker.model import JOB_NAMES
from tests.admin.subjects import dead_call
from tests.factories.outcomes import DELIVER
from tests.fixtures.api import Answer, Api, running_api
from tests.processes.commands import ROOT, run

TARGETS: Final = ("setup", "run", "demo", "test", "check", "bench", "chaos", "drill", "ci", "help")
JOBS: Final = {"outbox-delivery", "stripe-events", "email-dlq", "lease-rescue", "retention", "canary"}
SCOPES: Final = {"admin:read", "outbox:replay", "jobs:run", "events:write", "metrics:read"}
READS: Final = {
    "/v1/admin/jobs/status",
    "/v1/admin/outbox",
    "/v1/admin/outbox/{event_id}",
    "/v1/admin/outbox/dead-letter",
    "/v1/admin/queues/dead-letter",
    "/v1/admin/circuits",
}
SETTINGS: Final = {
    "DATABASE_URL": "postgresql://a@b/c?sslmode=verify-full",
    "ENV": "prod",
    "HOST": "0.0.0.0",
    "PORT": "9000",
    "STATE_DIR": "/srv/postroom",
    "METRICS_TOKEN": "metrics-metrics-",
    "STRIPE__WEBHOOK_SECRETS": "whsec_" + "a" * 20 + ",whsec_" + "b" * 20,
    "STRIPE__API_KEY": "rk_live_xxxxxxxx",
    "STRIPE__API_BASE": "http://127.0.0.1:12111",
    "EMAIL__URL": "smtp+starttls://user:pass@host:587",
    "EMAIL__FROM": "Billing <billing@example.com>",
    "EXPORTS__URL": "s3://bucket/prefix",
    "ROUTES": "/srv/routes.toml",
    "HANDLERS": "/srv/handlers.py",
}

# Every change over HTTP: method, path, body, and what the trail calls it.
Change = tuple[str, str, Any, str]
CHANGES: Final[tuple[Change, ...]] = (
    ("POST", "/v1/admin/outbox/{call}/looked-up", {"done": True}, "stripe.looked_up"),
    ("POST", "/v1/admin/outbox/{dead}/replay", None, "outbox.replay"),
    ("POST", "/v1/admin/outbox/replay", {"filter": {"cause": "ours"}}, "outbox.replay_many"),
    ("POST", "/v1/admin/outbox/{delivered}/resend", None, "outbox.resend"),
    ("POST", "/v1/admin/outbox/{later}/deliver-now", None, "outbox.deliver_now"),
    ("POST", "/v1/admin/outbox/{waiting}/cancel", None, "outbox.cancel"),
    ("POST", "/v1/admin/jobs/canary/run", None, "job.run"),
    ("POST", "/v1/admin/circuits/email", {"action": "open", "reason": "down"}, "circuit.open"),
    ("POST", "/v1/admin/circuits/email", {"action": "closed"}, "circuit.closed"),
    ("POST", "/v1/admin/circuits/email", {"action": "release"}, "circuit.release"),
    ("POST", "/v1/admin/channels/email/pause", {"reason": "wrong template"}, "channel.pause"),
    ("POST", "/v1/admin/channels/email/resume", None, "channel.resume"),
    ("POST", "/v1/admin/limits", {"channel": "email", "in_flight": 5}, "limit.set"),
    ("POST", "/v1/admin/limits/remove", {"channel": "email"}, "limit.remove"),
    ("POST", "/v1/admin/endpoints", {"tenant": "new", "url": "https://a.example/"}, "endpoint.create"),
    ("PATCH", "/v1/admin/endpoints/{endpoint}", {"description": "x"}, "endpoint.update"),
    ("POST", "/v1/admin/endpoints/{endpoint}/rotate", {}, "endpoint.rotate"),
    ("POST", "/v1/admin/endpoints/{endpoint}/park", {"reason": "x"}, "endpoint.park"),
    ("POST", "/v1/admin/endpoints/{endpoint}/discard", None, "endpoint.discard"),
    ("POST", "/v1/admin/endpoints/{endpoint}/resume", None, "endpoint.resume"),
    (
        "POST",
        "/v1/admin/endpoints/{endpoint}/recover",
        {"since": "2025-01-01T00:00:00Z"},
        "endpoint.recover",
    ),
    ("DELETE", "/v1/admin/endpoints/{endpoint}", None, "endpoint.delete"),
    ("POST", "/v1/admin/url-secrets/show", {"url": "https://a.example/hook"}, "url_secret.show"),
    ("POST", "/v1/admin/url-secrets/rotate", {"url": "https://a.example/hook"}, "url_secret.rotate"),
    ("POST", "/v1/admin/tokens", {"name": "ci", "scopes": ["admin:read"]}, "token.create"),
    ("DELETE", "/v1/admin/tokens/{token}", None, "token.revoke"),
    ("DELETE", "/v1/admin/sessions/{session}", None, "session.end"),
    ("POST", "/v1/admin/suppressions", {"address": "a@b.example", "reason": "x"}, "suppression.add"),
    ("DELETE", "/v1/admin/suppressions?address=a@b.example", None, "suppression.remove"),
    (
        "POST",
        "/v1/admin/unsubscribes",
        {"address": "a@b.example", "tenant": "acme", "category": "offers"},
        "unsubscribe.add",
    ),
    (
        "DELETE",
        "/v1/admin/unsubscribes?address=a@b.example&tenant=acme&category=offers",
        None,
        "unsubscribe.remove",
    ),
    ("POST", "/v1/admin/erasures", {"email": "ann@example.com"}, "erasure.batch"),
)
PLACES: Final = {
    **dict.fromkeys(("waiting", "later", "dead", "delivered", "call"), "event_id"),
    "endpoint": "endpoint_id",
    "token": "token_id",
    "session": "session_id",
}

# What a change could touch, and when a token was last used, which is none.
STATE: Final = """
select
    (select md5(string_agg(t::text, '|' order by t.id)) from postroom.message t) as message,
    (select md5(string_agg(t::text, '|' order by t.seq)) from postroom.delivery t) as delivery,
    (select md5(string_agg(t::text, '|' order by t.seq)) from postroom.dead_letter t) as dead_letter,
    (select md5(string_agg(t::text, '|' order by t.name)) from postroom.job t) as job,
    (select md5(string_agg(t::text, '|' order by t.name)) from postroom.circuit t) as circuit,
    (select md5(string_agg(t::text, '|')) from postroom.channel_pause t) as channel_pause,
    (select md5(string_agg(t::text, '|' order by t.id)) from postroom.delivery_limit t) as delivery_limit,
    (select md5(string_agg(t::text, '|' order by t.id)) from postroom.endpoint t) as endpoint,
    (select md5(string_agg(t::text, '|')) from postroom.signing_secret t) as signing_secret,
    (select md5(string_agg(t::text, '|' order by t.origin)) from postroom.signing_origin t) as signing_origin,
    (select md5(string_agg(t::text, '|' order by t::text)) from postroom.suppression t) as suppression,
    (select md5(string_agg(t::text, '|' order by t::text)) from postroom.unsubscribed t) as unsubscribed,
    (select md5(string_agg(t.id::text || coalesce(t.revoked_at::text, ''), '|' order by t.id))
        from postroom.token t) as token,
    (select count(*) from postroom.console_session) as console_session,
    (select md5(string_agg(t::text, '|' order by t.id)) from postroom.replay_run t) as replay_run,
    (select sum(value) from postroom.tally) as tally
"""
SIGN_IN: Final = """
insert into postroom.console_session (hash, actor, scopes)
values (sha256('x'), 'oidc:ada', '{admin:read}') returning id
"""
NO_TRAIL: Final = """
create function no_trail() returns trigger language plpgsql as $$
begin raise exception 'the trail is full' using errcode = 'disk_full'; end $$;
create trigger no_trail before insert on postroom.audit execute function no_trail()
"""
DIE: Final = """
with gone as (delete from postroom.delivery where message_id = $1 returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, 1, 'ours', 'f', 'ours' from gone
"""
MAIL: Final = """select postroom.publish('email', '{"to": "ann@example.com", "subject": "s", "text": "t"}')"""


RECORD: Final = {"dataset": "orders", "record": {"id": 42, "name": "größe"}}
NAMED: Final = {
    "key": "order:42",
    "tenant": "acme",
    "type": "order.paid",
    "correlation_id": "checkout-7",
    "ordering_key": "order-42",
    "deliver_at": "2031-05-01T12:00:00+00:00",
    "expires_at": "2031-05-01T13:00:00+00:00",
}
MOMENTS: Final = ("deliver_at", "expires_at")
PUBLISH: Final = """
select postroom.publish(channel => 'export', payload => $1::jsonb, key => $2, tenant => $3, type => $4,
    correlation_id => $5, ordering_key => $6, deliver_at => $7, expires_at => $8)
"""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


async def scene(api: Api) -> dict[str, str]:
    """One of each thing that can be changed."""
    pool = api.pool
    dead, again, waiting, later, delivered = [await pool.fetchval(MAIL) for _ in range(5)]
    call = await dead_call(pool, Path())
    await pool.execute(DELIVER, delivered)
    await pool.execute("update postroom.delivery set due_at = 'tomorrow' where message_id = $1", later)
    for message_id in (dead, again):
        await pool.execute(DIE, message_id)
    endpoint = await api.post("/v1/admin/endpoints", json={"tenant": "acme", "url": "https://a.example/"})
    await pool.execute('select postroom.publish(\'webhook\', \'{"tenant": "acme", "type": "t", "data": 1}\')')
    await pool.execute("update postroom.delivery set due_at = 'infinity' where endpoint_id is not null")
    token = await api.post("/v1/admin/tokens", json={"name": "old", "scopes": ["admin:read"]})
    return {
        "dead": str(dead),
        "delivered": str(delivered),
        "waiting": str(waiting),
        "later": str(later),
        "call": call,
        "endpoint": endpoint.json["id"] if "id" in endpoint.json else endpoint.json["endpoint"]["id"],
        "token": token.json["id"],
        "session": str(await pool.fetchval(SIGN_IN)),
    }


def test_every_target_of_make_is_there_and_explained() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    for target in TARGETS:
        assert re.search(rf"^ +make {target} +\S", shown.stdout, re.MULTILINE), target
    assert "make ci" in (ROOT / ".ci" / "run").read_text()


def test_every_setting_is_read_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"POSTROOM_{name}", value)
    settings = load_settings()
    secrets = settings.stripe.webhook_secrets
    assert settings.database_url is not None
    assert settings.metrics_token is not None
    assert settings.stripe.api_key is not None
    assert settings.email.url is not None
    assert [
        settings.database_url.get_secret_value(),
        settings.env,
        settings.host,
        str(settings.port),
        str(settings.state_dir),
        settings.metrics_token.get_secret_value(),
        ",".join(secret.get_secret_value() for secret in secrets),
        settings.stripe.api_key.get_secret_value(),
        settings.stripe.api_base,
        settings.email.url.get_secret_value(),
        settings.email.sender,
        settings.exports.url,
        str(settings.routes),
        ",".join(settings.handlers),
    ] == list(SETTINGS.values())


def test_every_command_that_lists_takes_json() -> None:
    def listing(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        for child in getattr(command, "commands", {}).values():
            yield from listing(child, f"{name} {child.name}")
        if command.name in ("list", "status", "doctor") or name in ("jobs", "endpoint"):
            yield name, command

    found = dict(pair for name in COMMANDS for pair in listing(load(name), name))
    assert set(found) >= {"jobs", "endpoint", "dead-letter list", "token list", "doctor"}
    for name, command in found.items():
        assert "--json" in [option for each in command.params for option in each.opts], name


def test_jobs_and_scopes_have_their_names() -> None:
    assert set(JOB_NAMES) >= JOBS
    assert set(Scope) >= SCOPES


async def test_every_path_answers(api: Api) -> None:
    known = await scene(api)
    for path in READS:
        answer = await api.get(path.format(event_id=known["waiting"]))
        assert answer.status == 200, (path, answer.text)
    for path, status in (("/livez", 200), ("/healthz", 200), ("/readyz", 503), ("/metrics", 200)):
        assert (await api.get(path)).status == status
    assert (await api.get("/readyz?exclude=jobs")).status == 200
    assert (await api.get("/readyz/database")).status == 200
    assert (await api.get("/console")).status == 200
    assert (await api.post("/v1/stripe/webhook")).status in (400, 503)
    assert (await api.post("/v1/events", json=[])).status == 422


WAYS: Final = ("sql", "http", "cli")


@pytest.mark.parametrize("first", WAYS)
async def test_three_ways_to_publish_mean_one_thing(api: Api, dsn: str, tmp_path: Path, first: str) -> None:
    """The same row whichever way it came; the same key by another way is the first id and no second row."""
    pool = api.pool

    async def publish(way: str) -> str:
        if way == "sql":
            values = [
                datetime.fromisoformat(value) if name in MOMENTS else value for name, value in NAMED.items()
            ]
            return str(await pool.fetchval(PUBLISH, json.encode(RECORD), *values))
        if way == "http":
            sent = {"channel": "export", "payload": RECORD, **NAMED}
            return str((await api.post("/v1/events", json=sent)).json["id"])
        options = [f"--{name.replace('_', '-')}={value}" for name, value in NAMED.items()]
        command = ("publish", "export", "--payload", json.encode(RECORD), *options)
        settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path)}
        return (
            await asyncio.to_thread(run, "postroom", *command, home=tmp_path, settings=settings)
        ).out.strip()

    ids = {await publish(first), *[await publish(way) for way in WAYS if way != first]}
    [row] = await pool.fetch(
        "select m.id::text, m.channel, m.payload #>> '{}' as payload, m.key, m.tenant, m.type, "
        "m.correlation_id, m.ordering_key, d.due_at as deliver_at, d.expires_at from postroom.message m "
        "join postroom.delivery d on d.message_id = m.id"
    )
    assert ids == {row["id"]}
    assert json.decode(row["payload"]) == RECORD
    assert row["channel"] == "export"
    assert {name: row[name].isoformat() if name in MOMENTS else row[name] for name in NAMED} == NAMED


def test_no_change_is_missing_here() -> None:
    """A new route that changes something belongs into `CHANGES`."""
    listed = {
        (method, re.sub(r"\{(\w+)\}", lambda m: "{" + PLACES[m[1]] + "}", path.partition("?")[0]))
        for method, path, _, _ in CHANGES
    }
    listed = {
        (
            m,
            p.replace("/jobs/canary/", "/jobs/{name}/")
            .replace("/circuits/email", "/circuits/{name}")
            .replace("/channels/email", "/channels/{channel}"),
        )
        for m, p in listed
    }
    document = create_admin().openapi()
    changing = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "get"
    }
    assert listed == changing


async def test_every_change_and_its_place_in_the_trail_commit_together(api: Api) -> None:
    """First with a trail that cannot be written: nothing may change. Then the same for real."""
    pool = api.pool
    known = await scene(api)
    await pool.execute(NO_TRAIL)
    for method, path, body, action in CHANGES:
        await pool.execute("alter table postroom.audit enable trigger no_trail")
        before = await pool.fetchrow(STATE)
        refused = await change(api, method, path.format(**known), body)
        assert refused.status == 503, (action, refused.text)
        assert await pool.fetchrow(STATE) == before, f"{action} changed something without its audit row"

        await pool.execute("alter table postroom.audit disable trigger no_trail")
        done = await change(api, method, path.format(**known), body)
        assert done.status < 300, (action, done.text)
        assert await pool.fetchrow(STATE) != before, f"{action} changed nothing"
        request_id = done.headers["X-Request-ID"]
        assert action in await actions(pool, request_id)


async def change(api: Api, method: str, path: str, body: Any) -> Answer:
    return await api.call(method, path, **({} if body is None else {"json": body}))


async def actions(pool: Pool, request_id: str) -> list[str]:
    rows = await pool.fetch(
        "select action from postroom.audit where request_id = $1 and actor = 'token:test'", request_id
    )
    return [row["action"] for row in rows]
