"""What a move of a tenant is made of: what the two ledgers say of it, and what is to be done next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from postroom.base.errors import Conflict
from postroom.ledgers.directory import Directory


class Step(StrEnum):
    """How far a tenant's move is, as its row in a ledger says."""

    COPYING = "copying"
    """At the target: the source has the tenant still."""
    FENCED = "fenced"
    """At the source: it refuses the tenant for good."""
    HELD = "held"
    """At the target: it takes the tenant, and delivers nothing of it yet."""


class Stage(StrEnum):
    """What of a move is to be done next."""

    BEGIN = "begin"
    COPY = "copy"
    OPEN = "open"
    DRAIN = "drain"
    FINISH = "finish"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tenant's row in one ledger. `copied_xid`: every key of transactions before it is at the target."""

    ledger: str
    epoch: int
    step: Step | None = None
    source: str | None = None
    copied_xid: int | None = None
    changed_at: datetime | None = None


class Key(NamedTuple):
    """A message that has a key, as it goes along."""

    id: UUID
    channel: str
    type: str
    key: str
    created_at: datetime


class Open(NamedTuple):
    """How much of a tenant has not ended on a channel; of it, what waits for a person."""

    channel: str
    open: int
    parked: int


class Ledger(Protocol):
    """One ledger, as a move needs it. Each call is a transaction of its own, in this ledger alone."""

    name: str

    async def fetch_entry(self, tenant: str) -> Entry | None: ...

    async def fetch_directory(self) -> Directory: ...

    async def change(self, tenant: str, *, seen: Entry | None, to: Entry, waits: bool) -> bool:
        """Write `to` unless the row has changed since `seen`, with its audit row. Returns whether it did.

        `waits`: for all who have published; they saw the row of before. Errors: `Busy` while one is open.
        """
        ...

    async def put_newer(self, directory: Directory) -> None: ...

    async def fetch_horizon(self) -> int: ...

    def list_keys(self, tenant: str, since: int | None) -> AsyncIterator[Sequence[Key]]: ...

    async def insert_keys(self, tenant: str, source: str, keys: Sequence[Key]) -> None: ...

    async def mark_copied(self, tenant: str, entry: Entry, horizon: int) -> None: ...

    async def count_open(self, tenant: str) -> list[Open]: ...

    async def release(self, tenant: str) -> int: ...

    async def copy_belongings(self, tenant: str, to: Ledger) -> None: ...

    async def copy_cursors(self, tenant: str, to: Ledger) -> None: ...

    async def copy_suppressions(self, to: Ledger) -> None: ...


class Busy(Conflict):
    """Somebody's open transaction has published, or reads the table: try again."""


def stage_of(at_source: Entry | None, at_target: Entry | None, *, source: str, target: str) -> Stage:
    """What a move has to do next. Errors: `Conflict` where one of the two takes part in another one.

    A fence belongs to one copying, by its epoch: whoever gives a move up, while somebody begins it again,
    would else open the source after the target was opened.
    """
    fenced = at_source is not None and at_source.step is Step.FENCED and at_source.ledger == target
    _check_source(at_source, source=source, target=target)
    if at_target is not None and at_target.step is Step.FENCED:
        raise Conflict(f"the tenant is on its way from {target} to {at_target.ledger}: end that first")
    if at_target is not None and at_target.ledger == target:
        if at_source is None or at_source.ledger != target:
            raise Conflict(f"{source} and {target} both have the tenant: was one restored from a backup?")
        if at_target.step is Step.HELD:
            return Stage.DRAIN
        return Stage.FINISH if fenced else Stage.DONE
    if at_target is None or at_target.step is None or at_target.source != source:
        return Stage.BEGIN
    if at_source is None or at_source.epoch <= at_target.epoch:
        return Stage.COPY
    return Stage.OPEN if fenced and at_source.epoch == at_target.epoch + 1 else Stage.BEGIN


def _check_source(entry: Entry | None, *, source: str, target: str) -> None:
    """It has the tenant and nothing else is done with it there, or it has left for the target."""
    match entry:
        case None | Entry(step=None | Step.FENCED) if entry is None or entry.ledger in (source, target):
            return
        case Entry(step=Step.HELD):
            raise Conflict(f"the tenant is still on its way to {source}: end that first")
        case _:
            raise Conflict(f"{source} does not have the tenant")


def source_of(tenant: str, entries: Iterable[Entry | None], directory: Directory, *, target: str) -> str:
    """The ledger that has the tenant, or from which it is on its way to the target.

    Errors: `Conflict` where it is on its way to another one.
    """
    for entry in entries:
        if entry is not None and entry.source is not None and entry.step in (Step.FENCED, Step.HELD):
            if entry.ledger != target:
                raise Conflict(f"{tenant!r} is on its way to {entry.ledger}: end that first")
            return entry.source
    return directory.ledger_of(tenant)
