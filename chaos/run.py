"""One run from start to verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from chaos.cluster import Cluster
from chaos.cluster_faults import ClusterFaults, open_beats
from chaos.database import Database
from chaos.database_faults import DatabaseFaults
from chaos.entrances import ApiEntrance, Entrance, SqlEntrance, StripeEntrance
from chaos.evidence import LETTERS, collect, found_in_ledger, torn_transactions
from chaos.faults import Faults
from chaos.healing import hurrying, replay_letters, wait_for_quiet
from chaos.installation import Installation, open_installation, wait_until_ready
from chaos.journal import Journal
from chaos.plan import OF_THE_DATABASE, STANDING, ClusterKind, Kind, Planned, make_plan
from chaos.probes import Probes
from chaos.report import Report, failures, recovery_time
from chaos.verdict import compare
from postroom.base.db import Pool, open_pool

QUIET_WITHIN_S: Final = 180.0
ACKNOWLEDGED_WITHIN_S: Final = 90.0
FAULTS_END_WITHIN_S: Final = 180.0
SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`length_s`: how long faults are inflicted; starting, healing and comparing come on top."""

    seed: int
    length_s: float
    per_s: float
    folder: Path
    exports_dir: Path
    disk_can_be_full: bool
    cluster: bool


@dataclass(frozen=True, slots=True)
class Result:
    report: Report
    failures: Sequence[str]


async def run(options: Options) -> Result:
    """Errors: what starting raises; a run that does not get quiet is a failure, not an error."""
    database = (
        Cluster(options.folder, small_disks=options.disk_can_be_full)
        if options.cluster
        else Database(options.folder)
    )
    async with AsyncExitStack() as stack:
        installation = await stack.enter_async_context(
            open_installation(options.folder, options.exports_dir, database)
        )
        say(f"{len(installation.processes)} processes and the database run; logs in {options.folder}")
        pool = await stack.enter_async_context(_pool(installation))
        journal = Journal()
        probes = Probes(pool=pool, journal=journal)
        cluster: ClusterFaults | None = None
        if isinstance(database, Database):
            faults = Faults(installation, DatabaseFaults(database))
        else:
            beats = await stack.enter_async_context(open_beats(database.direct_dsn))
            faults, cluster = Faults(installation, None), ClusterFaults(database, beats)
        counts = await _storm(options, installation, (faults, cluster), (journal, probes, pool))
        return await _judge(options, installation, cluster, (journal, probes), counts)


@asynccontextmanager
async def _pool(installation: Installation) -> AsyncIterator[Pool]:
    """Through the links, as any application: it follows a fail-over and loses connections like others."""
    pool = await open_pool(installation.database.dsns[0], connections_max=30, application="publisher")
    try:
        yield pool
    finally:
        pool.terminate()


async def _storm(
    options: Options,
    installation: Installation,
    faults: tuple[Faults, ClusterFaults | None],
    parts: tuple[Journal, Probes, Pool],
) -> Counter[str]:
    """Load and faults, then healing; returns when every publisher has its last answer."""
    journal, probes, pool = parts
    async with aiohttp.ClientSession() as client:
        entrances = _entrances(options, installation, (journal, pool, client))
        hurry = asyncio.create_task(hurrying(pool))
        loads = [asyncio.create_task(each.run()) for each in entrances]
        try:
            counts = await _inflict(options, installation, faults, probes)
            for each in entrances:
                each.stopping.set()
            await asyncio.gather(*loads)
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN_S):
                await asyncio.gather(*(each.finish() for each in entrances))
        finally:
            for task in (hurry, *loads):
                task.cancel()
            await asyncio.gather(hurry, *loads, return_exceptions=True)
    return counts


def _entrances(
    options: Options, installation: Installation, parts: tuple[Journal, Pool, aiohttp.ClientSession]
) -> tuple[Entrance, ...]:
    journal, pool, client = parts
    http = {"journal": journal, "per_s": options.per_s, "urls": installation.urls, "client": client}
    return (
        StripeEntrance(secret=installation.secret, api=installation.stripe, seed=options.seed, **http),
        ApiEntrance(token=installation.token, seed=options.seed + 1, **http),
        SqlEntrance(pool=pool, journal=journal, per_s=options.per_s, seed=options.seed + 2),
    )


async def _inflict(
    options: Options, installation: Installation, both: tuple[Faults, ClusterFaults | None], probes: Probes
) -> Counter[str]:
    """Follow the plan, and beside it that of the cluster. Returns: how many of each were really inflicted."""
    faults, cluster = both
    possible = possible_kinds(installation, options)
    plan = make_plan(options.seed, length_s=options.length_s, possible=possible)
    cluster_kinds = possible_cluster_kinds(options)
    counts = Counter(dict.fromkeys((str(kind) for kind in (*Kind, *cluster_kinds)), 0))
    counts.update(str(kind) for kind in STANDING)
    started = asyncio.get_running_loop().time()

    async def follow(fault: Planned) -> None:
        await asyncio.sleep(max(0.0, started + fault.at_s - asyncio.get_running_loop().time()))
        say(f"{fault.at_s:7.1f} s  {fault.kind} for {fault.duration_s:g} s")
        if await faults.inflict(fault):
            counts[fault.kind] += 1
            await probes.measure()

    async def follow_each_in_turn() -> None:
        """The next one finds the cluster whole."""
        if cluster is None:
            return
        for fault in make_plan(options.seed, length_s=options.length_s, possible=cluster_kinds):
            at_s = asyncio.get_running_loop().time() - started
            if at_s > options.length_s:
                return
            say(f"{at_s:7.1f} s  {fault.kind} for {fault.duration_s:g} s")
            counts[fault.kind] += await cluster.inflict(fault)

    try:
        async with asyncio.timeout(options.length_s + FAULTS_END_WITHIN_S), asyncio.TaskGroup() as group:
            for fault in plan:
                group.create_task(follow(fault), name=fault.kind)
            group.create_task(follow_each_in_turn())
            group.create_task(asyncio.sleep(options.length_s))
    finally:
        if cluster is not None:
            await cluster.heal()
        await faults.heal()
    await wait_until_ready(installation)
    return counts


