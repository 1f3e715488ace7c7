"""No query behind a page of the console scans a table that grows: plans on a ledger of some size.

`GET` of every page tells which statements those are, so that none can be forgotten here.
"""

from __future__ import annotations

import asyncio
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
from postroom.channels.tasks import reading as task_store
from postroom.channels.webhooks import receivers
from postroom.console.pages.dead_letters import DRY_RUN_SCAN_MAX as DRY
from postroom.console.pages.overview import PUBLISHED_CAP
from postroom.health import crowding
from postroom.metrics import failing
from postroom.metrics.gauges import COUNTED_MAX
from postroom.outbox.ledger import dead_letters as letter_store
from postroom.outbox.ledger import messages as ledger_store
from postroom.outbox.ledger import recovery
from postroom.outbox.ledger.messages import first_id_at
from postroom.postgres.database import create_database, drop_database
from tests.conftest import on_database, run_sql
from tests.console.http import Visitor, visitor
from tests.fixtures.api import Api, running_api
from tests.plans.ledger_of_size import FILL, grows

ADMIN = "postroom.admin"
HEALTH = "postroom.health"
METRICS = "postroom.metrics"
OUTBOX = "postroom.outbox"
READING = "postroom.outbox.ledger"
RESILIENCE = "postroom.resilience"
SESSIONS = "postroom.console.access"
STRIPE = "postroom.channels.stripe"
TASKS = "postroom.channels.tasks"
WEBHOOKS = "postroom.channels.webhooks"
WORKER = "postroom.worker"
NOW = datetime.now(UTC)
SOME_ID = UUID(int=first_id_at(NOW).int)
CHANNELS = ["stripe", "email", "webhook", "export", "stripe_api"]
ANY: list[Any] = [None] * 11
ROWS = 51
LEDGER, WAITING = ledger_store.SCAN_MAX, ledger_store.WAITING_SCAN_MAX
LETTERS, EVENTS, TRAIL = letter_store.SCAN_MAX, event_store.SCAN_MAX, audit.TRAIL_SCAN_MAX
# The most rows that one look may touch; no table that grows has so few here.
TOUCHED_MAX = max(LEDGER, DRY, COUNTED_MAX, PUBLISHED_CAP) + 1_000

