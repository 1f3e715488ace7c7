"""`console_page_ms`: the console's pages over a long history, a large backlog and many dead letters."""

from __future__ import annotations

import asyncio
import time
from statistics import median, quantiles
from typing import Final

import aiohttp

from bench.report import Report
from bench.service import Api
from postroom.base.db import open_pool, transaction
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay_runs import start_run

ROUNDS: Final = 3
PAUSE_S: Final = 0.05
"""So that a round over all pages takes longer than the two seconds for which gauges are kept."""
LETTERS: Final = 100_000
REPLAYED: Final = 20_000
EVENTS: Final = 50_000

FILL: Final = (
    """
insert into postroom.message (id, channel, type, tenant, key, payload, deliveries)
select postroom.uuid7(), case i % 3 when 0 then 'email' else 'webhook' end, 'invoice.paid',
    'tenant-' || i % 200, 'dead:' || i, '{"type": "invoice.paid", "data": {}}', 1
from generate_series(1, $1::bigint) i""",
    """
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, code, died_at)
select id, 0, i, channel, 'host-' || i % 50 || '.example', 8,
    (array['passing', 'permanent', 'ours'])[1 + i % 3], 'fault-' || i % 40, 'answered ' || 500 + i % 40,
    (500 + i % 40)::text, now() - i * interval '1 second'
from generate_series(1, $1::bigint) i
join postroom.message m on m.key = 'dead:' || i""",
    """
with made as (
    insert into postroom.message (id, channel, type, key, correlation_id, payload, deliveries)
    select postroom.uuid7(), 'stripe', 'invoice.paid', 'evt_' || i, 'evt_' || i / 60, '{}', 1
    from generate_series(1, $1::bigint) i
    returning id, key
), attempted as (
    insert into postroom.attempt (message_id, n, channel, attempt, worker, outcome, duration_ms)
    select id, 0, 'stripe', 1, 1, 'delivered', 5 from made
)
insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_type, object_id,
    thin, livemode, event_created, secret, settled_at)
select 'self', key, id, 'webhook', 'processed', 'invoice.paid', 'invoice', 'in_' || substr(key, 5)::int / 3,
    false, true, now(), 'whsec_ab', now() from made""",
    """
insert into postroom.endpoint (tenant, url, types, secret)
select 'tenant-' || i % 200, 'https://host-' || i || '.example/', '{*}', 'whsec_' || i
from generate_series(1, $1::bigint / 100) i""",
    """
insert into postroom.audit (actor, action, subject)
select 'token:ada', 'outbox.replay', i::text from generate_series(1, $1::bigint / 2) i""",
    """
insert into postroom.job_run (job, started_at, outcome)
select 'canary', now() - i * interval '30 seconds', 'succeeded' from generate_series(1, least($1, 500)) i""",
    """
insert into postroom.flow (minute, label, value)
select date_trunc('minute', now()) - make_interval(mins => i), label, i % 90
from generate_series(1, least($1::integer, 10000)) i,
    unnest('{email/delivered,email/retry,webhook/delivered,stripe/delivered,level/dead}'::text[]) label""",
)
SOME: Final = """
select (select id from postroom.message where key = 'h77') as finished,
    (select id from postroom.message where key = 'evt_77') as chained,
    (select message_id from postroom.dead_letter limit 1) as dead,
    (select id from postroom.endpoint limit 1) as endpoint"""
SETTLE: Final = (
    "vacuum (analyze) postroom.message, postroom.dead_letter, postroom.stripe_event, postroom.replay_item"
)
PAGES: Final = (
    "",
    "/messages",
    "/messages?tenant=tenant-7",
    "/messages?channel=webhook",
    "/messages?type=nosuch",
    "/messages?status=delivered",
    "/messages?status=cancelled",
    "/messages?status=dead&type=invoice.paid",
    "/messages?status=pending",
    "/messages?status=pending&tenant=nosuch",
    "/messages?status=parked",
    "/messages?within=15m&channel=export",
    "/messages?q=tenant-7",
    "/messages?q=ada@example.com",
    "/messages?q=evt_1",
    "/messages/{finished}",
    "/messages/{chained}",
    "/messages/{dead}",
    "/dead-letters",
    "/dead-letters?tenant=tenant-7",
    "/dead-letters?cause=ours",
    "/dead-letters?fingerprint=fault-7",
    "/dead-letters/replay?channel=webhook",
    "/dead-letters/replay?tenant=tenant-7",
    "/replays/{replay}",
    "/stripe",
    "/stripe?type=nosuch",
    "/webhooks",
    "/webhooks?tenant=tenant-7",
    "/webhooks/{endpoint}",
    "/jobs",
    "/jobs/canary",
    "/circuits",
    "/settings",
    "/tokens",
    "/audit",
    "/audit?actor=nosuch",
    "/runbooks/JobStale",
)


async def fill_office(dsn: str) -> list[str]:
    """Dead letters, Stripe events, endpoints, a trail, a replay under way. Returns: the pages to ask for."""
    pool = await open_pool(dsn)
    for statement, count in zip(FILL, (LETTERS, LETTERS, *[EVENTS] * 5), strict=True):
        await pool.execute(statement, count, timeout=300)
    async with transaction(pool) as conn:
        wanted = DeadLetterFilter(channels=("email",))
        run = await start_run(conn, wanted, actor="bench", pace_per_s=0.1, limit=REPLAYED)
    some = await pool.fetchrow(SOME)
    await pool.execute(SETTLE, timeout=300)
    await pool.close()
    return [page.format(**dict(some or {}), replay=run.run_id) for page in PAGES]


async def measure_pages(api: Api, report: Report, pages: list[str]) -> None:
    """Ask for each page in turn, one request at a time, as somebody who is signed in."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of 127.0.0.1, too
    times_ms: dict[str, list[float]] = {page: [] for page in pages}
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        await _sign_in(session, api)
        for _ in range(ROUNDS):
            for page in pages:
                times_ms[page].append(await _time_page(session, f"{api.url}/console{page}"))
                await asyncio.sleep(PAUSE_S)
    worst = max(times_ms, key=lambda page: median(times_ms[page]))
    every = [each for times in times_ms.values() for each in times]
    said = f"worst: /console{worst}, {median(times_ms[worst]):.0f} ms (median)"
    report.put("console_page_ms", quantiles(every, n=20)[-1], note=said)


async def _sign_in(session: aiohttp.ClientSession, api: Api) -> None:
    form = {"token": api.token, "next": "/console/jobs"}
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with session.post(f"{api.url}/console/sign-in", data=form, headers=headers) as answer:
        answer.raise_for_status()


async def _time_page(session: aiohttp.ClientSession, url: str) -> float:
    """Milliseconds until the whole page is there. Errors: `RuntimeError` when it is another page."""
    started = time.perf_counter()
    async with session.get(url, allow_redirects=False) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}")
    return (time.perf_counter() - started) * 1e3
