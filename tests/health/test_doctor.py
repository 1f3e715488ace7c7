"""The doctor finds what is wrong and names the command that mends it."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from drill.certificate import write_certificate
from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.migrate import migrate
from postroom.base.settings import UP_ENVIRONMENT, Settings, WebhookSettings
from postroom.channels.webhooks.endpoints import create_endpoint
from postroom.health import doctor
from postroom.health.findings import Finding, Level
from postroom.health.host import check_certificates
from postroom.health.instance import LOCK_NAME, only_one
from postroom.wiring import open_effects, open_services, open_worker
from tests.fixtures.roles import as_role


async def diagnose(settings: Settings, dsn: str) -> list[Finding]:
    async def load_effects() -> None:
        async with open_effects(settings):
            return

    return await doctor.diagnose(settings, dsn, load_effects=load_effects)


def about(findings: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


async def test_a_database_that_is_away_is_the_first_finding(tmp_path: Path) -> None:
    dsn = "postgresql://postroom:hidden-password@127.0.0.1:1/postroom"
    findings = await diagnose(Settings(state_dir=tmp_path), dsn)
    assert (findings[0].subject, findings[0].level) == ("database", Level.ERROR)
    assert len(findings) > 1
    assert "hidden-password" not in str(findings)
    assert findings[0].command == "postroom up"


async def test_settings_of_a_stack_that_ended_are_dropped_before_the_next_one(tmp_path: Path) -> None:
    """`postroom up` would take the address that does not answer, and fail for it."""
    dsn = "postgresql://postroom@127.0.0.1:1/postroom"
    named = Settings(state_dir=tmp_path, database_url=SecretStr(dsn))
    away = (await diagnose(named, dsn))[0]
    assert away.command == "unset $(env | grep -o '^POSTROOM_[A-Z_]*'); postroom up"


async def test_a_fresh_database_lacks_only_a_runner(dsn: str, tmp_path: Path) -> None:
    findings = await diagnose(Settings(state_dir=tmp_path), dsn)
    errors = {finding.subject: finding.command for finding in findings if finding.level is Level.ERROR}
    assert errors == {"jobs-runner": "postroom work", "workers": "postroom work"}
    assert about(findings, "migrations")[0].level is Level.OK


@pytest.mark.rows_by_hand
async def test_a_schema_that_is_missing_or_behind_names_the_command(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute("drop schema postroom cascade")
    [finding] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "migrations")
    assert (finding.level, finding.command) == (Level.ERROR, "postroom migrate")


async def test_it_names_who_holds_a_long_transaction(dsn: str, tmp_path: Path) -> None:
    holder = await asyncpg.connect(dsn, server_settings={"application_name": "forgotten report"})
    try:
        await holder.execute("begin")
        pid = await holder.fetchval("select pg_backend_pid()")
        watcher = await asyncpg.connect(as_role(dsn, "api"))
        [finding] = await doctor._transactions(watcher, older_than_s=0.0)
        await watcher.close()
    finally:
        await holder.close()
    assert f"pg_terminate_backend({pid})" in str(finding.command)
    assert "forgotten report" in finding.text


async def test_a_login_that_does_not_see_other_sessions_is_told_so(dsn: str) -> None:
    """The alert would be blind, and nobody would know."""
    api = await asyncpg.connect(as_role(dsn, "api"))
    owner = await asyncpg.connect(dsn)
    login = await api.fetchval("select session_user::text")
    await owner.execute(f"revoke pg_read_all_stats from {login}")
    try:
        [finding] = await doctor._transactions(api)
    finally:
        await owner.execute(f"grant pg_read_all_stats to {login}")
    await api.close()
    await owner.close()
    assert finding.command == f"psql -c 'grant pg_read_all_stats to \"{login}\"'"


async def test_a_misspelt_setting_and_those_of_a_running_stack_are_named(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTROOM_EMAIL__FORM", "a@example.com")
    (tmp_path / UP_ENVIRONMENT).touch()
    with only_one(tmp_path) as holder:
        holder.tell("http://127.0.0.1:8000")
        misspelt, lacking = about(await diagnose(Settings(state_dir=tmp_path), dsn), "settings")
    assert "did you mean POSTROOM_EMAIL__FROM?" in misspelt.text
    assert lacking.command == f"set -a; . {tmp_path / UP_ENVIRONMENT}; set +a"


@pytest.mark.parametrize("now", ["nobody's", "another program's"])
async def test_settings_that_a_killed_stack_left_behind_are_not_pointed_at(
    dsn: str, tmp_path: Path, now: str
) -> None:
    """Its process number is nobody's any more, or another program's that holds no lock."""
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    pid = ended.pid if now == "nobody's" else os.getpid()
    (tmp_path / UP_ENVIRONMENT).touch()
    (tmp_path / LOCK_NAME).write_text(f'{{"pid": {pid}, "url": "http://127.0.0.1:8000"}}')
    found = about(await diagnose(Settings(state_dir=tmp_path), dsn), "settings")
    assert "no way out for mail: emails wait" in [finding.text for finding in found]
    assert UP_ENVIRONMENT not in str([finding.command for finding in found])


DEAD = """
    insert into postroom.dead_letter
        (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
    values (gen_random_uuid(), 0, 1, $1, 'd', 1, $2, 'f', 'login refused')"""


@pytest.mark.rows_by_hand
@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (("email", "passing"), "postroom jobs run email-dlq"),
        (("email", "ours"), "postroom replay --channel email --cause ours --dry-run"),
        (("webhook", "passing"), "postroom replay --channel webhook --cause passing --dry-run"),
        (("export", "passing"), "postroom replay --channel export --cause passing --dry-run"),
        (("stripe", "ours"), "postroom replay --channel stripe --cause ours --dry-run"),
        (("webhook", "permanent"), "postroom dead-letter list --channel webhook --cause permanent"),
    ],
)
async def test_dead_letters_come_with_the_command_that_sends_those(
    dsn: str, pool: Pool, tmp_path: Path, kind: tuple[str, str], command: str
) -> None:
    """The job `email-dlq` would do nothing about a dead webhook, and say that it is done."""
    await pool.execute(DEAD, *kind)
    [dead] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "dead letters")
    assert (dead.text, dead.command) == ("1 on {}, cause {}".format(*kind), command)


@pytest.mark.rows_by_hand
async def test_every_breaker_that_is_not_as_it_should_be_has_a_command(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute("insert into postroom.job (name, beat_at) values ('jobs-runner', now())")
    await pool.execute("update postroom.circuit set state = 'open', retry_at = now(), reason = '535'")
    await pool.execute("""
        insert into postroom.circuit (name, state, retry_at)
        values ('webhook:a"; true', 'open', now()), ('webhook:b', 'open', now())""")
    findings = await diagnose(Settings(state_dir=tmp_path), dsn)
    [email] = about(findings, "circuit email")
    assert (email.level, email.command) == (Level.ERROR, "postroom work --job email-dlq --once")
    assert "535" in email.text
    [stripe] = about(findings, "circuit stripe")
    assert str(stripe.command).endswith('/v1/admin/circuits/stripe"')
    [receivers] = about(findings, "receivers")
    assert "2 receivers fail" in receivers.text
    assert str(receivers.command).endswith('/v1/admin/circuits/webhook:a%22%3B%20true"'), "safe at a shell"

    await pool.execute("update postroom.circuit set state = 'closed', forced = true, retry_at = null")
    [held] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "circuit email")
    assert "held closed by a person" in held.text
    assert str(held.command).endswith('/v1/admin/circuits/email"')


@pytest.mark.rows_by_hand
async def test_parked_endpoints_are_named_with_what_waits(dsn: str, pool: Pool, tmp_path: Path) -> None:
    endpoint_id = await pool.fetchval("""
        insert into postroom.endpoint (tenant, url, types, secret, state, parked_reason)
        values ('acme', 'https://example.com', '{*}', 'whsec_hidden', 'parked', 'gone')
        returning id""")
    await pool.execute("select postroom.publish('webhook', '{\"data\": {}}', tenant => 'acme', type => 'a')")
    settings = Settings(state_dir=tmp_path, email=EmailSettings(url=SecretStr("smtp://localhost")))
    findings = await diagnose(settings, dsn)
    [parked] = about(findings, "endpoints")
    assert "acme is parked (gone), 1 wait" in parked.text
    assert str(endpoint_id) in str(parked.command)
    assert "whsec_hidden" not in str(findings)
    assert not [f for f in about(findings, "settings") if "mail" in f.text]
    await pool.execute("update postroom.endpoint set disabled_at = now()")
    [disabled] = about(await diagnose(settings, dsn), "endpoints")
    assert "acme is disabled (gone), 1 wait and nothing new is queued" in disabled.text


async def test_a_login_that_may_not_look_is_told_from_a_database_that_is_away(
    dsn: str, tmp_path: Path
) -> None:
    *_, told = about(await diagnose(Settings(state_dir=tmp_path), as_role(dsn, "runner")), "database")
    assert told.level is Level.ERROR
    assert (
        told.text
        == "this login may not look at all of it (permission denied for view living_token); the API's may"
    )


async def test_a_process_that_may_too_much_is_told(dsn: str, pool: Pool, tmp_path: Path) -> None:
    """Each as it signs in: nothing of those in their roles, whatever the person at the keyboard may do."""
    settings = Settings(state_dir=tmp_path)
    subject = "database roles"
    async with open_services(settings, as_role(dsn, "api")) as api, api.pool.acquire():
        async with open_worker(settings, as_role(dsn, "runner"), role="jobs-runner"):
            await pool.close()  # its sessions are called as those of the API
            assert about(await diagnose(settings, dsn), subject) == []
        async with open_worker(settings, as_role(dsn, "owner"), role="jobs-runner"):
            [told] = about(await diagnose(settings, dsn), subject)
            assert (told.level, told.command) == (Level.WARNING, "postroom migrate --roles")
            assert told.text.startswith("The runner signs in to the database as postroom_login_owner_")
            assert told.text.endswith(", which owns the schema")
    async with open_services(settings, dsn) as api, api.pool.acquire():
        [told] = about(await diagnose(settings, dsn), subject)
        assert told.text.endswith(", which is a superuser")


@pytest.mark.rows_by_hand
async def test_it_judges_as_the_console_does(dsn: str, pool: Pool, tmp_path: Path) -> None:
    await pool.execute("insert into postroom.job (name, beat_at) values ('jobs-runner', now())")
    await pool.execute(
        "insert into postroom.job (name, succeeded_at) values ('canary', now() - interval '1 h')"
    )
    findings = await diagnose(Settings(state_dir=tmp_path), dsn)
    [stale] = about(findings, "job canary")
    assert (stale.level, stale.command) == (Level.ERROR, "postroom work --job canary --once")
    [runner] = about(findings, "jobs-runner")
    assert runner.level is Level.OK


@pytest.mark.rows_by_hand
async def test_what_fails_again_and_again_is_named_before_it_is_dead(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute("insert into postroom.job (name, beat_at) values ('jobs-runner', now())")
    mail = '{"to": "a@example.com", "subject": "s", "text": "t"}'
    message_id = await pool.fetchval("select postroom.publish('email', $1)", mail)
    fail = "update postroom.delivery set state = 'retry', attempts = $1, last_reason = 'no such template'"
    await pool.execute(fail, 2)
    assert about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email") == []
    await pool.execute(fail, 3)
    [again] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email")
    assert (again.level, again.command) == (Level.WARNING, f"postroom deliver-now {message_id}")
    assert "no such template" in again.text


async def test_a_routes_or_handlers_file_that_would_not_start_is_found_with_its_line(
    dsn: str, tmp_path: Path
) -> None:
    routes, handlers = tmp_path / "routes.toml", tmp_path / "handlers.py"
    routes.write_text('[[route]]\non = "invoice.payed"\nexport = { dataset = "a" }\n')
    handlers.write_text("import postroom\nimport nosuchmodule\n")
    settings = Settings(state_dir=tmp_path, routes=routes, handlers=(str(handlers),))
    broken = [f for f in about(await diagnose(settings, dsn), "settings") if f.level is Level.ERROR]
    assert {finding.command for finding in broken} == {"postroom routes check"}
    by_file = {finding.text.partition(":")[0]: finding.text for finding in broken}
    assert by_file[str(routes)].startswith(f"{routes}:2:")
    assert by_file[str(handlers)].startswith(f"{handlers}:2: ModuleNotFoundError")

    handlers.write_text("def broken(:\n")
    found = about(await diagnose(settings, dsn), "settings")
    assert [f.text for f in found if f.text.startswith(f"{handlers}:1:")]


async def test_a_publisher_made_after_the_schema_gets_its_rights_from_migrate(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    """As it is for a role that an administrator made later: it exists, and may nothing."""
    await pool.execute("revoke usage on schema postroom from postroom_publisher")
    await pool.execute("revoke execute on function postroom.publish_many(jsonb) from postroom_publisher")
    [_, lacking] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "database")
    assert (lacking.level, lacking.command) == (Level.WARNING, "postroom migrate")
    await migrate(dsn)
    [well] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "database")
    assert well.level is Level.OK
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("set local role postroom_publisher")
        mail = '[{"channel": "email", "payload": {"to": "a@example.com", "subject": "s", "text": "t"}}]'
        assert await conn.fetchval("select count(*) from postroom.publish_many($1)", mail) == 1


def test_a_certificate_that_ends_soon_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    for days, found in ((13, 1), (15, 0)):
        write_certificate(path, ends_at=datetime.now(UTC) + timedelta(days=days, hours=1))
        settings = Settings(state_dir=tmp_path, email=EmailSettings(tls_ca=path))
        assert len(list(check_certificates(settings))) == found


async def test_webhooks_to_nobody_are_named_with_tenant_and_type(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    assert about(await diagnose(Settings(state_dir=tmp_path), dsn), "webhooks") == []
    for tenant in ("acme inc", "acme inc", "other"):
        payload = '{"type": "order.paid", "data": {}}'
        await pool.execute(
            "select postroom.publish(channel => 'webhook', tenant => $1, payload => $2)", tenant, payload
        )
    found = about(await diagnose(Settings(state_dir=tmp_path), dsn), "webhooks")
    assert [finding.level for finding in found] == [Level.WARNING, Level.WARNING]
    assert found[0].text.startswith("2 of type order.paid to the tenant acme inc had no receiver")
    assert found[0].command == "postroom endpoint list --tenant 'acme inc'"


async def test_bulk_is_not_late_but_a_long_wait_is_told(dsn: str, pool: Pool, tmp_path: Path) -> None:
    await pool.execute("select postroom.publish('email', '{}', urgency => 'bulk')")
    await pool.execute("update postroom.delivery set due_at = now() - interval '2 hours'")
    [told] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email")
    assert (told.level, told.command) == (Level.WARNING, "postroom work")
    assert told.text == "1 bulk deliveries wait, the oldest for 2 h"
    await pool.execute("update postroom.delivery set due_at = now() - interval '10 minutes'")
    assert about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email") == []


async def test_a_tenant_that_crowds_a_channel_is_named(dsn: str, pool: Pool, tmp_path: Path) -> None:
    queue = "select postroom.publish('email', '{}', tenant => $1) from generate_series(1, $2)"
    await pool.execute(queue, "acme inc", 90)
    await pool.execute(queue, "other", 5)
    assert about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email") == [], "nothing is late"
    await pool.execute("update postroom.delivery set due_at = now() - interval '1 minute'")
    [told] = about(await diagnose(Settings(state_dir=tmp_path), dsn), "channel email")
    assert told.text.startswith(
        "90 of the 95 oldest late deliveries are of the tenant acme inc: others go first"
    )
    assert told.command == "postroom messages list --channel email --tenant 'acme inc'"


async def test_endpoints_that_prod_refuses_are_named_with_what_mends_them(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    """They were made before `http://` was refused, or in dev; each webhook to them is a dead letter."""
    async with transaction(pool) as conn:
        for url in ("https://a.example/hook", "HTTP://b.example/hook?x=$(id)"):
            await create_endpoint(conn, tenant="acme", url=url)
    plain = await pool.fetchval("select id from postroom.endpoint where url like '%b.example%'")
    for allow_http, expected in (
        (False, [f"postroom endpoint update {plain} --url 'https://b.example/hook?x=$(id)'"]),
        (None, []),
    ):
        settings = Settings(state_dir=tmp_path, webhook=WebhookSettings(allow_http=allow_http))
        found = about(await diagnose(settings, dsn), "webhooks")
        assert [each.command for each in found] == expected
