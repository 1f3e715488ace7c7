"""What a page says is so: breakers by their receivers, jobs that fell silent, who is signed in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postroom.admin.tokens import Scope
from postroom.base.settings import Settings, WebhookSettings
from postroom.console.pages.audit import place_of
from postroom.console.pages.jobs import job_health
from postroom.console.pages.runbooks import read, to_html
from postroom.console.pages.settings import setting_rows
from postroom.console.routes import ACTIONS
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.model import Cause
from postroom.worker.model import JobStatus
from tests.console.http import Visitor, visitor
from tests.console.scene import Scene
from tests.fixtures.api import Api, running_api

NOW = datetime.now(UTC)
READERS = {"theme", "sign-out", "sign-out-everywhere", "reveal"}


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def somebody(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as guest:
        await guest.sign_in(api.token)
        yield guest


async def test_a_webhook_to_nobody_is_told(api: Api, somebody: Visitor) -> None:
    message_id = await api.pool.fetchval(
        "select postroom.publish('webhook', '{\"data\": {}}', tenant => 'mistyped', type => 'a.b')::text"
    )
    await check_ledger(api.pool)
    for path in ("status=no_receiver", "status=no_receiver&tenant=mistyped", "q=mistyped"):
        answer = await somebody.get(f"/console/messages?{path}")
        assert answer.status == 303 or (message_id in answer.text and "no-receiver" in answer.text), path
    for path in ("status=delivered", "status=delivered&tenant=mistyped", "status=cancelled"):
        assert message_id not in (await somebody.get(f"/console/messages?{path}")).text
    page = (await somebody.get(f"/console/messages/{message_id}")).text
    assert "Nobody listened" in page
    assert "/console/webhooks?tenant=mistyped" in page
    assert "1 had no receiver" in (await somebody.get("/console")).text


async def test_what_fails_again_and_again_is_told_on_the_first_page(api: Api, somebody: Visitor) -> None:
    mail = '{"to": "a@example.com", "subject": "s", "text": "t"}'
    await api.pool.execute("select postroom.publish('email', $1)", mail)
    await api.pool.execute(
        "update postroom.delivery set state = 'retry', attempts = 3, last_reason = 'no such template'"
    )
    page = (await somebody.get("/console")).text
    assert "1 email delivery fails again and again (3 attempts): no such template" in page
    assert "/console/runbooks/DeliveriesFailing" in page
    assert "no such template" in (await somebody.get("/console/messages?status=retry&channel=email")).text


async def test_the_breaker_of_a_receiver_is_told_wherever_the_receiver_is(scene: Scene) -> None:
    scene.broken.behaviour = "status/503"
    await scene.webhooks("globex", 12)
    await scene.wait_for(
        "select count(*) from postroom.circuit where name like 'webhook:%' and state <> 'closed'", 1
    )
    await scene.wait_for("select count(*) from postroom.delivery where worker is null", 12)  # all are settled
    pool = scene.api.pool
    endpoint_id = await pool.fetchval("select id from postroom.endpoint where tenant = 'globex'")
    await pool.execute("update postroom.delivery set attempts = 7, due_at = now() where state = 'retry'")
    await pool.execute(
        """with gone as (delete from postroom.delivery where worker is null returning *)
        insert into postroom.dead_letter (message_id, n, seq, channel, destination, endpoint_id, attempts,
            cause, fingerprint, reason)
        select message_id, n, seq, channel, destination, endpoint_id, 8, 'passing', 'f', 'answered 503'
        from gone"""
    )
    async with visitor(scene.api) as guest:
        await guest.sign_in(scene.api.token)
        overview = (await guest.get("/console")).text
        assert f"1 receiver fails: {scene.broken.url()}." in overview
        row = _row((await guest.get("/console/webhooks")).text, scene.broken.url())
        assert re.search(r'data-label="Breaker"><span class="tag (bad|warn)">', row), row
        page = (await guest.get(f"/console/webhooks/{endpoint_id}")).text
        assert re.search(r"<dt>Breaker</dt><dd><span class=\"tag (bad|warn)\">", page)
        assert "answered 503" in page
        assert scene.broken.url() in _row((await guest.get("/console/circuits")).text, f"{endpoint_id}")
        dry = _row((await guest.get("/console/dead-letters/replay?channel=webhook")).text, scene.broken.url())
        assert re.search(r"breaker <span class=\"tag (bad|warn)\">", dry), dry


async def test_a_mail_is_named_by_its_template_and_a_timeline_by_its_day(api: Api, somebody: Visitor) -> None:
    message_id = await api.pool.fetchval(
        """select postroom.publish(channel => 'email', payload =>
            '{"to": "a@example.com", "template": "welcome", "data": {}}')"""
    )
    assert "welcome" in _row((await somebody.get("/console/messages")).text, str(message_id))
    page = (await somebody.get(f"/console/messages/{message_id}")).text
    assert "<bdi>welcome</bdi>" in page
    assert f"<strong>{datetime.now(UTC):%Y-%m-%d}</strong>" in page
    assert "a@example.com" not in page


async def test_what_is_parked_is_not_delivered_now(api: Api, somebody: Visitor) -> None:
    pool = api.pool
    message_id = await pool.fetchval("select postroom.publish(channel => 'email', payload => '{}')")
    assert "Deliver now" in (await somebody.get(f"/console/messages/{message_id}")).text
    await pool.execute("update postroom.delivery set due_at = 'infinity'")
    page = (await somebody.get(f"/console/messages/{message_id}")).text
    assert "Deliver now" not in page
    assert "Cancel" in page


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (Cause.PASSING, "It may work when tried again"),
        (Cause.PERMANENT, "It will fail again unless"),
        (Cause.OURS, "Something on our side is wrong"),
        (Cause.EXPIRED, "Its time was over before it could be delivered"),
    ],
)
async def test_every_cause_says_what_to_do(api: Api, somebody: Visitor, cause: Cause, told: str) -> None:
    pool = api.pool
    message_id = await pool.fetchval("select postroom.publish(channel => 'email', payload => '{}')")
    await pool.execute(
        """with gone as (delete from postroom.delivery returning *)
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
        select message_id, n, seq, channel, destination, 1, $1, 'f', 'because' from gone""",
        cause,
    )
    assert told in (await somebody.get(f"/console/messages/{message_id}")).text
    assert "because" in (await somebody.get(f"/console/dead-letters?cause={cause}")).text


async def test_many_open_breakers_are_one_line_and_their_page_is_paged(api: Api, somebody: Visitor) -> None:
    await api.pool.execute(
        """insert into postroom.circuit (name, state, reason, opened_at, retry_at)
        select 'webhook:host' || lpad(n::text, 3, '0'), 'open', 'down', now(), now()
        from generate_series(1, 120) n"""
    )
    overview = (await somebody.get("/console")).text
    assert "120 receivers fail: webhook:host001, webhook:host002, webhook:host003 and 117 more." in overview
    assert len(overview) < 60_000
    first = (await somebody.get("/console/circuits?state=open")).text
    cursor = re.search(r"cursor=([\w-]+)", first)
    assert cursor is not None
    second = (await somebody.get(f"/console/circuits?state=open&cursor={cursor[1]}")).text
    assert ("host050" in first, "host051" in first, "host051" in second) == (True, False, True)


async def test_a_wrong_filter_does_not_take_the_way_back_away(api: Api, somebody: Visitor) -> None:
    answer = await somebody.get("/console/messages?channel=fax")
    assert answer.status == 400
    assert 'href="/console/dead-letters"' in answer.text
    assert "Sign out" in answer.text
    async with visitor(api) as stranger:
        assert "Sign out" not in (await stranger.get("/console/static/x/none.css")).text


async def test_retries_and_pending_are_counted_apart(api: Api, somebody: Visitor) -> None:
    pool = api.pool
    for _ in range(3):
        await pool.execute("select postroom.publish(channel => 'email', payload => '{}')")
    await pool.execute(
        """update postroom.delivery set state = 'retry', attempts = 1
        where message_id = (select message_id from postroom.delivery limit 1)"""
    )
    page = (await somebody.get("/console")).text
    assert ">2 pending</a>" in page
    assert ">1 retry</a>" in page


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (JobStatus("j"), "never ran"),
        (JobStatus("j", last_heartbeat_at=NOW, last_success_at=NOW, every_s=30), "well"),
        (JobStatus("j", last_heartbeat_at=NOW - timedelta(minutes=6), every_s=30), "silent"),
        (JobStatus("j", last_heartbeat_at=NOW - timedelta(minutes=12), every_s=600), "well"),
        (JobStatus("j", last_heartbeat_at=NOW - timedelta(hours=1), paused=True), "paused"),
        (JobStatus("j", last_heartbeat_at=NOW, consecutive_failures=2), "failing"),
        (JobStatus("j", last_heartbeat_at=NOW, last_success_at=NOW - timedelta(minutes=16)), "stale"),
        (JobStatus("j", last_heartbeat_at=NOW, running_since=NOW, every_s=30), "running"),
    ],
)
def test_a_job_that_fell_silent_is_not_well(job: JobStatus, word: str) -> None:
    assert job_health(job, NOW) == word


def test_a_secret_that_is_not_set_is_not_said_to_be() -> None:
    rows = {row.name: row.value for row in setting_rows(Settings())}
    assert rows["POSTROOM_OIDC__CLIENT_SECRET"] == "not set"


def test_a_runbook_page_leads_to_the_next_one_and_has_its_tables() -> None:
    page = to_html(read("JobStale"))
    assert '<a href="/console/runbooks/JobsRunnerSilent">JobsRunnerSilent</a>' in page
    assert "<td><code>canary</code></td>" in page
    assert "](" not in page
    assert "<a" not in to_html("[x](javascript:alert) [y](//evil.md) [z](../Secret.md)")


@pytest.mark.parametrize(
    ("action", "subject", "place"),
    [
        ("message.reveal", "no id", None),
        ("message.reveal", "01a21046-f2a3-76f9-ae60-3be9d80aad80", "messages"),
        ("outbox.replay_many", "01a21046-f2a3-76f9-ae60-3be9d80aad80", "replays"),
        ("replay.undo", "01a21046-f2a3-76f9-ae60-3be9d80aad80", "replays"),
        ("endpoint.park", "01a21046-f2a3-76f9-ae60-3be9d80aad80", "webhooks"),
        ("job.run", "canary", "jobs"),
        ("job.run", "../x", None),
        ("token.create", "01a21046-f2a3-76f9-ae60-3be9d80aad80", None),
    ],
)
def test_the_trail_leads_to_what_it_is_about(action: str, subject: str, place: str | None) -> None:
    assert place_of(action, subject) == (f"/console/{place}/{subject}" if place else None)


async def test_who_may_only_read_is_shown_no_action_and_every_one_is_refused(
    api: Api, somebody: Visitor
) -> None:
    pool = api.pool
    message_ids = [
        await pool.fetchval("select postroom.publish(channel => 'email', payload => '{}')") for _ in range(2)
    ]
    await pool.execute(
        """with gone as (delete from postroom.delivery where message_id = $1 returning *)
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
        select message_id, n, seq, channel, destination, 1, 'ours', 'f', 'r' from gone""",
        message_ids[0],
    )
    made = await api.post("/v1/admin/endpoints", json={"tenant": "t", "url": "https://example.com/"})
    endpoint_id = made.json["endpoint"]["id"]
    pages = [
        "", "/messages", *(f"/messages/{each}" for each in message_ids), "/dead-letters",
        "/dead-letters/replay?channel=email", "/stripe", "/webhooks", f"/webhooks/{endpoint_id}", "/jobs",
        "/customers", "/jobs/canary", "/circuits", "/channels", "/settings", "/tokens", "/audit",
    ]  # fmt: skip
    async with visitor(api) as reader:
        await reader.sign_in(await api.make_token(Scope.ADMIN_READ, name="reader"))
        for mighty, guest in ((True, somebody), (False, reader)):
            shown = {
                action for page in pages for action in _actions((await guest.get(f"/console{page}")).text)
            }
            assert bool(shown - READERS) == mighty, shown - READERS
        for path, scope, *_ in ACTIONS:
            if scope != Scope.ADMIN_READ:
                answer = await reader.post(
                    f"/console{path}".format(id=message_ids[0], name="canary", channel="email")
                )
                assert (answer.status, str(scope) in answer.text) == (403, True), path


def _actions(page: str) -> set[str]:
    """The last word of the address of each form that changes something."""
    forms = [form for form in re.findall(r"<form ([^>]*)>", page) if 'method="post"' in form]
    return {found[1].rpartition("/")[2] for form in forms if (found := re.search(r'action="([^"]+)"', form))}


def _row(page: str, text: str) -> str:
    """The first row of a table that holds the text."""
    rows = [row for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if text in row]
    assert rows, f"no row says {text}"
    return str(rows[0])


async def test_an_endpoint_that_is_a_broker_takes_a_login_shows_none_and_tells_its_last_answer(
    tmp_path: Path, dsn: str
) -> None:
    origin = "redis://192.0.2.1:6379"
    settings = Settings(
        state_dir=tmp_path, webhook=WebhookSettings(allow_private=True, brokers={origin: ["acme"]})
    )
    async with running_api(dsn, settings) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        form = [("tenant", "acme"), ("url", f"{origin}/orders"), ("types", "*"), ("login", "ann:example-one")]
        made = await guest.post("/console/webhooks/create", form)
        assert made.status == 200, made.text
        place = f"/console/webhooks/{await api.pool.fetchval('select id from postroom.endpoint')}"
        changed = await guest.post(f"{place}/rotate", [("login", "ann:example-two")])
        assert "example-" not in made.text + changed.text
        assert await api.pool.fetchval("select secret from postroom.endpoint") == "ann:example-two"
        message_id = await api.pool.fetchval(
            "select postroom.publish('webhook', '{\"data\": 1}', tenant => 'acme', type => 'a')"
        )
        await api.pool.execute(
            """insert into postroom.attempt
                (message_id, n, channel, attempt, outcome, code, reason, endpoint_id)
            select $1, 0, 'webhook', 1, 'unknown', 'timeout', 'no acknowledgement within the time limit', id
            from postroom.endpoint""",
            message_id,
        )
        page = (await guest.get(place)).text
        assert "Change the login" in page
        assert "no acknowledgement within the time limit" in page


async def test_a_tenant_that_others_would_wait_behind_is_named(api: Api, somebody: Visitor) -> None:
    assert "much of one tenant" not in (await somebody.get("/console/channels")).text
    await api.pool.execute(
        """select postroom.publish('email', '{"to": "a@example.com", "subject": "s", "text": "t"}',
            tenant => 'acme') from generate_series(1, 60)"""
    )
    await api.pool.execute("update postroom.delivery set due_at = now() - interval '1 minute'")
    page = (await somebody.get("/console/channels")).text
    assert "much of one tenant" in page
    assert "of the tenant acme" in page
