"""Which ledger has a tenant, as far as this process knows: read again and again, waited for by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from postroom.base.db import DATABASE_FAILURES, Pool
from postroom.base.errors import Conflict, Unavailable
from postroom.base.log import get_logger
from postroom.ledgers.directory import Directory, newest, read_directory

log = get_logger(__name__)

READ_EVERY_S: Final = 2.0
READ_WITHIN_S: Final = 1.0
RETRY_AFTER_S: Final = 5


class KnownDirectory:
    """The newest of what the ledgers say; of one that is away, what it said last.

    Does not promise: that a tenant has not moved within the last seconds. A ledger that it left says so.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._copies: dict[str, Directory] = {}
        self._known: Directory | None = None

    def ledger_of(self, tenant: str) -> str:
        """Errors: `Unavailable` while no directory is known, or it names a ledger that we do not."""
        if self._known is None or not self._known.slots:
            raise Unavailable(
                "no ledger knows the directory: run 'postroom ledger add'", retry_after_s=RETRY_AFTER_S
            )
        ledger = self._known.ledger_of(tenant)
        if ledger not in self._pools:
            raise Unavailable(
                f"the tenant is at the ledger {ledger}, which POSTROOM_LEDGERS does not name here",
                retry_after_s=RETRY_AFTER_S,
            )
        return ledger

    async def read(self) -> None:
        """Ask all ledgers at once, for `READ_WITHIN_S` at most."""
        await asyncio.gather(*(self._read(name, pool) for name, pool in self._pools.items()))
        try:
            self._known = newest(self._copies.values())
        except Conflict as error:
            log.error("directory.contradicts_itself", detail=error.detail)  # noqa: TRY400  a fault of data

    async def _read(self, name: str, pool: Pool) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S), pool.acquire() as conn:
                self._copies[name] = await read_directory(conn)
        except (*DATABASE_FAILURES, Conflict) as error:
            log.warning("directory.not_read", ledger=name, error=repr(error))

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While this is open it is read every `READ_EVERY_S`."""
        await self.read()
        reading = asyncio.create_task(self._keep_reading(), name="directory")
        try:
            yield
        finally:
            reading.cancel()

    async def _keep_reading(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            try:
                await self.read()
            except Exception as error:
                # What was read before stays in use, and the next look may go well.
                log.exception("directory.not_read", error=repr(error))
