"""The doctor finds what is wrong and names the command that mends it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from postroom.base.db import Pool
from postroom.base.settings import UP_ENVIRONMENT, EmailSettings, Settings
from postroom.health import doctor
from postroom.health.findings import Finding, Level
from postroom.health.instance import LOCK_NAME, only_one


def about(findings: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


async def test_a_database_that_is_away_is_the_first_finding(tmp_path: Path) -> None:
    dsn = "postgresql://postroom:hidden-password@127.0.0.1:1/postroom"
    findings = await doctor.diagnose(Settings(state_dir=tmp_path), dsn)
    assert (findings[0].subject, findings[0].level) == ("database", Level.ERROR)
    assert len(findings) > 1
    assert "hidden-password" not in str(findings)
    assert findings[0].command == "postroom up"


async def test_settings_of_a_stack_that_ended_are_dropped_before_the_next_one(tmp_path: Path) -> None:
    """`postroom up` would take the address that does not answer, and fail for it."""
    dsn = "postgresql://postroom@127.0.0.1:1/postroom"
    named = Settings(state_dir=tmp_path, database_url=SecretStr(dsn))
    away = (await doctor.diagnose(named, dsn))[0]
    assert away.command == "unset $(env | grep -o '^POSTROOM_[A-Z_]*'); postroom up"


async def test_a_fresh_database_lacks_only_a_runner(dsn: str, tmp_path: Path) -> None:
    findings = await doctor.diagnose(Settings(state_dir=tmp_path), dsn)
    errors = {finding.subject: finding.command for finding in findings if finding.level is Level.ERROR}
    assert errors == {"jobs-runner": "postroom work", "workers": "postroom work"}
    assert about(findings, "migrations")[0].level is Level.OK


@pytest.mark.rows_by_hand
async def test_a_schema_that_is_missing_or_behind_names_the_command(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute("drop schema postroom cascade")
    [finding] = about(await doctor.diagnose(Settings(state_dir=tmp_path), dsn), "migrations")
    assert (finding.level, finding.command) == (Level.ERROR, "postroom migrate")


async def test_it_names_who_holds_a_long_transaction(dsn: str, tmp_path: Path) -> None:
    holder = await asyncpg.connect(dsn, server_settings={"application_name": "forgotten report"})
    try:
        await holder.execute("begin")
        pid = await holder.fetchval("select pg_backend_pid()")
        watcher = await asyncpg.connect(dsn)
        findings = await doctor._transactions(watcher, older_than_s=0.0)
        await watcher.close()
    finally:
        await holder.close()
    assert f"pg_terminate_backend({pid})" in str(findings[0].command)
    assert "forgotten report" in findings[0].text


async def test_a_misspelt_setting_and_those_of_a_running_stack_are_named(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTROOM_EMAIL__FORM", "a@example.com")
    (tmp_path / UP_ENVIRONMENT).touch()
    with only_one(tmp_path) as holder:
        holder.tell("http://127.0.0.1:8000")
        misspelt, lacking = about(await doctor.diagnose(Settings(state_dir=tmp_path), dsn), "settings")
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
    found = about(await doctor.diagnose(Settings(state_dir=tmp_path), dsn), "settings")
    assert "no way out for mail: emails wait" in [finding.text for finding in found]
    assert UP_ENVIRONMENT not in str([finding.command for finding in found])


@pytest.mark.rows_by_hand
async def test_dead_letters_breakers_and_parked_endpoints_are_named(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute("""
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
        values (gen_random_uuid(), 0, 1, 'email', 'email', 1, 'ours', 'f', 'login refused')""")
    await pool.execute(
        "update postroom.circuit set state = 'open', retry_at = now(), reason = 'slow' where name = 'stripe'"
    )
    endpoint_id = await pool.fetchval("""
        insert into postroom.endpoint (tenant, url, types, secret, state, parked_reason)
        values ('acme', 'https://example.com', '{*}', 'whsec_hidden', 'parked', 'gone')
        returning id""")
    await pool.execute("select postroom.publish('webhook', '{\"data\": {}}', tenant => 'acme', type => 'a')")
    settings = Settings(state_dir=tmp_path, email=EmailSettings(url=SecretStr("smtp://localhost")))
    findings = await doctor.diagnose(settings, dsn)
    assert "cause ours" in about(findings, "dead letters")[0].text
    assert "slow" in about(findings, "circuit stripe")[0].text
    [parked] = about(findings, "endpoints")
    assert "1 wait" in parked.text
    assert str(endpoint_id) in str(parked.command)
    assert "whsec_hidden" not in str(findings)
    assert not [f for f in about(findings, "settings") if "mail" in f.text]