LOOKS: list[tuple[str, str, list[Any]]] = [
    (READING, "search_messages", ["tenant7", None, None, ROWS, ["tenant7"], None, None]),
    (
        READING,
        "search_messages",
        ["a7@example.com", None, SOME_ID, ROWS, ["a7@example.com", "0" * 64], None, None],
    ),
    (READING, "search_messages", ["batch", None, SOME_ID, ROWS, ["batch"], None, None]),
    (READING, "search_messages", ["cus_busy", None, None, ROWS, ["cus_busy"], None, None]),
    (READING, "list_messages", ["email", *ANY[1:7], None, LEDGER, ROWS, None, None]),
    (READING, "list_messages", [None, None, "nosuch", *ANY[3:7], None, LEDGER, ROWS, None, None]),
    (
        READING,
        "list_messages",
        [None, None, "type.7", None, None, SOME_ID, SOME_ID, "cancelled", LEDGER, ROWS, None, None],
    ),
    (READING, "list_messages", [None, "tenant7", *ANY[2:7], "delivered", LEDGER, ROWS, None, None]),
    (READING, "list_messages", [*ANY[:7], "no_receiver", LEDGER, ROWS, None, None]),
    (READING, "list_messages", [None, "big", *ANY[2:7], None, ROWS, ROWS, None, None]),
    (READING, "list_messages", [None, "", *ANY[2:7], None, LEDGER, ROWS, None, None]),
    (READING, "list_messages", [None, None, None, "key7", *ANY[4:7], None, LEDGER, ROWS, None, None]),
    (READING, "list_messages", [*ANY[:4], "batch", None, SOME_ID, "delivered", LEDGER, ROWS, None, None]),
    (
        READING,
        "list_messages",
        [None, None, "type.7", None, None, SOME_ID, None, "dead", LEDGER, ROWS, None, None],
    ),
    *[
        (READING, "list_messages", ["email", *ANY[1:6], SOME_ID, status, LEDGER, ROWS, None, None])
        for status in ("pending", "retry", "parked", "dead", "delivered", "cancelled")
    ],
    (READING, "list_messages", [*ANY[:8], LEDGER, ROWS, ["tenant7", "big"], ["email"]]),
    (READING, "search_messages", ["batch", None, SOME_ID, ROWS, ["batch"], ["tenant7", "big"], ["email"]]),
    (READING, "list_chain", [SOME_ID, "batch", SOME_ID, 100, ["tenant7", "big"], ["email"]]),
    (READING, "count_tenants_dead_letters", [COUNTED_MAX, ["tenant7", "big"], ["email"]]),
    (READING, "list_waiting", [CHANNELS, ["pending"], NOW, 0, WAITING, *ANY[:4], ROWS, ["tenant7", "big"]]),
    (READING, "list_waiting", [CHANNELS, ["pending"], NOW, 0, ROWS, *ANY[:4], ROWS, None]),
    (READING, "list_waiting", [CHANNELS, ["retry"], NOW, 0, WAITING, "nosuch", *ANY[:3], ROWS, None]),
    (
        READING,
        "list_waiting",
        [CHANNELS, ["pending"], NOW, 0, WAITING, None, None, SOME_ID, SOME_ID, ROWS, None],
    ),
    (
        READING,
        "list_waiting",
        [CHANNELS, ["pending", "retry"], None, 0, WAITING, None, "nosuch", None, None, ROWS, None],
    ),
    (READING, "list_statuses", [[SOME_ID] * 50, [NOW] * 50]),
    (READING, "list_topics", [[SOME_ID] * 50]),
    (WEBHOOKS, "list_receivers", [[SOME_ID] * 50]),
    (WEBHOOKS, "list_breakers", [["webhook:a"] * 50]),
    (WEBHOOKS, "last_answer", [SOME_ID, "tenant7", receivers.LOOKED_AT]),
    (WEBHOOKS, "last_answer", [SOME_ID, "nosuch", receivers.LOOKED_AT]),
    (WEBHOOKS, "list_circuits", ["", None, ROWS]),
    (READING, "list_attempts", [[SOME_ID] * 9, NOW - timedelta(days=1), 1000, None]),
    (READING, "list_deliveries", [[SOME_ID] * 9, 1000]),
    (READING, "list_email_events", [[SOME_ID] * 9, 1000]),
    (READING, "list_dead_deliveries", [[SOME_ID] * 9, 1000]),
    (READING, "count_recent_messages", [SOME_ID, PUBLISHED_CAP]),
    (STRIPE, "list_stripe_events", [NOW, "evt_9", ROWS, None, None, ROWS]),
    (STRIPE, "list_stripe_events", [None, None, EVENTS, None, "nosuch", ROWS]),
    (STRIPE, "list_reconcile", []),
    (STRIPE, "fetch_stripe_summary", [event_store.SUMMED_MAX]),
    (STRIPE, "list_reconcile", []),
    (WORKER, "list_job_runs", ["job3", 30]),
    (ADMIN, "list_trail", [None, "nosuch", None, TRAIL, ROWS]),
    (READING, "count_endpoint_dead_letters", [["host7"], 1000]),
    (SESSIONS, "fetch_session", [b"x" * 32, 43_200.0, 604_800.0]),
    (METRICS, "list_failing", [failing.FAILURES_MIN, failing.SCAN_MAX]),
    (METRICS, "count_deliveries", [COUNTED_MAX]),
    (HEALTH, "list_crowding", [CHANNELS, ["pending", "retry"], crowding.LATE_S, crowding.SCAN_MAX, 0.5, 50]),
    (READING, "count_dead_letters", [COUNTED_MAX]),
    (METRICS, "list_tallies", []),
    (METRICS, "list_role_excess", [30.0]),
    (METRICS, "fetch_vitals", [30.0]),
    (TASKS, "list_behind", [50, "other"]),
    (TASKS, "list_tasks", ["email", NOW - timedelta(hours=1), UUID(int=0), task_store.SCAN_MAX, 200, 300.0]),
    (TASKS, "list_under_way", ["email", ["pending", "retry"], task_store.WAITING_SCAN_MAX, 50]),
    (TASKS, "list_schedules", [["a"], 1_000]),
    (METRICS, "list_throughput", [NOW - timedelta(hours=1), 60.0, ["email/delivered"]]),
    (ADMIN, "list_tokens", [200, None, None]),
    (ADMIN, "list_sessions", [43_200.0, 604_800.0, 200]),
    (READING, "list_replay_runs", [3]),
    (READING, "fetch_replay_run", [SOME_ID]),
    (READING, "fetch_message", [SOME_ID]),
    (READING, "list_chain", [SOME_ID, "chain7", None, 100, None, None]),
    (READING, "list_chain", [SOME_ID, "batch", SOME_ID, 100, None, None]),
    (WEBHOOKS, "fetch_endpoint", [SOME_ID, 10_000]),
    (RESILIENCE, "list_circuits", []),
    (WORKER, "list_jobs", []),
    (OUTBOX, "list_pauses", []),
    (OUTBOX, "list_limits", []),
]
# They filter by anything, and are planned for the very values (postroom/base/queries/plan_for_values.sql).
FILTERS: list[list[Any]] = [
    [["webhook"], *ANY[1:]],
    [CHANNELS[1:], "ours", *ANY[2:]],
    [["webhook"], "ours", *ANY[2:]],
    [None, None, "fault7", *ANY[3:]],
    [CHANNELS[1:], None, None, "tenant7", *ANY[4:]],
    [None, None, "fault7", "big", *ANY[4:]],
    [*ANY[:5], "host7", *ANY[6:]],
    [*ANY[:8], [SOME_ID] * 20, None, None],
    [["email"], None, None, None, "type.7", *ANY[5:]],
    [["email"], *ANY[1:10], ["tenant7", "big"]],
]
AFTER: list[Any] = [NOW - timedelta(days=1), SOME_ID, 0]
FOR_VALUES: list[tuple[str, str, list[Any]]] = [
    *[(READING, "fetch_dry_run", [*letters, DRY, 12, 10]) for letters in FILTERS],
    *[
        (READING, name, [*letters, *more])
        for letters in (ANY, *FILTERS, [None, None, "nosuch", "tenant7", *ANY[4:]])
        for name, more in (
            ("list_dead_letters", [*ANY[:3], LETTERS, ROWS]),
            ("list_dead_letters", [*AFTER, LETTERS, ROWS]),
            ("list_dead_letter_groups", [ROWS, 100, 10_000]),
        )
    ],
    (WEBHOOKS, "list_endpoints", ["nosuch", None, ROWS, 10_000, None]),
    (WEBHOOKS, "list_endpoints", [None, SOME_ID, ROWS, 10_000, ["tenant7", "big"]]),
    (WEBHOOKS, "list_endpoints", [None, SOME_ID, ROWS, 10_000, None]),
]
# What a replay of many is asked with; `big` has 15,000 messages and 10 dead letters. No index knows a type.
REPLAYED_MAX = 500
OUTBOUND = CHANNELS[1:]
REPLAYED: list[list[Any]] = [
    [OUTBOUND, None, None, "big", *ANY[4:]],
    [OUTBOUND, "ours", *ANY[2:]],
    *FILTERS[2:-2],
    [OUTBOUND, *ANY[1:6], NOW - timedelta(hours=1), *ANY[7:]],
]
HARMLESS = {
    query("postroom.base", "plan_for_values"), query(SESSIONS, "mark_session_seen"),
    query(ADMIN, "insert_audit"),
}  # fmt: skip
PAGES = (
    "", "/messages", "/messages?q=tenant7", "/messages?tenant=tenant7", "/messages?status=pending",
    "/messages?status=parked", "/messages?status=dead&type=type.7", "/messages/{message}",
    "/messages/{message}/preview", "/dead-letters",
    "/dead-letters?fingerprint=fault7", "/dead-letters?destination=host7",
    "/dead-letters/replay?channel=email",
    "/replays/{run}", "/stripe", "/webhooks", "/webhooks?tenant=tenant7", "/webhooks/{endpoint}",
    "/tasks", "/jobs", "/jobs/canary", "/circuits", "/channels", "/settings", "/tokens", "/audit",
    "/runbooks/JobStale",
)  # fmt: skip


