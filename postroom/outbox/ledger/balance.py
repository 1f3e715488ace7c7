"""The sum that must fit: published = delivered + waiting + dead + cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, Pool, fetch_one, plan_by_blocks, query
from postroom.base.log import get_logger

log = get_logger(__name__)

_BALANCE = query(__package__, "balance")
_ADVANCE_FOLD = query(__package__, "advance_fold")
_IS_RESTORED = query(__package__, "is_restored")
_FORGET_FOREIGN_XIDS = query(__package__, "forget_foreign_xids")
_REBASE_FOLD = query(__package__, "rebase_fold")
_MARK_CHECKED = query(__package__, "mark_ledger_checked")
_MARK_COUNTS = query(__package__, "mark_ledger_counts")

START: Final = UUID(int=0)
BATCH_MAX: Final = 10_000
COUNT_TIMEOUT_S: Final = 120.0
"""Counting reads every open delivery: of tens of millions that takes longer than any other statement may."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Deliveries, counted from both sides. `open` are pending and retry together.

    `no_receiver`: messages without any delivery, because nobody listened to them.
    """

    published: int
    delivered: int
    open: int
    dead: int
    cancelled: int
    no_receiver: int = 0

    @property
    def drift(self) -> int:
        """0, or something was lost (above 0) or ended twice (below 0)."""
        return self.published - self.delivered - self.open - self.dead - self.cancelled


async def fetch_balance(conn: Connection) -> Balance:
    """Needs a `repeatable_read` transaction of the caller: one snapshot for both sides."""
    await plan_by_blocks(conn)
    return Balance(**await fetch_one(conn, _BALANCE, timeout_s=COUNT_TIMEOUT_S))


async def check_ledger(pool: Pool, *, batch_max: int = BATCH_MAX) -> Balance:
    """Compare both sides, keep the finding, and fold what cannot change any more.

    In a cluster that this ledger was restored into, what was published is first counted anew,
    `batch_max` messages a transaction.
    """
    async with pool.acquire() as conn:
        if await conn.fetchval(_IS_RESTORED):
            await _rebase(conn, batch_max)
        async with conn.transaction(isolation="repeatable_read"):
            balance = await fetch_balance(conn)
        async with conn.transaction():
            await conn.execute(
                _MARK_CHECKED,
                balance.published,
                balance.delivered,
                balance.open,
                balance.dead,
                balance.cancelled,
                balance.no_receiver,
            )
            await conn.execute(_MARK_COUNTS, timeout=COUNT_TIMEOUT_S)
            await plan_by_blocks(conn)
            await conn.execute(_ADVANCE_FOLD, timeout=COUNT_TIMEOUT_S)
    if balance.drift:
        log.error("ledger.drift", drift=balance.drift, published=balance.published)
    return balance


async def _rebase(conn: Connection, batch_max: int) -> None:
    """In batches, each its own transaction: a whole ledger in one statement would meet its time limit."""
    after: UUID | None = START
    while after is not None:
        after = await conn.fetchval(_FORGET_FOREIGN_XIDS, after, batch_max)
    async with conn.transaction(isolation="repeatable_read"):
        await plan_by_blocks(conn)
        if await conn.fetchval(_REBASE_FOLD) is not None:
            log.warning("ledger.rebased", reason="the database was restored into another cluster")
