"""The channel `export`: records gathered into files, each file written until it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from weakref import WeakValueDictionary

from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import store
from postroom.channels.exports.budget import Budget
from postroom.channels.exports.destinations import destination_of
from postroom.channels.exports.failures import StorageFailed, answer_failure
from postroom.channels.exports.files import PUT_TIMEOUT_S, ExportFiles
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.gather import Batch, sort_claims
from postroom.channels.exports.layout import Layout
from postroom.channels.exports.model import ExportFile, Taken, check_payload
from postroom.channels.exports.schema_store import hold_to_schemas
from postroom.channels.exports.storage import Storage
from postroom.encryption.keyring import NO_KEYS, KeyMissing, Keyring, Unreadable
from postroom.outbox import store as outbox
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

WAITS: Final = "its file is open for more records"
CLAIMS_MAX: Final = 1_000
"""Claims that are looked at together."""
SETTLED_MAX: Final = 5_000
LOOK_EVERY_S: Final = 0.2
"""Whether the file that another runner writes is stored."""
_SLOW: Final = Deferred(Wait.DESTINATION_FULL, "the storage is slow; other files went first")


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
        self._layout = Layout(settings)
        self._formats = Formats(settings)
        self._pool = pool
        self._circuits = circuits
        self._clock = clock
        self._settings = settings
        self.files = ExportFiles(
            pool=pool,
            settings=settings,
            state_dir=state_dir,
            keyring=keyring,
            storage=storage,
            put_timeout_s=put_timeout_s,
        )
        self._budget = Budget()
        self._written: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> None:
        """Errors: `SettingsInvalid` where the settings name no usable storage."""
        self.files.open()

    async def close(self) -> None:
        """Nothing is kept open between deliveries."""

    def check(self, payload: dict[str, Any]) -> None:
        """Errors: `InvalidPayload` naming the field."""
        check_payload(payload)

    async def deliver(self, claim: Claim) -> Answer:
        """A batch of one."""
        [answer] = await self.deliver_batch([claim])
        return answer

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        """One answer a claim, in order; a bad record and a failing file leave the others alone.

        Errors: one of `DATABASE_AWAY`; the claims are then unanswered and safe to deliver again.
        """
        # What was claimed before has a file, as a rule: it is not looked at again.
        batch = sort_claims((c for c in claims if c.claim_no == 1), self._layout, self._formats)
        memberships, full = await self._assign(claims, batch)
        files = {file.id: file for file in [*memberships.values(), *full] if file.open_s is None}
        latest = self._clock.monotonic() + self.timeout_s - 1.5 * self.files.put_timeout_s
        worker = claims[0].worker
        answers = await _all_of([self._export(file, worker, latest) for file in files.values()])
        answer_of = dict(zip(files, answers, strict=True))
        return [self._answer(claim, batch, memberships, answer_of) for claim in claims]

    async def _assign(
        self, claims: Sequence[Claim], batch: Batch
    ) -> tuple[dict[UUID, ExportFile], list[ExportFile]]:
        """Commit which file each record belongs to, and let go of those whose file is open.

        Returns: the files by record, and those that were closed just now.
        """
        message_ids = [claim.message_id for claim in claims]
        records_max = self._settings.records_max
        async with transaction(self._pool) as conn:
            if not batch.records:
                known = await store.list_memberships(conn, message_ids=message_ids)
                if len(known) == len(message_ids) and all(file.open_s is None for file in known.values()):
                    return known, []
            await store.lock_files(conn)
            known = await store.list_memberships(conn, message_ids=message_ids)
            unknown = (c for c in claims if c.claim_no != 1 and c.message_id not in known)
            sort_claims(unknown, self._layout, self._formats, batch)
            await hold_to_schemas(conn, batch, self._formats, without=known.keys())
            memberships, full = dict(known), dict[UUID, ExportFile]()
            for groups in batch.rounds(without=known.keys(), records_max=records_max) or [[]]:
                closed = await store.close_files(
                    conn, groups=groups, due_again=known.keys(), records_max=records_max
                )
                full |= {file.id: file for file in closed}
                if groups:
                    memberships |= await store.add_records(conn, groups=groups, roll_s=self._settings.roll_s)
            if full:
                memberships = {id_: full.get(file.id, file) for id_, file in memberships.items()}
            waiting = [
                (claim, file.open_s)
                for claim in claims
                if (file := memberships.get(claim.message_id)) and file.open_s is not None
            ]
            if waiting:
                await outbox.set_aside(conn, waiting, reason=WAITS)
            return memberships, list(full.values())

    async def _export(self, file: ExportFile, worker: int, latest: float) -> Answer:
        """Write what is not in the storage yet, file and manifest; `latest`: begin no write after this."""
        if file.stored_at is not None and not file.stale:
            return Delivered(detail=file.path)
        lock = self._written.setdefault(file.id, asyncio.Lock())  # of another batch with records of it
        async with lock:
            taken = await self._take(file, worker, latest)
            if taken is None:
                return _SLOW
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

    async def _take(self, file: ExportFile, worker: int, latest: float) -> Taken | None:
        """Wait until it is ours, stored, or too late (None). The ledger says who writes a file."""
        while self._clock.monotonic() <= latest:
            async with self._pool.acquire() as conn:
                taken = await store.take_file(conn, file_id=file.id, worker=worker, lease_s=self.timeout_s)
            if taken.mine or taken.stored:
                return taken
            await asyncio.sleep(LOOK_EVERY_S)
        return None

    async def _write(self, file: ExportFile, taken: Taken, worker: int, latest: float) -> Answer:
        """Write the file, and settle with it what nobody has claimed again: it is delivered as well."""
        started = self._clock.monotonic()
        if started > latest:
            return _SLOW
        if taken.stored:
            await self.files.write_manifest(file.folder)
            return Delivered(detail=file.path)
        message_ids = await self.files.store(file, fields=taken.fields)
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
    def _answer(
        claim: Claim, batch: Batch, memberships: dict[UUID, ExportFile], answer_of: dict[UUID, Answer]
    ) -> Answer:
        if claim.message_id in batch.rejected:
            return batch.rejected[claim.message_id]
        if claim.message_id not in memberships:
            return RetryLater("retention forgot this record's file while it was looked up")
        file = memberships[claim.message_id]
        return answer_of[file.id] if file.open_s is None else Settled()


async def _all_of(exports: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Wait for every file, then raise what the first failing one raised: none goes on unwatched."""
    answers = await asyncio.gather(*exports, return_exceptions=True)
    return [_answer_or_raise(answer) for answer in answers]


def _answer_or_raise(answer: Answer | BaseException) -> Answer:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _unreadable(error: Unreadable) -> Answer:
    """Another record of its file cannot be opened here."""
    reason = f"another record of its file: {error.detail}"
    if isinstance(error, KeyMissing):
        return Deferred(Wait.KEY_MISSING, reason)
    return Rejected(reason, code=error.code, cause=Cause.OURS)
