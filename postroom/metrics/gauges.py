"""What PostgreSQL knows about the service, read for the metrics page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from postroom.base.cached import Cached
from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY, Connection, Pool, fetch_one, query
from postroom.base.log import get_logger
from postroom.channels.stripe.drift import Drift, list_drift
from postroom.channels.tasks.schedules import list_behind
from postroom.metrics.failing import Failing, list_failing
from postroom.metrics.roles import RoleExcess, list_role_excess
from postroom.outbox.lanes import Urgency
from postroom.outbox.ledger.dead_letters import count_dead_letters
from postroom.outbox.limits import LimitStatus, list_limits
from postroom.outbox.model import Channel
from postroom.outbox.pauses import ChannelStatus, list_channels
from postroom.resilience.store import Circuit, list_circuits
from postroom.worker.model import JobStatus
from postroom.worker.store import list_jobs

log = get_logger(__name__)

CACHE_S: Final = 2.0
STATEMENT_TIMEOUT_S: Final = 2.0
TIMEOUT_S: Final = 5.0
COUNTED_MAX: Final = 10_000
WORKER_SILENT_S: Final = 30.0

_DELIVERIES = query(__package__, "count_deliveries")
_TALLIES = query(__package__, "list_tallies")
_VITALS = query(__package__, "fetch_vitals")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Deliveries of one channel and urgency in one state. `oldest_due_s`: how late the oldest one is.

    `timeless`: what has no time yet: a task awaits its batch, anything else is parked and waits for a person.

    Bulk may wait as long as others do not: it is never late, so to its own `oldest_due_s` no alert is tied.
    """

    channel: str
    state: str
    waiting: int
    timeless: int
    oldest_due_s: float
    urgency: str = Urgency.NORMAL

    @property
    def parked(self) -> int:
        return 0 if self.channel == Channel.TASK else self.timeless

    @property
    def awaiting_batch(self) -> int:
        return self.timeless - self.parked

    @property
    def late_s(self) -> float:
        """How late the oldest one is, where it can be."""
        return 0.0 if self.urgency == Urgency.BULK else self.oldest_due_s


@dataclass(frozen=True, slots=True)
class Vitals:
    """The server and the workers. `token_days`: until the next token expires, if one ever does.

    `partition_days`: for how many days ahead the attempt log has partitions. `data_dir`: the server's
    folder, where it runs on this machine and our role may see it.
    `published`, `no_receiver`, `open`, `drift` and `checked_s` (Unix time, 0 for never) are the canary's
    last finding. `standbys`: servers that follow this one, or have a slot to; of them
    `standbys_synchronous` have each commit before it is acknowledged.
    """

    transaction_s: float
    standbys: int
    standbys_synchronous: int
    workers: int
    endpoints_disabled: int
    database_bytes: int
    token_days: float | None
    partition_days: float
    data_dir: str | None
    published: int
    no_receiver: int
    open: int
    drift: int
    checked_s: float


@dataclass(frozen=True, slots=True)
class Gauges:
    """One reading. Each channel and state, or channel and cause, is counted up to `COUNTED_MAX`.

    Where there is more, the count is the canary's last one, and never below `COUNTED_MAX`. `schedules`: how
    many seconds each is behind, as `list_behind` has them.
    """

    queues: tuple[QueueDepth, ...]
    failing: tuple[Failing, ...]
    dead_letters: dict[tuple[str, str], int]
    tallies: dict[tuple[str, str], int]
    jobs: dict[str, JobStatus]
    schedules: dict[str, float]
    circuits: dict[str, Circuit]
    paused: dict[str, ChannelStatus]
    limits: tuple[LimitStatus, ...]
    role_excess: tuple[RoleExcess, ...]
    stripe: tuple[Drift, ...]
    vitals: Vitals

    @property
    def loses_commits(self) -> bool:
        """Whether there is a standby to fail over to, which may lack what was acknowledged."""
        return self.vitals.standbys > 0 and self.vitals.standbys_synchronous == 0


async def read_gauges(conn: Connection, *, standbys_may_lag: bool = False) -> Gauges:
    """Read everything. Transaction: the caller's; repeatable read makes the numbers agree.

    `standbys_may_lag`: as if there were none, for nobody relies on them.
    """
    queues = await conn.fetch(_DELIVERIES, COUNTED_MAX, timeout=STATEMENT_TIMEOUT_S)
    failing = await list_failing(conn, timeout_s=STATEMENT_TIMEOUT_S)
    dead = await count_dead_letters(conn, counted_max=COUNTED_MAX, timeout_s=STATEMENT_TIMEOUT_S)
    tallies = await conn.fetch(_TALLIES, timeout=STATEMENT_TIMEOUT_S)
    jobs = await list_jobs(conn, timeout_s=STATEMENT_TIMEOUT_S)
    channels = await list_channels(conn, timeout_s=STATEMENT_TIMEOUT_S)
    vitals = await fetch_one(conn, _VITALS, WORKER_SILENT_S, timeout_s=STATEMENT_TIMEOUT_S)
    return Gauges(
        queues=tuple(QueueDepth(**row) for row in queues),
        failing=tuple(failing),
        dead_letters={(each.channel, each.cause): each.count for each in dead},
        tallies={(row["name"], row["label"]): row["value"] for row in tallies},
        jobs={job.name: job for job in jobs},
        schedules=await list_behind(conn, timeout_s=STATEMENT_TIMEOUT_S),
        circuits={circuit.name: circuit for circuit in await list_circuits(conn)},
        limits=tuple(await list_limits(conn, timeout_s=STATEMENT_TIMEOUT_S)),
        role_excess=tuple(
            await list_role_excess(conn, silent_s=WORKER_SILENT_S, timeout_s=STATEMENT_TIMEOUT_S)
        ),
        stripe=tuple(await list_drift(conn, timeout_s=STATEMENT_TIMEOUT_S)),
        paused={each.channel: each for each in channels if each.paused},
        vitals=Vitals(**{**vitals, **({"standbys": 0} if standbys_may_lag else {})}),
    )


class GaugeReader:
    """Promise: one reading at a time, kept 2 s; None, never old numbers, while the database is away."""

    def __init__(self, *, pool: Pool, clock: Clock, standbys_may_lag: bool = False) -> None:
        """`standbys_may_lag` as in `read_gauges`."""
        self._pool = pool
        self._standbys_may_lag = standbys_may_lag
        self._cached: Cached[Gauges | None] = Cached(self._read, ttl_s=CACHE_S, clock=clock)

    async def read(self) -> Gauges | None:
        return await self._cached.get()

    async def _read(self) -> Gauges | None:
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._pool.acquire() as conn,
                conn.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await read_gauges(conn, standbys_may_lag=self._standbys_may_lag)
        except (*DATABASE_AWAY, *DATABASE_BUSY) as error:
            log.warning("metrics.database_away", error=type(error).__name__)
            return None
