"""The channel `export`: records gathered into files, each file written until it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

from postroom.base.cancelling import cancel
from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import store
from postroom.channels.exports.assigner import Assigned, Assigner, Backlog
from postroom.channels.exports.budget import Budget
from postroom.channels.exports.destinations import destination_of
from postroom.channels.exports.failures import StorageFailed, answer_failure
from postroom.channels.exports.files import PUT_TIMEOUT_S, ExportFiles
from postroom.channels.exports.model import ExportFile, Taken, check_payload
from postroom.channels.exports.storage import Storage
from postroom.encryption.keyring import NO_KEYS, KeyMissing, Keyring, Unreadable
from postroom.outbox import store as outbox
from postroom.outbox.lanes import BULK_STATES, FIRST_STATES
from postroom.outbox.model import (
    Answer,
    Cause,
    Channel,
    Claim,
    Deferred,
    Delivered,
    Rejected,
    RetryLater,
    Settled,
    Trip,
    Wait,
)
from postroom.resilience.circuits import Circuits

CLAIMS_MAX: Final = 1_000
"""Claims that are looked at together."""
SETTLED_MAX: Final = 5_000
GATHER_S: Final = 10.0
"""After so long no more of a backlog is added to files unclaimed, until more of it is claimed."""
LOOK_EVERY_S: Final = 0.2
"""Whether the file that another runner writes is stored."""
_SLOW: Final = Deferred(Wait.DESTINATION_FULL, "the storage is slow; other files went first")
_GIVEN_UP: Final = RetryLater("its file was given up meanwhile; it gets another one", trip=Trip.NO)


class ExportAdapter:
    """Delivers a record when its file is durably stored, and writes each record into one file only.

    Which file a record belongs to is committed when it is claimed first. While that file is open nothing is
    held: the claim is let go until the file closes. Then a repeat, on whichever worker, writes all of the
    same file under the same name, or finds it stored and writes nothing.

    Does not promise that a file is new to a consumer: a file can be written again with the same
    content until it is marked stored. A record cancelled after its file closed may be in it.
    Each line is described in `postroom.channels.exports.ndjson`.
    """

    channel = Channel.EXPORT
    circuit: str | None = None
    timeout_s = 150.0

    def __init__(
        self,
        *,
        pool: Pool,
        clock: Clock,
        settings: ExportSettings,
        state_dir: Path,
        keyring: Keyring = NO_KEYS,
        storage: Storage | None = None,
        put_timeout_s: float = PUT_TIMEOUT_S,
        circuits: Circuits | None = None,
    ) -> None:
        """`circuits`: a breaker for each destination that the settings name."""
        self.batch_max = min(CLAIMS_MAX, settings.records_max)
        self.per_destination_max = self.batch_max
        self.concurrency_max = 2 * self.batch_max
        self._assigner = Assigner(pool=pool, clock=clock, settings=settings)
        self._pool = pool
        self._circuits = circuits
        self._clock = clock
        self.files = ExportFiles(
            pool=pool,
            settings=settings,
            state_dir=state_dir,
            keyring=keyring,
            storage=storage,
            put_timeout_s=put_timeout_s,
        )
        self._budget = Budget()
        self._keyring = keyring
        self._gathers = False
        self._written: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Errors: `SettingsInvalid` where the settings name no usable storage."""
        self.files.open()

    async def close(self) -> None:
        """Nothing is kept open between deliveries."""

    def check(self, payload: dict[str, Any]) -> None:
        """Errors: `InvalidPayload` naming the field."""
        check_payload(payload)

    def batch_of(self, claim: Claim) -> int:  # noqa: ARG002
        return self.batch_max

    async def deliver(self, claim: Claim) -> Answer:
        """A batch of one."""
        [answer] = await self.deliver_batch([claim])
        return answer

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        """One answer a claim, in order; a bad record and a failing file leave the others alone.

        Errors: one of `DATABASE_AWAY`; the claims are then unanswered and safe to deliver again.
        """
        assigned = await self._assigner.assign(claims)
        closed = [file for file in assigned.memberships.values() if file.open_s is None]
        files = {file.id: file for file in closed} | assigned.full
        latest = self._clock.monotonic() + self.timeout_s - 1.5 * self.files.put_timeout_s
        worker = claims[0].worker
        exports = [self._export(file, worker, latest) for file in files.values()]
        *answers, _ = await _all_of([*exports, self._write_backlog(claims, assigned.added_count, latest)])
        answer_of: dict[UUID, Answer] = dict(zip(files, answers, strict=True))
        return [self._answer(claim, assigned, answer_of) for claim in claims]

    async def _write_backlog(self, claims: Sequence[Claim], added_count: int, latest: float) -> None:
        """Where so much was claimed that more of it waits, write what there is of it, file by file, without a
        claim. Whoever claims some of a file that could not be written tries it again, and says what is wrong.
        """
        first = [claim for claim in claims if claim.claim_no == 1 and claim.state in FIRST_STATES]
        if self._gathers or not first or self._keyring.refuses_open(self.channel):
            return
        if added_count < max(1, self.batch_max // 4) or first[-1].state in BULK_STATES:
            return
        backlog: Backlog | None = Backlog(
            first[-1].state,
            behind=(first[-1].due_s, first[-1].seq),
            since_s=min(claim.created_s for claim in first),
        )
        until = min(latest, self._clock.monotonic() + GATHER_S)
        writes: list[asyncio.Task[Answer]] = []
        worker = claims[0].worker
        self._gathers = True
        try:
            while backlog and self._clock.monotonic() < until and not any(map(_failed, writes)):
                full, backlog = await self._assigner.gather(backlog)
                writes += [asyncio.create_task(self._export(file, worker, latest)) for file in full.values()]
            await _all_of(writes)
        finally:
            self._gathers = False
            await cancel(writes)

    async def _export(self, file: ExportFile, worker: int, latest: float) -> Answer:
        """Write what is not in the storage yet, file and manifest; `latest`: begin no write after this."""
        if file.stored_at is not None and not file.stale:
            return Delivered(detail=file.path)
        lock = self._written.setdefault(file.id, asyncio.Lock())  # of another batch with records of it
        async with lock:
            taken = await self._take(file, worker, latest)
            if not isinstance(taken, Taken):
                return taken
            if taken.stored and not taken.stale:
                return Delivered(detail=file.path)
            answer = await self._tried(file, taken, worker, latest)
            if taken.mine and not isinstance(answer, Delivered):
                async with self._pool.acquire() as conn:
                    await store.let_go(conn, file_id=file.id, worker=worker)
        return answer

    async def _tried(self, file: ExportFile, taken: Taken, worker: int, latest: float) -> Answer:
        """Behind the breaker of its destination, where it has one: what fails there strikes no others."""
        name = destination_of(file.path)
        circuit = f"export:{name}" if name and self._circuits else ""
        if circuit and self._circuits and (wait_s := await self._circuits.admit(circuit)) is not None:
            return Deferred(Wait.CIRCUIT_OPEN, f"circuit {circuit} is open", wait_s)
        answer: Answer
        try:
            async with self._budget.take(file.size_bytes):
                answer = await self._write(file, taken, worker, latest)
        except Unreadable as error:
            answer = _unreadable(error)
        except StorageFailed as failed:
            answer = answer_failure(failed.error)
        if circuit and self._circuits and not isinstance(answer, Deferred):
            trip = answer.trip if isinstance(answer, RetryLater) else None
            reason = answer.reason if isinstance(answer, RetryLater) else ""
            await self._circuits.record(circuit, trip, reason)
            if isinstance(answer, RetryLater):
                answer = replace(answer, trip=Trip.NO)
        return answer

    async def _take(self, file: ExportFile, worker: int, latest: float) -> Taken | Answer:
        """Wait until it is ours, stored, given up, or too late. The ledger says who writes a file."""
        while self._clock.monotonic() <= latest:
            async with self._pool.acquire() as conn:
                taken = await store.take_file(conn, file_id=file.id, worker=worker, lease_s=self.timeout_s)
            if taken is None:
                return _GIVEN_UP
            if taken.mine or taken.stored:
                return taken
            await asyncio.sleep(LOOK_EVERY_S)
        return _SLOW

    async def _write(self, file: ExportFile, taken: Taken, worker: int, latest: float) -> Answer:
        """Write the file, and settle with it what nobody has claimed again: it is delivered as well."""
        started = self._clock.monotonic()
        if started > latest:
            return _SLOW
        if taken.stored:
            await self.files.write_manifest(file.folder)
            return Delivered(detail=file.path)
        message_ids = await self.files.store(file, fields=taken.fields)
        if message_ids is None:
            return _GIVEN_UP
        duration_ms = round((self._clock.monotonic() - started) * 1_000)
        for start in range(0, len(message_ids), SETTLED_MAX):
            async with self._pool.acquire() as conn:
                await outbox.settle_unclaimed(
                    conn,
                    message_ids=message_ids[start : start + SETTLED_MAX],
                    channel=self.channel,
                    worker=worker,
                    detail=file.path,
                    duration_ms=duration_ms,
                )
        return Delivered(detail=file.path)

    @staticmethod
    def _answer(claim: Claim, assigned: Assigned, answer_of: Mapping[UUID, Answer]) -> Answer:
        if claim.message_id in assigned.batch.rejected:
            return assigned.batch.rejected[claim.message_id]
        if claim.message_id not in assigned.memberships:
            return _GIVEN_UP
        file = assigned.memberships[claim.message_id]
        return answer_of[file.id] if file.open_s is None else Settled()


async def _all_of(exports: Iterable[Awaitable[Any]]) -> list[Any]:
    """Wait for all, then raise what the first failing one raised: none goes on unwatched."""
    answers = await asyncio.gather(*exports, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _failed(write: asyncio.Task[Answer]) -> bool:
    return write.done() and not isinstance(write.result(), Delivered)


def _unreadable(error: Unreadable) -> Answer:
    """Another record of its file cannot be opened here."""
    reason = f"another record of its file: {error.detail}"
    if isinstance(error, KeyMissing):
        return Deferred(Wait.KEY_MISSING, reason)
    return Rejected(reason, code=error.code, cause=Cause.OURS)
