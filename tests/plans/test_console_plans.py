"""No query behind a page of the console scans a table that grows: plans on a ledger of some size.

`GET` of every page tells which statements those are, so that none can be forgotten here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from postroom.admin import audit
from postroom.base.db import Connection, Pool, plan_for_values, query
from postroom.base.settings import Settings
from postroom.channels.stripe import reading as event_store
from postroom.console.pages.overview import PUBLISHED_CAP
from postroom.metrics import failing
from postroom.metrics.gauges import COUNTED_MAX
from postroom.outbox.ledger import dead_letter_pages as letter_store
from postroom.outbox.ledger import message_pages as ledger_store
from postroom.outbox.ledger.messages import first_id_at
from tests.console.http import Visitor, visitor
from tests.fixtures.api import running_api
from tests.plans.ledger_of_size import FILL, grows

ADMIN = "postroom.admin"
METRICS = "postroom.metrics"
READING = "postroom.outbox.ledger"
RESILIENCE = "postroom.resilience"
SESSIONS = "postroom.console.access"
STRIPE = "postroom.channels.stripe"
WEBHOOKS = "postroom.channels.webhooks"
WORKER = "postroom.worker"
NOW = datetime.now(UTC)
SOME_ID = UUID(int=first_id_at(NOW).int)
CHANNELS = ["stripe", "email", "webhook", "export"]
ROWS = 51
LEDGER, WAITING = ledger_store.SCAN_MAX, ledger_store.WAITING_SCAN_MAX
LETTERS, EVENTS, TRAIL = letter_store.SCAN_MAX, event_store.SCAN_MAX, audit.TRAIL_SCAN_MAX
DRY = letter_store.DRY_RUN_SCAN_MAX
# The most rows that one look may touch; no table that grows has so few here.
TOUCHED_MAX = max(LEDGER, DRY, COUNTED_MAX, PUBLISHED_CAP) + 1_000

LOOKS: list[tuple[str, str, list[Any]]] = [
    (READING, "search_messages", ["tenant7", None, None, ROWS, ["tenant7"]]),
    (READING, "search_messages", ["a7@example.com", None, SOME_ID, ROWS, ["a7@example.com", "0" * 64]]),
    (READING, "search_messages", ["batch", None, SOME_ID, ROWS, ["batch"]]),
    (READING, "search_messages", ["cus_busy", None, None, ROWS, ["cus_busy"]]),
    (READING, "page_messages", ["email", None, None, None, LEDGER, None, ROWS]),
    (READING, "page_messages", [None, "nosuch", None, None, LEDGER, None, ROWS]),
    (READING, "page_messages", [None, "type.7", SOME_ID, SOME_ID, LEDGER, "cancelled", ROWS]),
    (READING, "page_messages", [None, None, None, None, LEDGER, "no_receiver", ROWS]),
    (READING, "list_tenant_messages", [None, None, None, None, LEDGER, "delivered", ROWS, "tenant7"]),
    (READING, "list_waiting", [CHANNELS, ["pending"], NOW, 0, ROWS, None, None, ROWS, None, None]),
    (READING, "list_waiting", [CHANNELS, ["pending"], NOW, 0, WAITING, "nosuch", None, ROWS, None, None]),
    (
        READING,
        "list_waiting",
        [CHANNELS, ["pending"], NOW, 0, WAITING, None, None, ROWS, SOME_ID, SOME_ID],
    ),
    (READING, "page_messages", [None, "type.7", SOME_ID, None, LEDGER, "dead", ROWS]),
    (
        READING,
        "list_parked",
        [CHANNELS, ["pending", "retry"], NOW, 0, WAITING, None, "nosuch", ROWS, None, None],
    ),
    (READING, "list_statuses", [[SOME_ID] * 50, [NOW] * 50]),
    (READING, "list_topics", [[SOME_ID] * 50]),
    (WEBHOOKS, "list_receivers", [[SOME_ID] * 50]),
    (WEBHOOKS, "list_breakers", [["webhook:a"] * 50]),
    (WEBHOOKS, "list_circuits", ["", None, ROWS]),
    (READING, "list_chain_attempts", [[SOME_ID] * 9, NOW - timedelta(days=1), 1000]),
    (READING, "list_chain_deliveries", [[SOME_ID] * 9, 1000]),
    (READING, "list_chain_letters", [[SOME_ID] * 9, 1000]),
    (READING, "list_letter_groups", [None, None, 100, 10_000]),
    (READING, "list_letters", [CHANNELS, None, None, None, None, None, None, ROWS, ROWS]),
    (
        READING,
        "list_letters_by_fingerprint",
        [CHANNELS, None, "nosuch", None, NOW, SOME_ID, 0, LETTERS, ROWS, "fault7"],
    ),
    (
        READING,
        "list_letters_by_destination",
        [CHANNELS, None, None, "host7", None, None, None, LETTERS, ROWS, None],
    ),
    (READING, "count_recent_messages", [SOME_ID, PUBLISHED_CAP]),
    (STRIPE, "list_stripe_events", [NOW, "evt_9", ROWS, None, None, ROWS]),
    (STRIPE, "list_stripe_events", [None, None, EVENTS, None, "nosuch", ROWS]),
    (STRIPE, "fetch_stripe_summary", [event_store.SUMMED_MAX]),
    (WORKER, "list_job_runs", ["job3", 30]),
    (ADMIN, "list_trail", [None, "nosuch", None, TRAIL, ROWS]),
    (READING, "count_endpoint_letters", [["host7"], 1000]),
    (SESSIONS, "fetch_session", [b"x" * 32, 43_200.0, 604_800.0]),
    (METRICS, "list_failing", [failing.FAILURES_MIN, failing.SCAN_MAX]),
    (METRICS, "count_deliveries", [COUNTED_MAX]),
    (METRICS, "count_dead_letters", [COUNTED_MAX]),
    (METRICS, "list_tallies", []),
    (METRICS, "fetch_vitals", [30.0]),
    (METRICS, "list_throughput", [NOW - timedelta(hours=1), 60.0, ["email/delivered"]]),
    (ADMIN, "list_tokens", [200, None]),
    (READING, "list_replay_runs", [3]),
    (READING, "fetch_replay_run", [SOME_ID]),
    (READING, "fetch_message", [SOME_ID]),
    (READING, "list_chain", [SOME_ID, "chain7", None, 100]),
    (READING, "list_chain", [SOME_ID, "batch", SOME_ID, 100]),
    (READING, "list_message_statuses", [[SOME_ID] * 9]),
    (READING, "list_deliveries", [SOME_ID]),
    (READING, "list_attempts", [SOME_ID]),
    (READING, "list_message_dead_letters", [SOME_ID]),
    (WEBHOOKS, "fetch_endpoint", [SOME_ID, 10_000]),
    (RESILIENCE, "list_circuits", []),
    (WORKER, "list_jobs", []),
]
# They filter by anything, and are planned for the very values (postroom/base/queries/plan_for_values.sql).
NO_LETTER: list[Any] = [None] * 10 + [False]
FOR_VALUES: list[tuple[str, str, list[Any]]] = [
    (READING, "fetch_dry_run", [*_with, DRY, 12])
    for _with in (
        ["webhook", *NO_LETTER[1:]],
        [None, "ours", *NO_LETTER[2:]],
        [None, None, "fault7", *NO_LETTER[3:]],
        [None, None, None, "tenant7", *NO_LETTER[4:]],
        [*NO_LETTER[:5], "host7", *NO_LETTER[6:]],
        [*NO_LETTER[:8], [SOME_ID] * 20, *NO_LETTER[9:]],
    )
] + [
    (READING, "list_letters", [CHANNELS, "ours", "tenant7", None, NOW, SOME_ID, 0, LETTERS, ROWS]),
    (WEBHOOKS, "list_endpoints", ["nosuch", None, ROWS, 10_000]),
    (WEBHOOKS, "list_endpoints", [None, SOME_ID, ROWS, 10_000]),
]
# What a replay of many is asked with; `big` has 15,000 messages and 10 dead letters.
REPLAYED_MAX = 500
REPLAYED: list[list[Any]] = [
    [None, None, None, "big", *NO_LETTER[4:10], True],
    [None, "ours", *NO_LETTER[2:10], True],
    ["webhook", "ours", *NO_LETTER[2:]],
    [None, None, "fault7", *NO_LETTER[3:]],
    [None, None, "fault7", "big", *NO_LETTER[4:]],
    [*NO_LETTER[:5], "host7", *NO_LETTER[6:]],
    [*NO_LETTER[:8], [SOME_ID] * 20, *NO_LETTER[9:]],
    [None, None, None, None, None, None, NOW - timedelta(hours=1), None, None, None, True],
]
HARMLESS = {
    query("postroom.base", "plan_for_values"), query(SESSIONS, "mark_session_seen"),
    query(ADMIN, "insert_audit"),
}  # fmt: skip
PAGES = (
    "", "/messages", "/messages?q=tenant7", "/messages?tenant=tenant7", "/messages?status=pending",
    "/messages?status=parked", "/messages/{message}", "/messages/{message}/preview", "/dead-letters",
    "/dead-letters?fingerprint=fault7", "/dead-letters?destination=host7",
    "/dead-letters/replay?channel=email",
    "/replays/{run}", "/stripe", "/webhooks", "/webhooks?tenant=tenant7", "/webhooks/{endpoint}", "/jobs",
    "/jobs/canary", "/circuits", "/settings", "/tokens", "/audit", "/runbooks/JobStale",
)  # fmt: skip


@pytest.fixture
async def filled(pool: Pool) -> Pool:
    await pool.execute(FILL)
    return pool


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_look_of_the_console_scans_a_table(filled: Pool, mode: str) -> None:
    async with filled.acquire() as conn, conn.transaction():
        await conn.execute(f"set local plan_cache_mode = {mode}")
        assert await _all_faults(conn, LOOKS) == []


@pytest.mark.rows_by_hand
async def test_no_look_that_filters_by_anything_scans_a_table(filled: Pool) -> None:
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        assert await _all_faults(conn, FOR_VALUES) == []


@pytest.mark.rows_by_hand
async def test_starting_a_replay_costs_what_it_takes_and_not_what_lies_there(filled: Pool) -> None:
    run = await filled.fetchval("select id from postroom.replay_run limit 1")
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        for letters in REPLAYED:
            looks: list[tuple[str, str, list[Any]]] = [
                (READING, "insert_replay_items", [*letters, REPLAYED_MAX, run]),
                (READING, "replay_letters", [*letters, REPLAYED_MAX, 0.0, 3, "a", 0.0]),
                (READING, "preview_letters", [*letters, REPLAYED_MAX, 10]),
            ]
            assert await _all_faults(conn, looks, touched_max=REPLAYED_MAX + 1_100) == []


@pytest.mark.rows_by_hand
async def test_a_page_of_dead_letters_over_http_costs_its_rows(filled: Pool) -> None:
    last = [NOW - timedelta(days=1), SOME_ID, 0]
    terms: list[list[Any]] = [
        [CHANNELS, None, None, None, None, ROWS, None, None, None],
        [CHANNELS[1:], None, None, None, None, ROWS, *last],
        [CHANNELS[1:], None, None, "big", None, ROWS, *last],
        [CHANNELS, "ours", None, None, NOW - timedelta(days=2), ROWS, *last],
    ]
    looks: list[tuple[str, str, list[Any]]] = [(READING, "list_dead_letters", each) for each in terms]
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        assert await _all_faults(conn, looks, touched_max=ROWS + 5) == []


@pytest.mark.rows_by_hand
async def test_releasing_a_replay_and_putting_it_back_costs_what_it_holds(filled: Pool) -> None:
    every = [None, "ours", *NO_LETTER[2:10], True]
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        # As after one replay: of another, which is younger than what it knows, PostgreSQL expects one row.
        await conn.execute(
            """delete from postroom.replay_item where run_id <> (select id from postroom.replay_run limit 1);
            analyze postroom.replay_item"""
        )
        run = await conn.fetchval(query(READING, "insert_replay_run"), "a", "{}", 1.0)
        assert await conn.fetchval(query(READING, "insert_replay_items"), *every, REPLAYED_MAX, run) == 500
        release: tuple[str, str, list[Any]] = (READING, "release_replay_items", [run, "a"])
        assert await _all_faults(conn, [release], touched_max=REPLAYED_MAX + 100) == []
        await conn.execute(query(READING, "release_replay_items"), run, "a")
        put_back: tuple[str, str, list[Any]] = (READING, "return_replay_items", [run, "held", "a"])
        assert await _all_faults(conn, [put_back], touched_max=REPLAYED_MAX + 100) == []


async def _all_faults(
    conn: Connection, looks: list[tuple[str, str, list[Any]]], *, touched_max: int = TOUCHED_MAX
) -> list[str]:
    faults: list[str] = []
    for package, name, arguments in looks:
        explain = "explain (analyze, timing off, format json) " + query(package, name)
        trial = conn.transaction()
        await trial.start()
        [plan] = json.loads(await conn.fetchval(explain, *arguments))
        await trial.rollback()
        found = _faults(plan["Plan"], touched_max=touched_max)
        faults += [f"{package} {name} {arguments}: {fault}" for fault in found]
    return faults


@pytest.fixture
async def somebody(
    filled: Pool, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: set[str]
) -> AsyncIterator[Visitor]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        said.clear()
        yield guest


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every statement with parameters or an answer that any connection runs."""
    statements: set[str] = set()
    connection: Any = asyncpg.Connection
    run = connection._execute

    async def recording(self: Any, statement: str, *arguments: Any, **options: Any) -> Any:
        statements.add(statement)
        return await run(self, statement, *arguments, **options)

    monkeypatch.setattr(connection, "_execute", recording)
    return statements


