"""The postroom command as a process on a real database: exit codes, JSON, audit."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postroom.admin import audit
from postroom.admin.tokens import fetch_living_token, hash_token
from postroom.base.db import Pool
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.worker.model import JOB_NAMES
from tests.fixtures.roles import by_hand
from tests.processes.commands import Ended, run

ACTOR = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"

COMMANDS = (
    *(
        "up",
        "serve",
        "migrate",
        "publish",
        "messages",
        "dead-letter",
        "replay",
        "replays",
        "jobs",
        "endpoint",
        "routes",
        "token",
        "doctor",
    ),
)
FOR_NOBODY = (
    """select postroom.publish(channel => 'webhook', payload => '{"type": "order.paid", "data": {}}')"""
)

Cli = Callable[..., Ended]


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> dict[str, str]:
    return {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
def cli(settings: dict[str, str], tmp_path: Path) -> Cli:
    def call(*arguments: str, stdin: str | None = None, **more: str) -> Ended:
        return run("postroom", *arguments, home=tmp_path, settings={**settings, **more}, stdin=stdin)

    return call


async def audited(pool: Pool) -> list[tuple[str, str]]:
    """Actor and action, newest first."""
    async with pool.acquire() as conn:
        return [(entry.actor, entry.action) for entry in (await audit.list_trail(conn)).rows]


async def publish_dead_letter(pool: Pool, cli_settings: dict[str, str], home: Path) -> UUID:
    """A webhook for nobody, published by SQL and tried once."""
    async with pool.acquire() as conn:
        message_id: UUID = await conn.fetchval(FOR_NOBODY)
    done = await asyncio.to_thread(
        run, "postroom", "work", "--job", "outbox-delivery", "--once", home=home, settings=cli_settings
    )
    assert done.code == 0, done.err
    return message_id


def test_help_shows_every_command_and_examples(cli: Cli) -> None:
    top = cli("--help")
    assert top.code == 0
    for name in COMMANDS:
        assert f" {name} " in top.out
    assert "postroom token create --name billing" in cli("token", "create", "--help").out
    assert "postroom stripe backfill --since 3d --dry-run" in cli("stripe", "backfill", "--help").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "No such command"),
        (("jobs", "run", "nonsense"), "outbox-delivery"),
        (("token", "create", "--name", "a", "--scope", "nonsense"), "events:write"),
        (("token", "create", "--name", "a"), "--scope"),
        (("token", "revoke", "nonsense"), "TOKEN_ID is no UUID"),
        (("replay",), "--channel"),
        (("replay", UNKNOWN_ID, "--cause", "ours"), "at least one filter"),
        (("replay", "--cause", "ours", "--since", "yesterday"), "2h"),
        (("publish", "email"), "--payload"),
        (("publish", "email", "--payload", "{"), "not JSON"),
        (("publish", "email", "--payload", "@nowhere.json"), "nowhere.json cannot be read"),
        (("publish", "pigeon", "--payload", "{}"), "known: email, webhook, export"),
        (("endpoint", "update", UNKNOWN_ID), "at least one of"),
        (("stripe", "backfill"), "--since"),
        (("stripe", "reprocess", "evt_1"), "MESSAGE_ID is no UUID"),
        (("stripe", "backfill", "--since", "40d"), "30 days"),
        (("stripe", "backfill", "--since", "1h", "--until", "2h"), "before --until"),
        (("stripe", "backfill", "--since", "1h"), "POSTROOM_STRIPE__API_KEY is not set"),
    ],
)
def test_wrong_use_exits_2_and_names_what_is_right(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.code == 2, done.err
    assert said in " ".join(done.err.replace("│", " ").split())
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", UNKNOWN_ID), "there is no message"),
        (("stripe", "reprocess", UNKNOWN_ID), "no event of Stripe came in"),
        (("token", "revoke", UNKNOWN_ID), "there is no token"),
        (("endpoint", "show", UNKNOWN_ID), "there is no such endpoint"),
        (("jobs", "run", "canary", "--timeout-s", "1"), "postroom work --job canary --once"),
    ],
)
def test_what_cannot_be_done_exits_1_and_says_why(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.code == 1, done.err
    assert said in done.err


def test_faults_of_the_settings_are_told_at_once_without_values(cli: Cli) -> None:
    done = cli("jobs", "list", POSTROOM_PORT="sesame", POSTROOM_ENV="heaven")
    assert done.code == 2
    assert "POSTROOM_PORT" in done.err
    assert "POSTROOM_ENV" in done.err
    assert "sesame" not in done.err


def test_a_database_that_is_away_is_told_with_the_next_command(cli: Cli) -> None:
    done = cli("jobs", "list", POSTROOM_DATABASE_URL="postgresql://somebody:sesame@127.0.0.1:1/nowhere")
    assert done.code == 1
    assert "Run: postroom doctor" in done.err
    assert "sesame" not in done.err


async def test_a_database_without_the_schema_is_told_and_mended(cli: Cli, dsn: str, pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute("drop schema postroom cascade")
    mine = {"POSTROOM_DATABASE_URL": by_hand(dsn)}
    before = await asyncio.to_thread(cli, "jobs", "list", **mine)
    assert before.code == 1
    assert "Run: postroom migrate" in before.err

    assert (await asyncio.to_thread(cli, "migrate", **mine)).code == 0
    assert (await asyncio.to_thread(cli, "migrate", **mine)).code == 0
    assert (await asyncio.to_thread(cli, "jobs", "list", **mine)).code == 0


async def test_migrate_leaves_a_schema_of_a_newer_version_alone(cli: Cli, pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute("update postroom.alembic_version set version_num = '9999'")
    done = await asyncio.to_thread(cli, "migrate")
    assert done.code == 0
    assert "at 9999" in done.out
    assert "a newer one made it, and nothing was changed" in done.out.replace("\n", " ")
    async with pool.acquire() as conn:
        assert await conn.fetchval("select version_num from postroom.alembic_version") == "9999"


async def test_publishing_twice_under_one_key_answers_the_first_id(cli: Cli, pool: Pool) -> None:
    arguments = ("publish", "email", "--key", "welcome:42", "--json", "--payload")
    payload = '{"to": "a@example.com", "subject": "Hello", "text": "…"}'
    first = await asyncio.to_thread(cli, *arguments, payload)
    again = await asyncio.to_thread(cli, *arguments, "-", stdin=payload)

    assert first.json["published"] is True
    assert again.json == {"id": first.json["id"], "published": False, "receivers": 1}
    async with pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from postroom.message") == 1


async def test_publishing_to_nobody_is_said(cli: Cli) -> None:
    arguments = (
        "publish",
        "webhook",
        "--tenant",
        "mistyped",
        "--type",
        "order.paid",
        "--payload",
        '{"data": {}}',
    )
    ended = await asyncio.to_thread(cli, *arguments)
    assert ended.code == 0
    assert "1 had no receiver" in ended.err
    assert (await asyncio.to_thread(cli, *arguments, "--json")).json["receivers"] == 0


async def test_a_batch_is_published_whole_or_not_at_all(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    good = '{"channel": "export", "payload": {"dataset": "orders", "record": {"id": 1}}}'
    bad = '{"channel": "export", "payload": {"dataset": "../orders", "record": {}}}'
    batch = tmp_path / "messages.json"
    batch.write_text(f"[{good}, {bad}]")
    refused = await asyncio.to_thread(cli, "publish", "--batch", str(batch))
    assert refused.code == 2
    assert "[1].dataset" in refused.err

    stored = await asyncio.to_thread(cli, "publish", "--batch", "-", stdin=f"[{good}, {good}]")
    assert stored.code == 0
    async with pool.acquire() as conn:
        ids = {str(row["id"]) for row in await conn.fetch("select id from postroom.message")}
    assert set(stored.out.split()) == ids
    assert len(ids) == 2


async def test_a_token_works_until_it_is_revoked_and_both_are_audited(cli: Cli, pool: Pool) -> None:
    made = await asyncio.to_thread(
        cli, "token", "create", "--name", "on-call", "--scope", "admin:read", "--scope", "jobs:run"
    )
    secret = made.out.strip()
    async with pool.acquire() as conn:
        token = await fetch_living_token(conn, hash_token(secret))
    assert token is not None
    assert token.scopes == {"admin:read", "jobs:run"}

    [listed] = (await asyncio.to_thread(cli, "token", "list", "--json")).json
    assert (listed["id"], listed["name"]) == (str(token.id), "on-call")
    assert secret not in str(listed)

    assert (await asyncio.to_thread(cli, "token", "revoke", str(token.id))).code == 0
    async with pool.acquire() as conn:
        assert await fetch_living_token(conn, hash_token(secret)) is None
    assert await audited(pool) == [(ACTOR, "token.revoke"), (ACTOR, "token.create")]


async def test_a_sign_in_link_is_printed_alone_and_kept_as_a_hash(cli: Cli, pool: Pool) -> None:
    options = ("--scope", "admin:read", "--url", "https://postroom.example.com/")
    printed = await asyncio.to_thread(cli, "token", "sign-in-link", *options)
    place, _, code = printed.out.strip().partition("?code=")
    assert (printed.code, place) == (0, "https://postroom.example.com/console/enter")
    kept = await pool.fetchrow("select hash, scopes from postroom.sign_in_link where expires_at > now()")
    assert kept is not None
    assert (kept["hash"], kept["scopes"]) == (hash_token(code), ["admin:read"])
    assert await audited(pool) == [(ACTOR, "console.sign_in_link")]
    assert (await asyncio.to_thread(cli, "token", "sign-in-link", "--scope", "nonsense")).code == 2


@pytest.mark.parametrize("command", ["jobs", "endpoint"])
def test_a_group_of_the_contract_lists_by_itself(cli: Cli, command: str) -> None:
    bare, listed = cli(command), cli(command, "list")
    assert (bare.code, bare.out) == (0, listed.out)
    assert cli(command, "--json").json == cli(command, "list", "--json").json
    assert cli(command, "nonsense").code == 2


async def test_what_was_missed_is_taken_in_through_an_outage_and_audited(cli: Cli, pool: Pool) -> None:
    stripe = StripeStandIn()
    await stripe.start()
    now = int(datetime.now(UTC).timestamp())
    for n in range(150):
        missed = {"id": f"in_{n}", "object": "invoice"}
        stripe.add_event(snapshot_event("invoice.paid", missed, created=now - 3_600 - n))
    key = {"POSTROOM_STRIPE__API_KEY": "sk_test_cli", "POSTROOM_STRIPE__API_BASE": stripe.url}
    command = ("stripe", "backfill", "--since", "2h", "--json")
    try:
        look = await asyncio.to_thread(cli, *command, "--dry-run", **key)
        assert (look.json["missing"], look.json["taken"], len(look.json["sample"])) == (150, 0, 10)
        assert await audited(pool) == []

        stripe.fail(Fault.SERVER_ERROR, after=1)
        stopped = await asyncio.to_thread(cli, *command, "--wait-s", "1", **key)
        assert (stopped.code, stopped.out) == (1, "")
        assert "HTTP 500" in stopped.err
        assert "run the same command again" in stopped.err

        stripe.fail(Fault.SERVER_ERROR, after=1, times=2)
        done = await asyncio.to_thread(cli, *command, **key)
        assert done.code == 0, done.err
        assert (done.json["listed"], done.json["taken"]) == (150, 150)
        assert "waiting 1 s: Stripe's API answered HTTP 500" in done.err

        again = await asyncio.to_thread(cli, *command[:-1], **key)
        assert again.out == "150 listed by Stripe, 150 known already, 0 missing, 0 taken in.\n"

        acting = (*command, "--effects", "--age-max", "90m")
        unasked = await asyncio.to_thread(cli, *acting[:4], *acting[5:], **key)
        assert (unasked.code, "150 missing (150 with effects), 0 taken in" in unasked.out) == (2, True)
        assert "nobody is there to ask: add --yes" in unasked.err
        acted = await asyncio.to_thread(cli, *acting, "--yes", **key)
        assert (acted.json["taken"], acted.json["effects"]) == (150, 150)
    finally:
        await stripe.stop()
    assert await audited(pool) == [(ACTOR, "stripe.backfill_ended"), (ACTOR, "stripe.backfill")] * 4


async def test_an_endpoint_from_creation_to_deletion(cli: Cli, pool: Pool) -> None:
    async def endpoint(*arguments: str) -> Any:
        done = await asyncio.to_thread(cli, "endpoint", *arguments, "--json")
        assert done.code == 0, done.err
        return done.json

    url = "https://acme.example.com/hooks"
    made = await endpoint("create", "--tenant", "acme", "--url", url, "--type", "invoice.*")
    identity = made["endpoint"]["id"]
    assert made["secret"].startswith("whsec_")
    assert (await endpoint("list", "--tenant", "acme"))[0]["types"] == ["invoice.*"]
    assert await endpoint("list", "--tenant", "other") == []
    assert (await endpoint("update", identity, "--url", f"{url}/v2"))["url"] == f"{url}/v2"
    rotated = await endpoint("rotate", identity)
    assert rotated["secret"] != made["secret"]
    assert rotated["endpoint"]["previous_secret_until"] is not None
    parked = await endpoint("park", identity, "--reason", "holiday")
    assert (parked["state"], parked["parked_reason"]) == ("parked", "holiday")
    assert (await endpoint("resume", identity))["state"] == "enabled"
    assert (await asyncio.to_thread(cli, "endpoint", "delete", identity)).code == 2
    assert (await asyncio.to_thread(cli, "endpoint", "delete", identity, "--yes")).code == 0
    assert await endpoint("list") == []
    actions = [action.removeprefix("endpoint.") for _, action in await audited(pool)]
    assert actions == ["delete", "resume", "park", "rotate", "update", "create"]


def test_an_endpoint_inside_the_private_network_is_refused(cli: Cli) -> None:
    done = cli("endpoint", "create", "--tenant", "acme", "--url", "http://127.0.0.1/hooks")
    assert done.code == 2
    assert "url" in done.err


async def test_a_dead_letter_is_listed_and_replayed_once(
    cli: Cli, pool: Pool, settings: dict[str, str], tmp_path: Path
) -> None:
    message_id = str(await publish_dead_letter(pool, settings, tmp_path))
    [letter] = (await asyncio.to_thread(cli, "dead-letter", "list", "--json")).json
    assert (letter["message_id"], letter["channel"]) == (message_id, "webhook")
    assert (await asyncio.to_thread(cli, "dead-letter", "list", "--channel", "email", "--json")).json == []
    [group] = (await asyncio.to_thread(cli, "dead-letter", "list", "--grouped", "--json")).json
    assert (group["count"], group["fingerprint"]) == (1, letter["fingerprint"])
    assert message_id in (await asyncio.to_thread(cli, "dead-letter", "list")).out

    replayed = await asyncio.to_thread(cli, "replay", message_id, "--json")
    assert replayed.json == {"id": message_id, "replayed": 1}
    assert (await asyncio.to_thread(cli, "replay", message_id)).code == 1
    assert await audited(pool) == [(ACTOR, "outbox.replay")]


async def test_a_replay_by_filter_looks_first_and_asks(
    cli: Cli, pool: Pool, settings: dict[str, str], tmp_path: Path
) -> None:
    message_id = str(await publish_dead_letter(pool, settings, tmp_path))
    filters = ("replay", "--channel", "webhook", "--type", "order.paid", "--since", "1h")
    look = (await asyncio.to_thread(cli, *filters, "--dry-run", "--json")).json
    assert (look["matched"], look["replayed"]) == (1, 0)
    assert look["sample"][0]["message_id"] == message_id

    unasked = await asyncio.to_thread(cli, *filters)
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert await audited(pool) == []

    replayed = await asyncio.to_thread(cli, *filters, "--yes", "--pace", "5")
    assert replayed.out.startswith("Replayed 1.\n")
    assert await audited(pool) == [(ACTOR, "outbox.replay_many")]
    none_left = (await asyncio.to_thread(cli, *filters, "--yes", "--json")).json
    assert (none_left["matched"], none_left["replayed"]) == (0, 0)


async def test_a_replay_of_many_is_watched_paused_resumed_and_taken_back(
    cli: Cli, pool: Pool, settings: dict[str, str], tmp_path: Path
) -> None:
    await publish_dead_letter(pool, settings, tmp_path)
    run_id = (await asyncio.to_thread(cli, "replay", "--cause", "permanent", "--yes", "--json")).json[
        "run_id"
    ]
    [listed] = (await asyncio.to_thread(cli, "replays", "--json")).json
    assert (listed["id"], listed["items"], listed["state"]) == (run_id, 1, "running")
    for command, said, state in (
        ("pause", "Paused: 1", "paused"),
        ("resume", "Resumed: 1", "running"),
        ("undo", "Taken back: 1", "undone"),
    ):
        assert said in (await asyncio.to_thread(cli, "replays", command, run_id)).out
        shown = (await asyncio.to_thread(cli, "replays", "show", run_id, "--json")).json
        assert shown["run"]["state"] == state
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 1
    assert (await asyncio.to_thread(cli, "replays", "undo", run_id)).code == 1
    actions = [action for _, action in await audited(pool)]
    assert actions == ["replay.undo", "replay.resume", "replay.pause", "outbox.replay_many"]


async def test_what_waits_for_a_retry_is_listed_page_by_page_the_longest_due_first(
    cli: Cli, pool: Pool
) -> None:
    for n in range(5):
        await pool.execute(FOR_NOBODY)
        if n < 3:
            await pool.execute(
                """update postroom.delivery set state = 'retry', attempts = 1, last_reason = 'busy',
                due_at = now() + make_interval(mins => 10 - $1) where state = 'pending'""",
                n,
            )
    due = "select message_id::text as id from postroom.delivery where state = 'retry' order by due_at"
    expected = [row["id"] for row in await pool.fetch(due)]
    listing = ("messages", "list", "--status", "retry", "--limit", "2", "--json")
    first = (await asyncio.to_thread(cli, *listing)).json
    rest = (await asyncio.to_thread(cli, *listing, "--cursor", first["next_cursor"])).json
    assert [item["id"] for item in first["items"] + rest["items"]] == expected
    assert (first["items"][0]["last_reason"], rest["next_cursor"]) == ("busy", None)

    every = (await asyncio.to_thread(cli, "messages", "list", "--type", "order.paid", "--json")).json
    assert sorted(item["status"] for item in every["items"]) == ["pending"] * 2 + ["retry"] * 3
    assert expected[0] in (await asyncio.to_thread(cli, "messages", "list", "--status", "retry")).out
    unknown = await asyncio.to_thread(cli, "messages", "list", "--cursor", "nonsense")
    assert (unknown.code, "cursor" in unknown.err) == (2, True)


async def test_asking_for_a_job_waits_for_nobody_if_told_so(cli: Cli, pool: Pool) -> None:
    listed = (await asyncio.to_thread(cli, "jobs", "list", "--json")).json
    assert [job["name"] for job in listed] == ["jobs-runner", *JOB_NAMES]
    assert (await asyncio.to_thread(cli, "jobs", "run", "canary", "--no-wait")).code == 0
    assert await audited(pool) == [(ACTOR, "job.run")]


def test_the_doctor_finds_the_missing_runner(cli: Cli) -> None:
    found = cli("doctor", "--json")
    assert found.code == 1
    by_subject = {finding["subject"]: finding for finding in found.json}
    assert by_subject["database"]["level"] == "ok"
    assert by_subject["jobs-runner"]["command"] == "postroom work"


def test_the_doctor_loads_what_the_runner_would(cli: Cli, tmp_path: Path) -> None:
    """What a handlers file prints as it is loaded does not get into the answer."""
    handlers = tmp_path / "handlers.py"
    handlers.write_text('print("loaded")\nimport nosuchmodule\n')
    found = cli("doctor", "--json", POSTROOM_HANDLERS=str(handlers))
    assert found.code == 1
    assert f"{handlers}:2: ModuleNotFoundError: No module named 'nosuchmodule'" in [
        f["text"] for f in found.json
    ]
