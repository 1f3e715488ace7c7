"""What is wrong, on one screen, each with the command that mends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final

import asyncpg

from postroom.base.db import DATABASE_AWAY, Connection, connect, fetch_one, query
from postroom.base.durations import span
from postroom.base.errors import SettingsInvalid
from postroom.base.log import remove_secrets
from postroom.base.schema import fetch_revision, read_schema
from postroom.base.settings import Settings
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.client import StripeApi
from postroom.channels.stripe.drift import EndpointStatus
from postroom.channels.stripe.effects import Effects
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.encryption.keyring import keyring_of
from postroom.health.bounces import check_bounces
from postroom.health.conditions import NAMED_MAX, Condition, Growth, conditions, release_command
from postroom.health.crowding import check_crowding
from postroom.health.encryption import check_keys
from postroom.health.export_destinations import check_export_destinations
from postroom.health.findings import Finding, error, ok, warning
from postroom.health.host import check_certificates, check_disks, check_settings
from postroom.health.mail_servers import check_mail_servers
from postroom.health.moves import check_moves
from postroom.health.no_receiver import check_receivers
from postroom.health.plain_endpoints import check_plain_endpoints
from postroom.health.stripe import check_stripe
from postroom.health.thresholds import STRIPE_BEHIND_S, TRANSACTION_OLD_S
from postroom.metrics.gauges import Gauges, read_gauges
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import Cause, Channel
from postroom.worker.model import RUNNER

TIMEOUT_S: Final = 20.0
LATENCY_MAX_S: Final = 0.25
BULK_LONG_S: Final = 3_600.0

LoadEffects = Callable[[], Awaitable[Effects | None]]
OpenStripe = Callable[[], AbstractAsyncContextManager[Mapping[str, StripeApi]]]

_DIAGNOSIS = query(__package__, "fetch_diagnosis")
_TRANSACTIONS = query(__package__, "list_transactions")
_UNSEEN = query(__package__, "find_unseen_sessions")
_PARKED = query(__package__, "list_parked_endpoints")

_NAMED_HERE: Final = frozenset({"DeliveriesParked", "EndpointDisabled", "TransactionHeldLong"})
"""Conditions that the doctor tells in its own words, each endpoint and session with its command."""
_BROKEN: Final = frozenset({"JobStale"})
"""What wakes nobody and is broken all the same."""


async def diagnose(
    settings: Settings, dsn: str, *, load_effects: LoadEffects, open_stripe: OpenStripe | None = None
) -> list[Finding]:
    """Look at everything once; works while the database is away, which is then the first finding.

    `load_effects`: loads routes and handlers as every process does; `SettingsInvalid` where one would not
    start. `open_stripe`: gives Stripe's API for each account; without it Stripe is not asked.
    Does not promise: it mends nothing itself.
    """
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            conn = await connect(dsn, application="postroom doctor", pooler=settings.database_pooler)
            try:
                await _examine(conn, findings, settings)
            finally:
                conn.terminate()
    except asyncpg.InsufficientPrivilegeError as refused:
        text = f"this login may not look at all of it ({refused}); the API's may"
        findings.append(error("database", text, "postroom migrate"))
    except (*DATABASE_AWAY, asyncpg.PostgresError) as away:
        text = remove_secrets(str(away)) or "no answer"
        findings.append(error("database", f"away: {type(away).__name__}: {text}", _bring_back(settings)))
    effects, faults = await _load(settings, load_effects)
    findings += [*check_settings(settings), *faults]
    if open_stripe is not None:
        async with open_stripe() as apis:
            findings += await check_stripe(settings, apis, effects)
    findings += await check_mail_servers(settings.email)
    findings += await check_bounces(settings.email)
    findings += [*check_disks(settings), *check_certificates(settings)]
    return findings


async def _load(settings: Settings, load_effects: LoadEffects) -> tuple[Effects | None, list[Finding]]:
    """What events cause, or why neither `serve` nor `work` starts."""
    command = "postroom routes check" if settings.routes or settings.handlers else None
    try:
        return await load_effects(), []
    except SettingsInvalid as invalid:
        return None, [error("settings", fault, command) for fault in invalid.faults]


def _bring_back(settings: Settings) -> str:
    """In a shell that still has the settings of a `postroom up` that ended, these lead nowhere."""
    if settings.database_url is None:
        return "postroom up"
    if settings.prod:
        return 'psql "$POSTROOM_DATABASE_URL" -c "select 1"'
    return "unset $(env | grep -o '^POSTROOM_[A-Z_]*'); postroom up"


async def _examine(conn: Connection, findings: list[Finding], settings: Settings) -> None:
    started_s = time.perf_counter()
    facts = await fetch_one(conn, _DIAGNOSIS)
    latency_s = time.perf_counter() - started_s
    text = f"PostgreSQL {facts['version']}, {latency_s * 1000:.0f} ms"
    findings.append(
        ok("database", text) if latency_s < LATENCY_MAX_S else warning("database", f"slow: {text}")
    )
    findings += _publisher(exists=facts["publisher"], may_publish=facts["may_publish"])
    revision = await fetch_revision(conn)
    fault = read_schema().fault(revision)
    findings.append(
        error("migrations", fault, "postroom migrate") if fault else ok("migrations", f"schema at {revision}")
    )
    findings += await _transactions(conn)
    if revision is None:
        return
    gauges = await read_gauges(conn, standbys_may_lag=settings.database_standbys_may_lag)
    findings += [*await _conditions(conn, gauges, facts["now"]), *_workers(gauges)]
    findings += [*_dead(gauges), *_held_closed(gauges), *_bulk(gauges), *_compared(gauges)]
    findings += [
        *await _parked(conn),
        *await check_crowding(conn),
        *await check_receivers(conn, facts["now"]),
        *await check_moves(conn),
        *await check_plain_endpoints(conn, settings.webhook),
        *await check_export_destinations(conn, settings.exports),
        *await check_keys(conn, keyring_of(settings.encryption)),
    ]


def _publisher(*, exists: bool, may_publish: bool) -> Iterator[Finding]:
    if not exists:
        command = "psql -c 'create role postroom_publisher nologin' && postroom migrate"
        yield warning("database", "role postroom_publisher is missing", command)
    elif not may_publish:
        yield warning("database", "role postroom_publisher may not publish", "postroom migrate")


async def _conditions(conn: Connection, gauges: Gauges, now: datetime) -> list[Finding]:
    """What the console shows as wrong, too, by the clock of the database."""
    troubled = sorted(name for name, circuit in gauges.circuits.items() if circuit.state != "closed")
    receivers = await fetch_receivers(conn, troubled[:NAMED_MAX])
    found = conditions(gauges, now=now, growth=Growth(), receivers=receivers)
    findings = [_finding(each) for each in found if each.alert not in _NAMED_HERE]
    beat_at = gauges.jobs[RUNNER].last_heartbeat_at
    if beat_at is not None and not any(each.subject == RUNNER for each in findings):
        findings.insert(0, ok(RUNNER, f"beat {span((now - beat_at).total_seconds())} ago"))
    return findings


def _finding(condition: Condition) -> Finding:
    broken = condition.severity == "critical" or condition.alert in _BROKEN
    return (error if broken else warning)(condition.subject, condition.text.rstrip("."), condition.command)


def _workers(gauges: Gauges) -> Iterator[Finding]:
    if gauges.vitals.workers == 0:
        yield error("workers", "none is alive: nothing is delivered", "postroom work")
    else:
        yield ok("workers", f"{gauges.vitals.workers} alive")


def _dead(gauges: Gauges) -> Iterator[Finding]:
    for (channel, cause), count in sorted(gauges.dead_letters.items()):
        text = f"{count} on {channel}, cause {cause}"
        yield warning("dead letters", text, _replay_command(Channel(channel), Cause(cause)))


def _replay_command(channel: Channel, cause: Cause) -> str:
    """The job `email-dlq` sends mails only, and only what died for a reason that passes."""
    if cause in (Cause.PERMANENT, Cause.EXPIRED):  # sent again only if somebody still wants it
        return f"postroom dead-letter list --channel {channel} --cause {cause}"
    if (channel, cause) == (Channel.EMAIL, Cause.PASSING):
        return "postroom jobs run email-dlq"
    return f"postroom replay --channel {channel} --cause {cause} --dry-run"


def _held_closed(gauges: Gauges) -> Iterator[Finding]:
    for name, circuit in sorted(gauges.circuits.items()):
        if circuit.state == "closed" and circuit.forced:
            text = f"held closed by a person: {circuit.reason or 'no reason kept'}"
            yield warning(f"circuit {name}", text, release_command(name))


def _bulk(gauges: Gauges) -> Iterator[Finding]:
    """No alert calls bulk late, for it may wait; that it does, and for how long, is told here."""
    for channel in Channel:
        lane = [q for q in gauges.queues if (q.channel, q.urgency) == (channel, Urgency.BULK)]
        oldest_s = max((q.oldest_due_s for q in lane), default=0.0)
        if oldest_s > BULK_LONG_S and channel not in gauges.paused:
            text = f"{sum(q.waiting for q in lane)} bulk deliveries wait, the oldest for {span(oldest_s)}"
            yield warning(f"channel {channel}", text, "postroom work")


def _compared(gauges: Gauges) -> Iterator[Finding]:
    """How far each account of Stripe was compared with Stripe's own list; what is wrong is a condition."""
    for each in gauges.stripe:
        subject = "stripe" if each.account == OWN_ACCOUNT else f"stripe {each.account}"
        if each.behind_s is None:
            yield ok(subject, "no API key: what webhooks miss is not looked for")
        elif each.behind_s <= STRIPE_BEHIND_S:
            missed = f"{each.missed} came without a webhook since {each.began_at:%Y-%m-%d}"
            endpoint = (
                f"; its endpoint was not looked at: {each.endpoint_reason}"
                if each.endpoint is EndpointStatus.UNKNOWN and each.endpoint_reason
                else ""
            )
            yield ok(subject, f"compared with Stripe as of {span(each.behind_s)} ago; {missed}{endpoint}")


async def _transactions(conn: Connection, *, older_than_s: float = TRANSACTION_OLD_S) -> list[Finding]:
    found = [
        warning(
            "transactions",
            f"pid {row['pid']} ({row['application'] or row['role']}, {row['state']}) holds one for "
            f"{row['age_s']:.0f} s: {remove_secrets(row['query'])}",
            f"psql -c 'select pg_terminate_backend({row['pid']})'",
        )
        for row in await conn.fetch(_TRANSACTIONS, older_than_s)
    ]
    if blind := await conn.fetchval(_UNSEEN):
        text = (
            f"{blind} sees no sessions of others: TransactionHeldLong and ReplicationNotSynchronous are blind"
        )
        found.append(warning("transactions", text, f"psql -c 'grant pg_read_all_stats to \"{blind}\"'"))
    return found


async def _parked(conn: Connection) -> list[Finding]:
    return [
        warning(
            "endpoints",
            f"{row['tenant']} is {'disabled' if row['disabled'] else 'parked'} ({row['reason']}), "
            f"{row['waiting']} wait{' and nothing new is queued' if row['disabled'] else ''}",
            f"postroom endpoint resume {row['id']}",
        )
        for row in await conn.fetch(_PARKED)
    ]