ANSWERS = (
    "outbox", "outbox?tenant=tenant7&status=delivered", "outbox?status=retry", "outbox?status=dead",
    "outbox?key=key7", "outbox/{message}", "outbox/dead-letter", "outbox/dead-letter?cause=ours&tenant=big",
    "outbox/dead-letter?fingerprint=fault7", "outbox/dead-letter?group=fingerprint&tenant=tenant7",
    "queues/dead-letter", "audit", "audit?actor=nosuch",
)  # fmt: skip


@pytest.fixture(scope="module")
def template(template: str, server_dsn: str) -> Iterator[str]:
    """Filled once: to copy it takes a tenth of the time."""
    name = f"{template}_filled"
    asyncio.run(create_database(server_dsn, name, template=template))
    asyncio.run(run_sql(on_database(server_dsn, name), FILL))
    yield name
    asyncio.run(drop_database(server_dsn, name))


@pytest.fixture
def filled(pool: Pool) -> Pool:
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
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        for letters in REPLAYED:
            looks: list[tuple[str, str, list[Any]]] = [
                (
                    READING,
                    "replay_dead_letters",
                    [*letters, REPLAYED_MAX, "a", 0.0, 0.0, 3, None, None, False],
                ),
                (
                    READING,
                    "replay_dead_letters",
                    [*letters, REPLAYED_MAX, "a", 1.0, 0.0, None, "{}", None, False],
                ),
                (READING, "fetch_dry_run", [*letters, REPLAYED_MAX, 12, 10]),
            ]
            assert await _all_faults(conn, looks, touched_max=REPLAYED_MAX + 1_100) == []


