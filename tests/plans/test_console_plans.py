"""No query of the console scans a table that grows: plans on a ledger of some size, statistics fresh."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.base.db import Pool, query
from app.outbox.reading import first_id_at

GROWING = (
    "message", "delivery", "dead_letter", "attempt", "stripe_event", "job_run", "audit", "flow",
    "replay_item", "console_session",
)  # fmt: skip
FILL = """
insert into postroom.message (id, channel, type, tenant, key, correlation_id, payload, deliveries, created_at)
select postroom.uuid7(), case n % 3 when 0 then 'email' when 1 then 'webhook' else 'stripe' end,
    'type.' || n % 50, 'tenant' || n % 2000, 'key' || n, 'chain' || n / 3,
    jsonb_build_object('to', 'a' || n || '@example.com'), 1, now()
from generate_series(1, 60000) n;
insert into postroom.delivery (message_id, channel, destination, state, attempts, due_at)
select id, channel, 'd', case when random() < .2 then 'retry' else 'pending' end, 0,
    now() + random() * interval '1 h'
from postroom.message limit 20000;
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, died_at)
select id, 0, 1, channel, 'host' || row_number() over () % 30, 8,
    case row_number() over () % 2 when 0 then 'passing' else 'ours' end,
    'fault' || row_number() over () % 20, 'r', now() - random() * interval '3 days'
from (select * from postroom.message offset 20000 limit 20000) m;
insert into postroom.attempt (message_id, n, channel, attempt, outcome, ended_at)
select id, 0, channel, 1, 'delivered', now() from postroom.message;
insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_id, thin,
    event_created, secret, raw, received_at)
select 'acct', 'evt_' || row_number() over (), id, 'webhook', 'received', 't', 'cus_' || row_number() over () / 3,
    false, now(), 's', 'x', now() - row_number() over () * interval '1 second'
from postroom.message where channel = 'stripe';
insert into postroom.job_run (job, started_at, outcome)
select 'job' || n % 7, now(), 'succeeded' from generate_series(1, 20000) n;
insert into postroom.audit (actor, action) select 'a', 'b' from generate_series(1, 20000);
insert into postroom.flow
select now() - make_interval(mins => n), 'email/delivered', 1 from generate_series(1, 11000) n;
insert into postroom.console_session (hash, actor)
select sha256(n::text::bytea), 'a' || n from generate_series(1, 5000) n;
insert into postroom.replay_run (actor, wanted, pace_per_s, items) select 'a', '{}', 1, 100 from generate_series(1, 200);
insert into postroom.replay_item (run_id, message_id, n, attempts, cause, fingerprint, reason, died_at)
select id, postroom.uuid7(), 0, 8, 'ours', 'f', 'r', now() from postroom.replay_run, generate_series(1, 100);
analyze postroom.message, postroom.delivery, postroom.dead_letter, postroom.attempt, postroom.stripe_event,
    postroom.job_run, postroom.audit, postroom.flow, postroom.console_session, postroom.replay_run, postroom.replay_item;
"""  # noqa: E501
CONSOLE, OPS = "app.console", "app.ops"
NOW = datetime.now(UTC)
SOME_ID = UUID(int=first_id_at(NOW).int)
CHANNELS = ["stripe", "email", "webhook", "export"]
NO_FILTER: list[Any] = [None] * 10 + [False]

LOOKS: list[tuple[str, str, list[Any]]] = [
    (CONSOLE, "search_messages", ["tenant7", None, None, 51]),
    (CONSOLE, "search_messages", ["a7@example.com", None, SOME_ID, 51]),
    (CONSOLE, "list_messages", ["email", None, None, None, 5000, None, 51]),
    (CONSOLE, "list_messages", [None, "type.7", SOME_ID, SOME_ID, 5000, "cancelled", 51]),
    (CONSOLE, "list_tenant_messages", [None, None, None, SOME_ID, 5000, "delivered", 51, "tenant7"]),
    (CONSOLE, "list_waiting", [CHANNELS, ["pending"], NOW, 0, 51, None, None, 51]),
    (CONSOLE, "list_parked", [CHANNELS, ["pending", "retry"], NOW, 0, 51, None, None, 51]),
    (CONSOLE, "list_standings", [[SOME_ID] * 50, [NOW] * 50]),
    (CONSOLE, "list_chain_attempts", [[SOME_ID] * 9, NOW - timedelta(days=1), 1000]),
    (CONSOLE, "list_chain_deliveries", [[SOME_ID] * 9, 1000]),
    (CONSOLE, "list_chain_letters", [[SOME_ID] * 9, 1000]),
    (CONSOLE, "list_letter_groups", [None, None, 100, 10_000]),
    (CONSOLE, "list_letters", [CHANNELS, None, None, None, None, None, None, 51, 51]),
    (CONSOLE, "list_letters_by_fingerprint", [CHANNELS, None, None, None, NOW, SOME_ID, 0, 51, 51, "fault7"]),
    (CONSOLE, "list_letters_by_destination", [CHANNELS, None, None, "host7", None, None, None, 51, 51, None]),
    (CONSOLE, "count_recent_messages", [SOME_ID, 10_000]),
    (CONSOLE, "list_stripe_events", [NOW, "evt_9", 51, None, None, 51]),
    (CONSOLE, "fetch_stripe_summary", [1000]),
    (CONSOLE, "list_job_runs", ["job3", 30]),
    (CONSOLE, "count_endpoint_letters", [["host7"], 1000]),
    (CONSOLE, "fetch_session", [b"x" * 32, 43_200.0, 604_800.0]),
    (OPS, "count_dead_letters", [1000]),
    (OPS, "count_deliveries", [1000]),
    (OPS, "list_flow", [NOW - timedelta(hours=1), 60.0, ["email/delivered"]]),
    (OPS, "list_audit", [None, None, None, 51]),
    (OPS, "fetch_replay_run", [SOME_ID]),
]


@pytest.mark.rows_by_hand
async def test_no_look_of_the_console_scans_a_table(pool: Pool) -> None:
    await pool.execute(FILL)
    scans: list[str] = []
    for package, name, arguments in LOOKS:
        rows = await pool.fetch("explain (costs off) " + query(package, name), *arguments)
        plan = "\n".join(row[0] for row in rows)
        scanned = re.findall(r"Seq Scan on (?:postroom\.)?(\w+)", plan)
        # A partition that holds no row yet is empty, not scanned.
        scans += [f"{package} {name}: {table}\n{plan}" for table in scanned if grows(table)]
    assert scans == []


def test_every_query_of_the_console_is_looked_at() -> None:
    folder = Path(__file__).parents[2] / "app" / "console" / "queries"
    looked = {name for package, name, _ in LOOKS if package == CONSOLE}
    writing = re.compile(r"^\s*(insert|update|delete|with links)", re.MULTILINE)
    reading = {f.stem for f in folder.glob("*.sql") if not writing.search(f.read_text())}
    # A dry run looks at what a replay would take, up to a cap.
    assert reading - looked == {"count_receivers"}


def grows(table: str) -> bool:
    today = f"attempt_{datetime.now(UTC):%Y%m%d}"
    return table in GROWING or table == today
