"""A ledger of some size, large enough that PostgreSQL plans as it would in production."""

from __future__ import annotations

from datetime import UTC, datetime

GROWING = (
    "message", "delivery", "dead_letter", "attempt", "stripe_event", "job_run", "audit", "flow",
    "replay_item", "console_session", "endpoint",
)  # fmt: skip
FILL = """
insert into postroom.message (id, channel, type, tenant, key, correlation_id, payload, deliveries, created_at)
select postroom.uuid7(), case n % 3 when 0 then 'email' when 1 then 'webhook' else 'stripe' end,
    'type.' || n % 50,
    case when n % 2 = 0 and n > 60000 or n % 3000 = 0 then 'big' else 'tenant' || n % 2000 end, 'key' || n,
    case n % 2 when 0 then 'batch' else 'chain' || n / 3 end,
    jsonb_build_object('to', 'a' || n || '@example.com'), 1, now()
from generate_series(1, 90000) n;
insert into postroom.delivery (message_id, channel, destination, state, attempts, due_at)
select id, channel, 'd', case when random() < .2 then 'retry' else 'pending' end, 0,
    now() + random() * interval '1 h'
from postroom.message limit 30000;
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, died_at)
select id, 0, 1, channel, 'host' || row_number() over () % 30, 8,
    case row_number() over () % 2 when 0 then 'passing' else 'ours' end,
    'fault' || row_number() over () % 20, 'r', now() - random() * interval '3 days'
from (select * from postroom.message offset 30000 limit 30000) m;
insert into postroom.attempt (message_id, n, channel, attempt, outcome, ended_at)
select id, 0, channel, 1, 'delivered', now() from postroom.message;
insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_id, thin,
    event_created, secret, raw, received_at)
select 'acct', 'evt_' || row_number() over (), id, 'webhook', 'received', 't',
    case row_number() over () % 2 when 0 then 'cus_busy' else 'cus_' || row_number() over () / 3 end, false,
    now(), 's', 'x', now() - row_number() over () * interval '1 second'
from postroom.message where channel = 'stripe';
insert into postroom.job_run (job, started_at, outcome)
select 'job' || n % 7, now(), 'succeeded' from generate_series(1, 20000) n;
insert into postroom.audit (actor, action) select 'a', 'b' from generate_series(1, 30000);
insert into postroom.flow
select now() - make_interval(mins => n), 'email/delivered', 1 from generate_series(1, 11000) n;
insert into postroom.flow
select now() - make_interval(mins => n), 'task_attempts/task' || task, 1 from generate_series(1, 1100) n, generate_series(1, 20) task;
insert into postroom.console_session (hash, actor)
select sha256(n::text::bytea), 'a' || n from generate_series(1, 5000) n;
insert into postroom.replay_run (actor, wanted, pace_per_s, items) select 'a', '{}', 1, 100 from generate_series(1, 200);
insert into postroom.replay_item (run_id, message_id, n, attempts, cause, fingerprint, reason, died_at)
select id, postroom.uuid7(), 0, 8, 'ours', 'f', 'r', now() from postroom.replay_run, generate_series(1, 100);
insert into postroom.endpoint (tenant, url, types, secret)
select 'tenant' || n % 10000, 'https://host' || n || '.example/', '{*}', 'whsec_' || n from generate_series(1, 30000) n;
analyze postroom.message, postroom.endpoint, postroom.delivery, postroom.dead_letter, postroom.attempt, postroom.stripe_event,
    postroom.job_run, postroom.audit, postroom.flow, postroom.console_session, postroom.replay_run, postroom.replay_item;
"""  # noqa: E501


def grows(table: str) -> bool:
    """Whether a table grows with traffic. A partition of the attempt log that holds no row yet is empty."""
    return table in GROWING or table == f"attempt_{datetime.now(UTC):%Y%m%d}"
