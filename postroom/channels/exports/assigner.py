"""Commits which file each record belongs to, before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import asyncpg

from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import store
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.gather import Batch, read_whole, sort_claims
from postroom.channels.exports.layout import Layout
from postroom.channels.exports.model import ExportFile
from postroom.channels.exports.schema_store import hold_to_schemas
from postroom.outbox import store as outbox
from postroom.outbox.cursor import Position
from postroom.outbox.model import Channel, Claim, Waiting

WAITS: Final = "its file is open for more records"
LOOKED_AT_MAX: Final = 5_000
"""Records that are looked at together."""
READ_MAX: Final = 1_000
"""The same, where there are datasets whose payloads are read for it: 16 MB at most."""
LOCKED_S: Final = 10.0
"""After so long others that add records to files have their turn."""

Files = dict[UUID, ExportFile]


@dataclass(frozen=True, slots=True)
class Assigned:
    """`memberships`: the file of each record; `added_count` of them had none. `full`: the files that were
    closed just now, by their ids."""

    batch: Batch
    memberships: Files
    full: Files = field(default_factory=dict)
    added_count: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Where more of what was claimed waits: behind a position in a lane, and published since then."""

    state: str
    behind: Position
    since_s: float


class Assigner:
    """Promise: while a file is open, nothing of it is held; a record is in one file."""

    def __init__(self, *, pool: Pool, clock: Clock, settings: ExportSettings) -> None:
        """Errors: `SettingsInvalid`."""
        self._pool = pool
        self._clock = clock
        self._roll_s = settings.roll_s
        self._records_max = settings.records_max
        self._layout = Layout(settings)
        self._formats = Formats(settings)
        self._whole = read_whole(self._layout, self._formats)

    async def assign(self, claims: Sequence[Claim]) -> Assigned:
        """Let go of the claims whose file is open. What cannot be exported is rejected in the batch."""
        try:
            return await self._assign(claims)
        except asyncpg.UniqueViolationError:
            # A worker of an earlier version asks no lock; the file that it chose is known now.
            return await self._assign(claims)

    async def _assign(self, claims: Sequence[Claim]) -> Assigned:
        # What was claimed before has a file, as a rule: it is not looked at again.
        batch = sort_claims((c for c in claims if c.claim_no == 1), self._layout, self._formats)
        message_ids = [claim.message_id for claim in claims]
        async with transaction(self._pool) as conn:
            if not batch.records:
                known = await store.list_memberships(conn, message_ids=message_ids)
                if len(known) == len(message_ids) and all(file.open_s is None for file in known.values()):
                    return Assigned(batch, known)
            await store.lock_files(conn)
            known = await store.list_memberships(conn, message_ids=message_ids)
            unknown = (c for c in claims if c.claim_no != 1 and c.message_id not in known)
            sort_claims(unknown, self._layout, self._formats, batch)
            added, full = await self._add(conn, batch, known=known.keys(), due_again=known.keys())
            memberships = known | added
            if full:
                memberships = {id_: full.get(file.id, file) for id_, file in memberships.items()}
            await _set_aside(conn, claims, memberships)
        return Assigned(batch, memberships, full, len(added))

    async def gather(self, backlog: Backlog) -> tuple[Files, Backlog | None]:
        """Add what waits behind, unclaimed, to its files, until one of them is full, as much was read as one
        may have, or for `LOCKED_S`. What is in a file that is still open is put off until it closes; what is
        in a full one is settled with it, and whoever claims it before finds the file.

        Returns: the files that are closed, by their ids, and where there may be more.
        """
        waiting: list[Waiting] = []
        memberships: Files = {}
        closed: Files = {}
        more, until = True, self._clock.monotonic() + LOCKED_S
        most = LOOKED_AT_MAX if self._whole == [] else READ_MAX
        most = min(most, max(1, self._records_max // 4))
        async with transaction(self._pool) as conn:
            await store.lock_files(conn)
            while more and not closed and self._clock.monotonic() < until:
                rows = await outbox.lock_behind(
                    conn, channel=Channel.EXPORT, state=backlog.state, behind=backlog.behind, most=most
                )
                if more := len(rows) == most:
                    backlog = replace(backlog, behind=(rows[-1].due_s, rows[-1].seq))
                heads = await store.list_heads(
                    conn,
                    message_ids=[row.message_id for row in rows],
                    since_s=backlog.since_s,
                    whole=self._whole,
                )
                fit = [heads[row.message_id] for row in rows if row.message_id in heads]
                batch = sort_claims(fit, self._layout, self._formats)
                added, full = await self._add(conn, batch, known=())
                waiting += [row for row in rows if row.message_id in added]
                memberships |= added
                closed |= full | {file.id: file for file in added.values() if file.open_s is None}
                if len(waiting) >= self._records_max:
                    break
            put_off = [row for row in waiting if memberships[row.message_id].id not in closed]
            await _set_aside(conn, put_off, memberships)
        return closed, backlog if more else None

    async def _add(
        self, conn: Connection, batch: Batch, *, known: Collection[UUID], due_again: Collection[UUID] = ()
    ) -> tuple[Files, Files]:
        """Returns: the files of the records that had none, and those that were closed, by their ids."""
        await hold_to_schemas(conn, batch, self._formats, without=known)
        added, full = Files(), Files()
        folders = batch.folders(without=known)
        begun = await store.list_open(conn, folders=list(folders)) if folders else {}
        for groups in batch.rounds(folders, begun=begun, records_max=self._records_max) or [[]]:
            if not groups and not due_again:
                continue
            closed = await store.close_files(
                conn, groups=groups, due_again=due_again, records_max=self._records_max
            )
            full |= {file.id: file for file in closed}
            if groups:
                added |= await store.add_records(conn, groups=groups, roll_s=self._roll_s)
        files = {file.id: file for file in added.values() if file.open_s is not None}
        if any(file.records >= self._records_max for file in files.values()):
            closed = await store.close_files(conn, groups=(), due_again=(), records_max=self._records_max)
            full |= {file.id: file for file in closed}
        return added, full


async def _set_aside(conn: Connection, records: Sequence[Claim | Waiting], memberships: Files) -> None:
    waiting = [
        (each, file.open_s)
        for each in records
        if (file := memberships.get(each.message_id)) and file.open_s is not None
    ]
    if waiting:
        await outbox.set_aside(conn, waiting, reason=WAITS)
