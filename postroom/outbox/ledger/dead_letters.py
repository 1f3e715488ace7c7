"""The dead-letter office as people read it: items, groups of one fault, counts; by bounded scans."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from postroom.base.bounded_page import BoundedPage, as_kind, bounded_page
from postroom.base.cursor import decode_cursor
from postroom.base.db import Connection, plan_for_values, query
from postroom.outbox.model import Cause
from postroom.outbox.reach import EVERYTHING, Reach

_LIST = query(__package__, "list_dead_letters")
_GROUPS = query(__package__, "list_dead_letter_groups")
_COUNT = query(__package__, "count_dead_letters")
_COUNT_OF_TENANTS = query(__package__, "count_tenants_dead_letters")
_OF_ENDPOINTS = query(__package__, "count_endpoint_dead_letters")

SCAN_MAX: Final = 2_000
FAULTS_MAX: Final = 1_000
GROUPED_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters: everything that is given must match; None means any."""

    channels: tuple[str, ...] | None = None
    cause: str | None = None
    fingerprint: str | None = None
    tenant: str | None = None
    type: str | None = None
    destination: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    message_ids: tuple[UUID, ...] | None = None
    codes: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None

    def parameters(self) -> tuple[Any, ...]:
        """The first eleven parameters of every query that takes the filter."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def within(self, reach: Reach) -> DeadLetterFilter:
        """Of these only what somebody reaches."""
        if not reach.limited:
            return self
        tenant = self.tenant or reach.only_tenant
        tenants, channels = reach.beside(tenant).parameters()
        if channels is not None and self.channels is not None:
            channels = [channel for channel in self.channels if channel in channels]
        return dataclasses.replace(
            self,
            channels=self.channels if channels is None else tuple(channels),
            tenant=tenant,
            tenants=None if tenants is None else tuple(tenants),
        )

    def described(self) -> dict[str, Any]:
        """What is given, as the audit trail keeps it; of many messages only how many."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if self.message_ids:
            given["message_ids"] = len(self.message_ids)
        return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in given.items()}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    message_id: UUID
    n: int
    channel: str
    destination: str
    endpoint_id: UUID | None
    attempts: int
    cause: Cause
    fingerprint: str
    reason: str
    code: str | None
    died_at: datetime
    type: str
    tenant: str
    key: str | None
    correlation_id: str | None


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one fault, which has one fingerprint; the rest is the newest one's.

    `count` stops at `counted_max`; `first_died_at` is of the oldest.
    """

    fingerprint: str
    channel: str
    cause: Cause
    count: int
    counted_max: int
    first_died_at: datetime
    last_died_at: datetime
    sample_reason: str
    sample_message_id: UUID


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    channel: str
    cause: Cause
    count: int


async def list_dead_letters(
    conn: Connection, wanted: DeadLetterFilter, *, cursor: str | None = None, limit: int = 50
) -> BoundedPage[DeadLetter]:
    """Newest first, of the newest `SCAN_MAX` that may fit: of each channel, or of the fault or receiver.

    `cursor`: of the page before. Errors: `InvalidInput` for one that no page gave.
    Transaction: the caller's; from here on it plans each statement for its very values.
    """
    after = decode_cursor(cursor, tuple[datetime, UUID, int]) or (None, None, None)
    # A channel, one of cause and tenant, and a time are found along an index: nothing is passed over.
    found = {"tenant": None} if wanted.cause is None else {"cause": None}
    exact = dataclasses.replace(wanted, channels=None, since=None, until=None, **found)
    scan_max = limit + 1 if exact == DeadLetterFilter() else SCAN_MAX
    await plan_for_values(conn)
    rows = await conn.fetch(_LIST, *wanted.parameters(), *after, scan_max, limit + 1)
    return bounded_page(rows, ("died_at", "message_id", "n"), limit=limit).of(DeadLetter)


async def list_dead_letter_groups(
    conn: Connection, wanted: DeadLetterFilter, *, limit: int = 50
) -> list[DeadLetterGroup]:
    """The biggest first, of the first `FAULTS_MAX` faults; about `GROUPED_MAX` letters are looked at.

    Transaction: the caller's; from here on it plans each statement for its very values.
    """
    await plan_for_values(conn)
    rows = await conn.fetch(_GROUPS, *wanted.parameters(), limit, FAULTS_MAX, GROUPED_MAX)
    return [as_kind(row, DeadLetterGroup) for row in rows]


async def count_dead_letters(
    conn: Connection, *, counted_max: int, reach: Reach = EVERYTHING, timeout_s: float | None = None
) -> list[DeadLetterCount]:
    """How many by channel and cause; pairs without any are left out.

    Each is counted up to `counted_max`; where there is more, the count is the canary's last one. Of some
    tenants so many are counted altogether.
    """
    tenants, channels = reach.parameters()
    if tenants is not None:
        rows = await conn.fetch(_COUNT_OF_TENANTS, counted_max, tenants, channels, timeout=timeout_s)
    else:
        rows = await conn.fetch(_COUNT, counted_max, timeout=timeout_s)
    counts = [as_kind(row, DeadLetterCount) for row in rows]
    return [each for each in counts if channels is None or each.channel in channels]


async def count_of_endpoints(conn: Connection, endpoint_ids: Sequence[UUID], *, cap: int) -> dict[str, int]:
    """Dead letters by endpoint, each counted up to `cap`."""
    rows = await conn.fetch(_OF_ENDPOINTS, [str(each) for each in endpoint_ids], cap)
    return {row["name"]: row["count"] for row in rows}
