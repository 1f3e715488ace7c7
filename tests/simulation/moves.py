"""Ledgers in memory, publishers, and movers that are killed: every order of their steps that a seed chooses.

The mover is the real one. What is a model here is what PostgreSQL does for it: transactions that see old
snapshots, a fence that waits for them, ids in the order of publishing and not of commits.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from postroom.base.errors import Conflict, Unavailable
from postroom.ledgers.directory import Directory, newest
from postroom.ledgers.model import Busy, Entry, Key, Ledger, Open, Step, source_of
from postroom.ledgers.mover import Mover
from tests.fixtures.clock import DrivenClock

TENANT = "acme"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 2


class Turn:
    """Awaited: somebody else may go first."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass(eq=False)
class Transaction:
    xid: int
    snapshot: tuple[Entry | None, int] | None  # None: read committed
    looked: bool = False


@dataclass(eq=False)
class Row:
    """A message, and its delivery. `seq` is None for a key that came with its tenant."""

    key: str
    id: int
    xid: int
    order: str
    seq: int | None
    state: str = "open"


class Elsewhere(Exception):
    def __init__(self, ledger: str) -> None:
        super().__init__(ledger)
        self.ledger = ledger


class Serialization(Exception):
    pass


@dataclass
class World:
    """What all ledgers share: chance, numbers, and what was delivered."""

    chance: random.Random
    faults: frozenset[str] = frozenset()
    number: int = 0
    delivered: list[Row] = field(default_factory=list)

    def next(self) -> int:
        self.number += 1
        return self.number


