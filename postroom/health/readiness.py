"""Is this process fit to serve? Asks the database only, never Stripe, mail or receivers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg

from postroom.base.cached import Cached
from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool, query
from postroom.base.errors import NotFound
from postroom.base.schema import Schema, fetch_revision
from postroom.health.thresholds import RUNNER_SILENT_S

CHECK_TIMEOUT_S: Final = 1.0
CACHE_S: Final = 2.0

_RUNNER_AGE = query(__package__, "fetch_runner_age")


class CheckStatus(StrEnum):
    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` is for operators: it may name hosts and revisions, never secrets."""

    status: CheckStatus
    detail: str


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    ready: bool
    checks: dict[str, CheckResult]


class Readiness:
    """The three checks of `/readyz`, each within 1 s, kept for 2 s.

    A database that is ahead of this code is ready (rolling deploys); one that is behind is not.
    """

    def __init__(self, *, pool: Pool, clock: Clock, schema: Schema) -> None:
        self._pool = pool
        self._schema = schema
        self._stopping = False
        checks: dict[str, Callable[[], Awaitable[CheckResult]]] = {
            "database": self._database,
            "migrations": self._migrations,
            "jobs": self._jobs,
        }
        self._checks = {
            name: Cached(_bounded(check), ttl_s=CACHE_S, clock=clock) for name, check in checks.items()
        }

    def names(self) -> tuple[str, ...]:
        return tuple(self._checks)

    def stop(self) -> None:
        """From now on not ready, whatever the checks say: traffic must go elsewhere first."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether this process is on its way out; what never ends by itself should end now."""
        return self._stopping

    async def report(
        self, *, exclude: frozenset[str] = frozenset(), only: str | None = None
    ) -> ReadinessReport:
        """Run the checks side by side. Errors: `NotFound` for a name that is no check."""
        for name in (*sorted(exclude), *([only] if only else [])):
            if name not in self._checks:
                raise NotFound(f"no check is called {name[:50]!r}; known: {', '.join(self._checks)}")
        chosen = [only] if only else [name for name in self._checks if name not in exclude]
        results = dict(
            zip(chosen, await asyncio.gather(*(self._checks[n].get() for n in chosen)), strict=True)
        )
        if self._stopping:
            results["shutdown"] = CheckResult(CheckStatus.FAILED, "this process is shutting down")
        return ReadinessReport(all(r.status is CheckStatus.OK for r in results.values()), results)

    async def _database(self) -> CheckResult:
        async with self._pool.acquire() as conn:
            await conn.fetchval("select 1")
        return CheckResult(CheckStatus.OK, "it answers")

    async def _migrations(self) -> CheckResult:
        async with self._pool.acquire() as conn:
            revision = await fetch_revision(conn)
        fault = self._schema.fault(revision)
        if fault is not None:
            return CheckResult(CheckStatus.FAILED, f"{fault}; run `postroom migrate`")
        return CheckResult(CheckStatus.OK, f"schema at {revision}")

    async def _jobs(self) -> CheckResult:
        async with self._pool.acquire() as conn:
            age_s = await conn.fetchval(_RUNNER_AGE)
        if age_s is None:
            return CheckResult(CheckStatus.FAILED, "jobs-runner never beat; run `postroom work`")
        status = CheckStatus.OK if age_s < RUNNER_SILENT_S else CheckStatus.FAILED
        return CheckResult(status, f"jobs-runner beat {age_s:.0f} s ago")


def _bounded(check: Callable[[], Awaitable[CheckResult]]) -> Callable[[], Awaitable[CheckResult]]:
    async def run() -> CheckResult:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await check()
        except TimeoutError:
            return CheckResult(CheckStatus.FAILED, f"no answer within {CHECK_TIMEOUT_S:.0f} s")
        except asyncpg.UndefinedTableError:
            return CheckResult(CheckStatus.FAILED, "the schema is missing; run `postroom migrate`")
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            return CheckResult(CheckStatus.FAILED, f"the database is away: {type(error).__name__}")

    return run