def possible_kinds(installation: Installation, options: Options) -> list[Kind]:
    missing: set[Kind] = set()
    if options.cluster:
        missing |= OF_THE_DATABASE
    elif isinstance(installation.database, Database) and not installation.database.can_fail_over:
        missing |= {Kind.FAIL_OVER, Kind.STANDBY_KILLED}
    if not options.disk_can_be_full:
        missing.add(Kind.DISK_FULL)
    return [kind for kind in Kind if kind not in missing]


def possible_cluster_kinds(options: Options) -> list[ClusterKind]:
    if not options.cluster:
        return []
    return [kind for kind in ClusterKind if options.disk_can_be_full or kind != ClusterKind.LEADER_DISK_FULL]


async def _judge(
    options: Options,
    installation: Installation,
    cluster: ClusterFaults | None,
    parts: tuple[Journal, Probes],
    counts: Counter[str],
) -> Result:
    """Wait for quiet and compare, past the links and with a pool that has seen no fault."""
    journal, probes = parts
    pool = await open_pool(installation.database.direct_dsn, connections_max=4)
    try:
        healed_at = await pool.fetchval("select now()")
        strange = list(await pool.fetch(LETTERS, True))
        say(f"healed; {await replay_letters(pool)} dead letters replayed; waiting for quiet")
        quiet = await wait_for_quiet(pool, ticks_until=healed_at, limit_s=QUIET_WITHIN_S)
        strange += await pool.fetch(LETTERS, False)
        unknown = journal.unknown()
        journal.resolve(await found_in_ledger(pool, unknown))
        torn = await torn_transactions(pool)
        evidence = await collect(installation, pool, ticks_until=healed_at)
        forgotten = await cluster.beats.missing(pool) if cluster else []
        # An API in development ends where it starts while the database is away; a runner never does.
        failed = [runner.name for runner in installation.runners if runner.failed]
    finally:
        await pool.close()
    comparison = compare(journal.entries, evidence.arrivals, evidence.cut_attempts)
    report = Report(
        published=comparison.published,
        delivered=comparison.delivered,
        lost=len(comparison.lost),
        duplicates=comparison.duplicates,
        phantoms=len(comparison.phantoms),
        dead_unexplained=len(strange),
        unknown_surfaced=evidence.unknown_surfaced,
        ledger_drift=evidence.drift,
        faults=dict(counts),
        recovery_s=recovery_time(probes.times_s),
        writes_stopped_s=cluster.writes_stopped_s() if cluster else {},
        tasks=evidence.tasks,
        ticks_expected=evidence.ticks.expected,
        ticks_seen=evidence.ticks.seen,
        ticks_wrong=len(evidence.ticks.wrong),
        seed=options.seed,
    )
    say(f"tasks that ran: {', '.join(f'{count} {name}' for name, count in report.tasks.items())}")
    say(
        f"minutes of a schedule: {report.ticks_expected} were due, {report.ticks_seen} of them ran,"
        f" {report.ticks_wrong} were missed, doubled or not due"
    )
    say(f"{len(journal)} publications tried, {len(unknown)} of them without an answer and looked up")
    for what, found in (
        ("lost", comparison.lost),
        ("phantom", comparison.phantoms),
        ("unexplained duplicate", comparison.duplicates_unexplained),
        ("unexplained dead letter", [str(dict(row)) for row in strange]),
        ("torn transaction", torn),
        ("minute of a schedule", evidence.ticks.wrong),
        ("write that was acknowledged and is not there", forgotten),
        ("runner that ended with an error", failed),
        ("bad signature", evidence.signature_faults),
    ):
        for each in list(found)[:SHOWN_MAX]:
            say(f"{what}: {each}")
    more = [] if quiet else [f"not quiet within {QUIET_WITHIN_S:g} s"]
    more += [f"torn transactions = {len(torn)}"] if torn else []
    more += [f"acknowledged writes that are not there = {len(forgotten)}"] if forgotten else []
    more += [f"runners that ended with an error = {len(failed)}"] if failed else []
    more += [f"bad signatures = {len(evidence.signature_faults)}"] if evidence.signature_faults else []
    return Result(report, [*failures(report, comparison, length_s=options.length_s), *more])


def say(text: str) -> None:
    print(f"chaos: {text}", flush=True)