class ModelLedger(Ledger):
    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.entry: Entry | None = None
        self.version = 0
        self.rows: list[Row] = []
        self.open: set[Transaction] = set()

    # What publishers do

    def accepts(self) -> bool:
        return self.entry.ledger == self.name if self.entry else self.name == "l1"

    def begin(self, *, snapshot: bool) -> Transaction:
        transaction = Transaction(self.world.next(), (self.entry, self.version) if snapshot else None)
        self.open.add(transaction)
        return transaction

    def publish(self, transaction: Transaction, key: str, order: str) -> Row | None:
        """None: known."""
        transaction.looked = True
        entry = self.entry
        if transaction.snapshot is not None and "no snapshot check" not in self.world.faults:
            if transaction.snapshot[1] != self.version:
                raise Serialization
        elif transaction.snapshot is not None:
            entry = transaction.snapshot[0]
        at = entry.ledger if entry else "l1"
        if at != self.name:
            raise Elsewhere(at)
        if any(row.key == key for row in self.rows):
            return None
        held = entry is not None and entry.step is Step.HELD and "no hold" not in self.world.faults
        number = self.world.next()
        return Row(key, number, transaction.xid, order, number, "held" if held else "open")

    def end(self, transaction: Transaction, row: Row | None, *, commit: bool) -> None:
        self.open.discard(transaction)
        if commit and row is not None:
            self.rows.append(row)

    def deliver(self) -> bool:
        """One that is due, whichever chance takes. Returns whether there was one."""
        waiting = [row for row in self.rows if row.state in ("open", "held") and row.seq is not None]
        heads: dict[str, Row] = {}
        for row in sorted(waiting, key=lambda each: each.seq or 0):
            heads.setdefault(row.order, row)
        due = [row for row in heads.values() if row.state == "open"]
        if not due:
            return False
        row = self.world.chance.choice(due)
        row.state = "done"
        self.world.delivered.append(row)
        return True

    # What a move asks for

    async def fetch_entry(self, tenant: str) -> Entry | None:
        await Turn()
        return self.entry

    async def fetch_directory(self) -> Directory:
        await Turn()
        slots = ("l1",) * 1024
        if self.entry is None:
            return Directory(1, slots, {}, name=self.name)
        entry = self.entry
        return Directory(entry.epoch, slots, {TENANT: entry.ledger}, {TENANT: entry.epoch}, self.name)

    async def change(self, tenant: str, *, seen: Entry | None, to: Entry, waits: bool) -> bool:
        await Turn()
        if waits and "no wait" not in self.world.faults and any(each.looked for each in self.open):
            raise Busy("published")
        if (self.entry and self.entry.epoch) != (seen and seen.epoch):
            return False
        if self.entry and self.entry.epoch >= to.epoch:
            return False
        copied = self.entry.copied_xid if self.entry and to.step is not Step.COPYING else None
        self.entry = replace(to, copied_xid=copied)
        self.version += 1
        return True

    async def put_newer(self, directory: Directory) -> None:
        await Turn()
        known = self.entry.epoch if self.entry else -1
        epoch = directory.epochs.get(TENANT, -1)
        free = self.entry is None or self.entry.step in (None, Step.COPYING)
        if epoch > known and free and directory.tenants[TENANT] != self.name:
            self.entry = Entry(directory.tenants[TENANT], epoch)
            self.version += 1

    async def fetch_horizon(self) -> int:
        await Turn()
        return min((each.xid for each in self.open), default=self.world.next())

    async def list_keys(self, tenant: str, since: int | None) -> AsyncIterator[Sequence[Key]]:
        if since is not None and "no delta" in self.world.faults:
            return
        after = 0
        await Turn()
        new = [row for row in self.rows if since is not None and row.xid >= since]
        while True:
            found = new if since is not None else self.rows  # a walk sees what has been committed meanwhile
            page = sorted((row for row in found if row.id > after), key=lambda row: row.id)[:BATCH]
            if not page:
                return
            after = page[-1].id
            yield [Key(UUID(int=row.id), "email", row.order, row.key, NOW) for row in page]
            await Turn()

    async def insert_keys(self, tenant: str, source: str, keys: Sequence[Key]) -> None:
        await Turn()
        known = {row.key for row in self.rows}
        xid = self.world.next()
        self.rows += [Row(k.key, k.id.int, xid, k.type, None, "done") for k in keys if k.key not in known]

    async def mark_copied(self, tenant: str, entry: Entry, horizon: int) -> None:
        await Turn()
        if self.entry and self.entry.epoch == entry.epoch and self.entry.step is Step.COPYING:
            self.entry = replace(self.entry, copied_xid=horizon)

    async def count_open(self, tenant: str) -> list[Open]:
        await Turn()
        count = sum(row.state != "done" for row in self.rows)
        return [Open("email", count, 0)] if count else []

    async def release(self, tenant: str) -> int:
        await Turn()
        held = sorted((row for row in self.rows if row.state == "held"), key=lambda row: row.seq or 0)[:BATCH]
        for row in held:
            row.state = "open"
        return len(held)

    async def copy_belongings(self, tenant: str, to: Ledger) -> None:
        await Turn()

    async def copy_suppressions(self, to: Ledger) -> None:
        await Turn()

    async def copy_cursors(self, tenant: str, to: Ledger) -> None:
        await Turn()