@pytest.mark.rows_by_hand
async def test_a_page_of_dead_letters_that_an_index_finds_costs_its_rows(filled: Pool) -> None:
    since = NOW - timedelta(days=2)
    looks: list[tuple[str, str, list[Any]]] = [
        (READING, "list_dead_letters", [*letters, *after, ROWS, ROWS])
        for letters in (
            ANY,
            [OUTBOUND, *ANY[1:]],
            [OUTBOUND, None, None, "big", *ANY[4:]],
            [OUTBOUND, *ANY[1:6], since, *ANY[7:]],
        )
        for after in (ANY[:3], AFTER)
    ]
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        assert await _all_faults(conn, looks, touched_max=ROWS + 5) == []


@pytest.mark.rows_by_hand
async def test_releasing_a_replay_and_putting_it_back_costs_what_it_holds(filled: Pool) -> None:
    async with filled.acquire() as conn, conn.transaction():
        await plan_for_values(conn)
        # As after one replay: of another, which is younger than what it knows, PostgreSQL expects one row.
        await conn.execute(
            """delete from postroom.replay_item where run_id <> (select id from postroom.replay_run limit 1);
            analyze postroom.replay_item"""
        )
        every = [OUTBOUND, "ours", *ANY[2:], REPLAYED_MAX, "a", 1.0, 0.0, None, "{}", None, False]
        rows = await conn.fetch(query(READING, "replay_dead_letters"), *every)
        run = rows[0]["run_id"]
        assert sum(row["count"] for row in rows) == REPLAYED_MAX
        put_back: tuple[str, str, list[Any]] = (READING, "return_replay_items", [run, "held", "a"])
        assert await _all_faults(conn, [put_back], touched_max=REPLAYED_MAX + 100) == []
        await conn.execute(query(READING, "return_replay_items"), run, "held", "a")
        release: tuple[str, str, list[Any]] = (READING, "release_replay_items", [run, "a"])
        assert await _all_faults(conn, [release], touched_max=REPLAYED_MAX + 100) == []


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_step_of_a_recovery_costs_the_messages_it_looks_at(filled: Pool, mode: str) -> None:
    """Whoever made the endpoint and whatever lies in the ledger, and however much it lacks."""
    async with filled.acquire() as conn, conn.transaction():
        await conn.execute(f"set local plan_cache_mode = {mode}")
        endpoint_id = await conn.fetchval(
            "update postroom.endpoint set tenant = 'big' where tenant = 'tenant7' returning id"
        )
        walk = [endpoint_id, UUID(int=0), UUID(int=2**128 - 1), 1_000]
        for statement, arguments in ((recovery.FIND, [*walk, 100]), (recovery.COUNT, walk)):
            plan = await conn.fetchval(f"explain (analyze, timing off, format json) {statement}", *arguments)
            assert list(_faults(json.loads(plan)[0]["Plan"], touched_max=2_100)) == []


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
async def api(filled: Pool, dsn: str, tmp_path: Path, said: set[str]) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def somebody(api: Api, said: set[str]) -> AsyncIterator[Visitor]:
    async with visitor(api) as guest:
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


@pytest.fixture
async def names(filled: Pool) -> dict[str, UUID]:
    row = await filled.fetchrow(
        """select (select message_id from postroom.dead_letter limit 1) as message,
            (select id from postroom.replay_run limit 1) as run,
            (select id from postroom.endpoint limit 1) as endpoint"""
    )
    return dict(row or {})


def _known() -> set[str]:
    return {query(package, name) for package, name, _ in (*LOOKS, *FOR_VALUES)} | HARMLESS


@pytest.mark.rows_by_hand
async def test_every_statement_behind_a_page_is_looked_at(
    somebody: Visitor, said: set[str], names: dict[str, UUID]
) -> None:
    own = set(said)
    for page in PAGES:
        answer = await somebody.get("/console" + page.format(**names))
        assert answer.status in (200, 303), f"{page}: {answer.text[:500]}"
    assert said - own > {query(READING, "list_dead_letter_groups"), query(READING, "list_chain")}
    assert said - own - _known() == set()


@pytest.mark.rows_by_hand
async def test_every_statement_behind_the_ledger_over_http_is_looked_at(
    api: Api, said: set[str], names: dict[str, UUID]
) -> None:
    await api.get("/v1/admin/audit")  # what lets the caller in is no reading
    own = set(said)
    for path in ANSWERS[1:]:
        answer = await api.get("/v1/admin/" + path.format(**names))
        assert answer.status == 200, f"{path}: {answer.text[:500]}"
    found = said - own
    assert found > {query(READING, "list_dead_letter_groups"), query(READING, "list_messages")}
    assert found - _known() == set()


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
