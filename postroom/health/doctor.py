"""What is wrong, on one screen, each with the command that mends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import asyncpg

from postroom.base.db import DATABASE_AWAY, Connection, connect, query
from postroom.base.encryption_keys import SETTING
from postroom.base.log import remove_secrets
from postroom.base.migrate import head, known_revisions
from postroom.base.settings import Settings
from postroom.encryption.keyring import Keyring, keyring_of
from postroom.health.findings import Finding, error, ok, warning
from postroom.health.host import check_disks, check_settings
from postroom.health.readiness import RUNNER_SILENT_S
from postroom.metrics.gauges import Gauges, read_gauges
from postroom.outbox.model import Cause
from postroom.worker.model import JOB_NAMES, RUNNER

TIMEOUT_S: Final = 20.0
TRANSACTION_OLD_S: Final = 60.0
LATE_S: Final = 300.0
LATENCY_MAX_S: Final = 0.25

_DIAGNOSIS = query(__package__, "fetch_diagnosis")
_REVISION = query(__package__, "fetch_revision")
_RUNNER_AGE = query(__package__, "fetch_runner_age")
_TRANSACTIONS = query(__package__, "list_transactions")
_IN_USE = query(__package__, "list_keys_in_use")
_PARKED = query(__package__, "list_parked_endpoints")

_MENDING: Final = {
    Cause.PASSING: "postroom jobs run email-dlq",
    Cause.OURS: "postroom replay --cause ours --dry-run",
    Cause.PERMANENT: "postroom dead-letter list --cause permanent",
}


async def diagnose(settings: Settings, dsn: str) -> list[Finding]:
    """Look at everything once; works while the database is away, which is then the first finding.

    Does not promise: it mends nothing itself.
    """
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            conn = await connect(dsn, application="postroom doctor", pooler=settings.database_pooler)
            try:
                await _examine(conn, findings, keyring_of(settings.encryption.keys))
            finally:
                conn.terminate()
    except (*DATABASE_AWAY, asyncpg.PostgresError) as away:
        text = remove_secrets(str(away)) or "no answer"
        findings.append(error("database", f"away: {type(away).__name__}: {text}", _bring_back(settings)))
    findings += [*check_settings(settings), *check_disks(settings)]
    return findings


def _bring_back(settings: Settings) -> str:
    """In a shell that still has the settings of a `postroom up` that ended, these lead nowhere."""
    if settings.database_url is None:
        return "postroom up"
    if settings.prod:
        return 'psql "$POSTROOM_DATABASE_URL" -c "select 1"'
    return "unset $(env | grep -o '^POSTROOM_[A-Z_]*'); postroom up"


async def _examine(conn: Connection, findings: list[Finding], keyring: Keyring) -> None:
    started_s = time.perf_counter()
    facts = await conn.fetchrow(_DIAGNOSIS)
    latency_s = time.perf_counter() - started_s
    if facts is None:
        raise RuntimeError("a select without from gave no row")
    text = f"PostgreSQL {facts['version']}, {latency_s * 1000:.0f} ms"
    findings.append(
        ok("database", text) if latency_s < LATENCY_MAX_S else warning("database", f"slow: {text}")
    )
    if not facts["publisher"]:
        findings.append(
            warning(
                "database",
                "role postroom_publisher is missing",
                "psql -c 'create role postroom_publisher nologin'",
            )
        )
    revision = await conn.fetchval(_REVISION) if facts["migrated"] else None
    findings.append(_migrations(revision))
    findings += await _transactions(conn)
    if revision is None:
        return
    gauges = await read_gauges(conn)
    findings.append(_runner(await conn.fetchval(_RUNNER_AGE)))
    findings += [*_jobs(gauges), *_workers(gauges), *_late(gauges), *_dead(gauges), *_circuits(gauges)]
    findings += [*await _parked(conn), *await _keys(conn, keyring)]


def _migrations(revision: str | None) -> Finding:
    if revision is None:
        return error("migrations", "the schema is missing", "postroom migrate")
    if revision != head() and revision in known_revisions():
        return error("migrations", f"schema at {revision}, code at {head()}", "postroom migrate")
    return ok("migrations", f"schema at {revision}")


def _runner(age_s: float | None) -> Finding:
    command = "postroom work"
    if age_s is None:
        return error(RUNNER, "it never beat", command)
    if age_s >= RUNNER_SILENT_S:
        return error(RUNNER, f"silent for {age_s:.0f} s", command)
    return ok(RUNNER, f"beat {age_s:.0f} s ago")


def _jobs(gauges: Gauges) -> Iterator[Finding]:
    for name in JOB_NAMES:
        failures = gauges.jobs[name].consecutive_failures
        if failures:
            yield error(
                f"job {name}",
                f"failed {failures} times in a row",
                f"postroom work --job {name} --once",
            )


def _workers(gauges: Gauges) -> Iterator[Finding]:
    if gauges.vitals.workers == 0:
        yield error("workers", "none is alive: nothing is delivered", "postroom work")
    else:
        yield ok("workers", f"{gauges.vitals.workers} alive")


def _late(gauges: Gauges) -> Iterator[Finding]:
    for depth in gauges.queues:
        if depth.oldest_due_s > LATE_S:
            yield warning(
                f"channel {depth.channel}",
                f"{depth.waiting} {depth.state}, the oldest is {depth.oldest_due_s:.0f} s late",
                "postroom jobs list",
            )


def _dead(gauges: Gauges) -> Iterator[Finding]:
    for (channel, cause), count in sorted(gauges.dead_letters.items()):
        yield warning("dead letters", f"{count} on {channel}, cause {cause}", _MENDING[Cause(cause)])


def _circuits(gauges: Gauges) -> Iterator[Finding]:
    for name, circuit in sorted(gauges.circuits.items()):
        if circuit.state != "closed" or circuit.forced:
            held = ", held by a person" if circuit.forced else ""
            yield warning(f"circuit {name}", f"{circuit.state}{held}: {circuit.reason or 'no reason kept'}")


async def _transactions(conn: Connection, *, older_than_s: float = TRANSACTION_OLD_S) -> list[Finding]:
    return [
        warning(
            "transactions",
            f"pid {row['pid']} ({row['application'] or row['role']}, {row['state']}) holds one for "
            f"{row['age_s']:.0f} s: {remove_secrets(row['query'])}",
            f"psql -c 'select pg_terminate_backend({row['pid']})'",
        )
        for row in await conn.fetch(_TRANSACTIONS, older_than_s)
    ]


async def _parked(conn: Connection) -> list[Finding]:
    return [
        warning(
            "endpoints",
            f"{row['tenant']} is parked ({row['reason']}), {row['waiting']} wait",
            f"postroom endpoint resume {row['id']}",
        )
        for row in await conn.fetch(_PARKED)
    ]


async def _keys(conn: Connection, keyring: Keyring) -> list[Finding]:
    return [
        error(
            "encryption",
            f"{count} waiting or dead messages are encrypted with the key {key!r}, not in {SETTING}; "
            "add it, then replay what died of it",
            "postroom replay --cause ours --dry-run",
        )
        for key, count in (await _missing_keys(conn, keyring)).items()
    ]


async def _missing_keys(conn: Connection, keyring: Keyring) -> dict[str, int]:
    """Keys that are not configured but encrypt what waits or is dead, each with how many were seen."""
    rows = await conn.fetch(_IN_USE)
    return {row["key"]: row["count"] for row in rows if row["key"] not in keyring.names}