class Simulation:
    """One run. `run` raises `AssertionError` where a promise was broken."""

    def __init__(self, seed: int, faults: frozenset[str] = frozenset()) -> None:
        self.chance = random.Random(seed)
        self.world = World(self.chance, faults)
        self.ledgers = {name: ModelLedger(name, self.world) for name in ("l1", "l2", "l3")}
        self.committed: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.clock = DrivenClock()

    def run(self) -> None:
        actors: dict[str, Coroutine[Any, Any, None]] = {
            f"client{n}": self._client(f"o{n}") for n in range(self.chance.choice((1, 2, 3)))
        }
        pace = self.chance.choice((0.02, 0.1, 0.3))
        for _ in range(self.chance.choice((60, 200, 600))):
            while len(actors) < 5 and self.chance.random() < 0.2:
                actors[f"mover{self.world.next()}"] = self._move()
            name = self.chance.choice(sorted(actors))
            if name.startswith("mover") and self.chance.random() < 0.02:
                actors.pop(name).close()  # kill -9
                self.seen["killed"] += 1
            elif not self._step(actors[name]):
                del actors[name]
            if self.chance.random() < pace:
                self.chance.choice(list(self.ledgers.values())).deliver()
            self._check_one_accepts()
        self._end([actor for name, actor in sorted(actors.items()) if name.startswith("client")])
        for name, actor in actors.items():
            if name.startswith("mover"):
                actor.close()
        self._verdict()

    stopping = False

    def _step(self, actor: Coroutine[Any, Any, None]) -> bool:
        try:
            actor.send(None)
        except StopIteration:
            return False
        return True

    def _end(self, clients: list[Coroutine[Any, Any, None]]) -> None:
        """Somebody runs the command until each move has ended, and everything is delivered."""
        self.stopping = True
        ending = self._move(ends=True)
        quiet = 0
        for _ in range(50_000):
            clients = [each for each in clients if self._step(each)]
            sent = any([ledger.deliver() for ledger in self.ledgers.values()])
            quiet = 0 if clients or sent else quiet + 1
            if not self._step(ending):
                if quiet > 1:
                    return
                ending = self._move(ends=True)
            self._check_one_accepts()
        raise AssertionError("it never ends")

    async def _client(self, order: str) -> None:
        """Publishes one message after the other, each again under its key until it knows that it is in."""
        at = "l1"
        for n in range(1, 1_000):
            await Turn()
            if self.stopping:
                return
            while True:
                ledger = self.ledgers[at]
                transaction = ledger.begin(snapshot=self.chance.random() < 0.4)
                row = None
                commit = self.chance.random() < 0.9
                try:
                    await Turn()
                    row = ledger.publish(transaction, f"{order}:{n}", order)
                    await Turn()
                except Elsewhere as elsewhere:
                    at, commit = elsewhere.ledger, False
                    self.seen["elsewhere"] += 1
                except Serialization:
                    commit = False
                    self.seen["serialization"] += 1
                ledger.end(transaction, row, commit=commit)
                if commit:
                    self.committed[f"{order}:{n}"] += 1
                    self.seen["known"] += row is None
                    if self.chance.random() < 0.8:  # else the answer is lost, and it asks again
                        break
                await Turn()
                if self.chance.random() < 0.05:
                    at = self.chance.choice(sorted(self.ledgers))  # a stale copy of the directory

    async def _move(self, *, ends: bool = False) -> None:
        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)
            await Turn()

        entries = [ledger.entry for ledger in self.ledgers.values()]
        directory = newest([await ledger.fetch_directory() for ledger in self.ledgers.values()])
        targets = [e.ledger for e in entries if e and e.step in (Step.FENCED, Step.HELD)]
        if ends and not targets:
            return
        target = targets[0] if targets else self.chance.choice(sorted(self.ledgers))
        source = source_of(TENANT, entries, directory, target=target)
        if source == target:
            return
        others = [each for name, each in self.ledgers.items() if name not in (source, target)]
        mover = Mover(
            TENANT, source=self.ledgers[source], target=self.ledgers[target], others=others,
            clock=self.clock, sleep=sleep, wait_s=5.0,
        )  # fmt: skip
        try:
            if not ends and self.chance.random() < 0.1:
                await mover.abort()
                self.seen["aborted"] += 1
            else:
                await mover.run()
                self.seen["moved"] += 1
        except (Busy, Conflict, Unavailable) as error:
            self.seen[type(error).__name__] += 1

    def _check_one_accepts(self) -> None:
        accepting = [name for name, ledger in self.ledgers.items() if ledger.accepts()]
        assert len(accepting) <= 1, f"two take the tenant: {accepting}"

    def _verdict(self) -> None:
        counts = Counter(row.key for row in self.world.delivered)
        assert not self.committed.keys() - counts.keys(), "lost"
        assert not counts.keys() - self.committed.keys(), "phantoms"
        assert max(counts.values(), default=1) == 1, "doubled"
        for order in {row.order for row in self.world.delivered}:
            numbers = [int(row.key.partition(":")[2]) for row in self.world.delivered if row.order == order]
            assert numbers == sorted(numbers), f"out of order: {numbers}"
        held = [row.key for ledger in self.ledgers.values() for row in ledger.rows if row.state != "done"]
        assert held == [], "left behind"
        self.seen["delivered"] += len(self.world.delivered)