@pytest.mark.rows_by_hand
async def test_every_statement_behind_a_page_is_looked_at(
    filled: Pool, somebody: Visitor, said: set[str]
) -> None:
    row = await filled.fetchrow(
        """select (select message_id from postroom.dead_letter limit 1) as message,
            (select id from postroom.replay_run limit 1) as run,
            (select id from postroom.endpoint limit 1) as endpoint"""
    )
    assert row is not None
    own = set(said)
    for page in PAGES:
        answer = await somebody.get("/console" + page.format(**row))
        assert answer.status in (200, 303), f"{page}: {answer.text[:500]}"
    known = {query(package, name) for package, name, _ in (*LOOKS, *FOR_VALUES)} | HARMLESS
    assert said - own > {query(READING, "list_letter_groups"), query(READING, "list_chain")}
    assert said - own - known == set()


def _faults(node: dict[str, Any], *, touched_max: int, above: str = "") -> Iterator[str]:
    """Scans of a table that grows, and looks along an index that never end.

    A look at any so many rows, where nothing but the tenant is given, may begin at the table's start.
    """
    table = node.get("Relation Name", "")
    growing = grows(table)
    if growing and node["Node Type"] == "Seq Scan" and above != "Limit":
        yield f"scans {table}"
    # Of one look: a count by channel and state is several, each with its own cap.
    touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    if growing and touched > touched_max:
        yield f"touches {touched} rows of {table}"
    if (compared := node.get("Rows Removed by Join Filter", 0)) > touched_max:
        yield f"compares {compared} pairs"
    for below in node.get("Plans", ()):
        yield from _faults(below, touched_max=touched_max, above=node["Node Type"])
