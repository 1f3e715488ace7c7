"""A cell: one ledger with a synchronous standby. It accepts what it owns, and delivers it in order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Set
from typing import Final

from tests.simulation.cells.model import (
    Accepted,
    Answer,
    CellId,
    Epoch,
    Evidence,
    Moved,
    Refused,
    Row,
    Rules,
    Slot,
    Stream,
)
from tests.simulation.cells.network import Network

COMMIT_MAX_S: Final = 0.02
DELIVERY_MAX_S: Final = 0.2
RECEIVER_FAILS: Final = 0.03
RETRY_S: Final = 5.0
READING_S: Final = 2.0
LAG_S: Final = 1.0
"""How far an asynchronous standby is behind."""

Reply = Callable[[Answer], None]


class Cell:
    """What is committed is on both machines; a fail-over decides about transactions that are under way."""

    def __init__(self, id_: CellId, *, network: Network, rules: Rules, evidence: Evidence) -> None:
        self.id = id_
        self.up = True
        self._network, self._rules, self._evidence = network, rules, evidence
        self._leader = 0
        self._owned: dict[Slot, Epoch] = {}
        self._left: dict[Slot, Moved] = {}
        self._held: set[Slot] = set()
        self._keys: dict[Slot, set[str]] = defaultdict(set)
        self._queues: dict[Slot, dict[Stream, deque[Row]]] = defaultdict(dict)
        self._busy: set[Stream] = set()
        self._writing: dict[int, tuple[Slot, tuple[Row, ...]]] = {}
        self._writes = 0
        self._recent: deque[tuple[float, Row]] = deque()
        self._early: dict[tuple[Slot, Epoch], Set[str]] = {}

    def owns(self, slot: Slot, epoch: Epoch) -> None:
        """As it is installed."""
        self._owned[slot] = epoch
        self._evidence.grant(slot, epoch, self.id)

    # What a forwarder asks.

    def receive(self, slot: Slot, rows: tuple[Row, ...], reply: Reply) -> None:
        """One transaction, all or none. A cell that is down says nothing."""
        if not self.up:
            return
        if self._rules.cell_checks_owner and slot not in self._owned:
            reply(self._left.get(slot, Refused()))
        else:
            self._writes += 1
            self._writing[self._writes] = (slot, rows)
            self._network.after(self._commit_s(), self._commit, self._leader, self._writes, reply)

    def _commit(self, leader: int, write: int, reply: Reply) -> None:
        if leader != self._leader:
            return
        self._store(*self._writing.pop(write))
        reply(Accepted())

    def _store(self, slot: Slot, rows: tuple[Row, ...]) -> None:
        known = self._keys[slot]
        for row in rows:
            if self._rules.cell_knows_keys and row.key in known:
                continue
            known.add(row.key)
            now = self._network.now
            self._evidence.stored.setdefault(row.key, []).append((self.id, now))
            if self._evidence.owners[slot][1] != self.id:
                self._evidence.behind_a_fence.append(row.key)
            if not self._rules.standby_is_synchronous:
                self._recent.append((now, row))
            self._queues[slot].setdefault(row.stream, deque()).append(row)
            self._deliver(slot, row.stream)

    # What a move asks. Each may come twice, late, or from a mover that was taken for dead.

    def fence(self, slot: Slot, to: Moved, reply: Callable[[Set[str]], None]) -> None:
        """Accept nothing more; answers with the keys once no transaction can add one."""
        if not self.up or self._is_old(slot, to.epoch):
            return
        if not self._rules.keys_are_read_behind_the_fence and (slot, to.epoch) not in self._early:
            self._early[slot, to.epoch] = frozenset(self._keys[slot])
            self._network.after(READING_S, self.fence, slot, to, reply)
        elif self._is_written(slot):
            self._network.after(COMMIT_MAX_S, self.fence, slot, to, reply)
        else:
            self._network.after(self._commit_s(), self._fenced, self._leader, slot, to, reply)

    def _fenced(self, leader: int, slot: Slot, to: Moved, reply: Callable[[Set[str]], None]) -> None:
        if leader != self._leader or self._is_old(slot, to.epoch):
            return
        if self._is_written(slot):
            self.fence(slot, to, reply)
            return
        self._owned.pop(slot, None)
        self._left[slot] = to
        self._evidence.grant(slot, to.epoch, None)
        reply(self._early.get((slot, to.epoch), frozenset(self._keys[slot])))

    def _is_written(self, slot: Slot) -> bool:
        """Whether a transaction would commit behind the fence."""
        waits = self._rules.fence_waits_for_writers
        return waits and any(slot == each for each, _ in self._writing.values())

    def take(self, slot: Slot, epoch: Epoch, keys: Set[str], reply: Callable[[], None]) -> None:
        """Accept the slot from now on; deliver nothing of it until `release`."""
        if self.up:
            self._network.after(self._commit_s(), self._taken, self._leader, slot, epoch, keys, reply)

    def _taken(
        self, leader: int, slot: Slot, epoch: Epoch, keys: Set[str], reply: Callable[[], None]
    ) -> None:
        if leader != self._leader or self._is_old(slot, epoch):
            return
        if self._owned.get(slot) != epoch:
            self.owns(slot, epoch)
            self._left.pop(slot, None)
            if self._rules.move_carries_keys:
                self._keys[slot] |= keys
            if self._rules.target_waits_for_source:
                self._held.add(slot)
        reply()

    def release(self, slot: Slot, epoch: Epoch, reply: Callable[[], None]) -> None:
        if not self.up or self._owned.get(slot) != epoch:
            return
        self._held.discard(slot)
        for stream in list(self._queues[slot]):
            self._deliver(slot, stream)
        reply()

    def drained(self, slot: Slot, reply: Callable[[bool], None]) -> None:
        if self.up:
            reply(not self._queues[slot])

    def _is_old(self, slot: Slot, epoch: Epoch) -> bool:
        """A mover that speaks of an epoch before the newest one that this cell has seen."""
        if not self._rules.cell_compares_epochs:
            return False
        left = self._left.get(slot)
        return epoch < self._owned.get(slot, 0) or (left is not None and epoch < left.epoch)

    # Delivering: one of a stream at a time; the next one starts once the settlement is on both machines.

    def _deliver(self, slot: Slot, stream: Stream) -> None:
        if self.up and stream not in self._busy and slot not in self._held and self._queues[slot].get(stream):
            self._busy.add(stream)
            self._network.after(self._delivery_s(), self._arrive, self._leader, slot, stream)

    def _arrive(self, leader: int, slot: Slot, stream: Stream) -> None:
        if leader != self._leader:
            return
        if self._network.faulty and self._network.random.random() < RECEIVER_FAILS:
            self._network.after(RETRY_S, self._arrive, leader, slot, stream)
            return
        row = self._queues[slot][stream][0]
        self._evidence.arrivals += 1
        if row.key not in self._evidence.seen:
            self._evidence.seen.add(row.key)
            self._evidence.arrived.setdefault(stream, []).append(row.number)
        self._network.after(self._commit_s(), self._settle, leader, slot, stream)

    def _settle(self, leader: int, slot: Slot, stream: Stream) -> None:
        if leader != self._leader:
            return
        queue = self._queues[slot][stream]
        queue.popleft()
        if not queue:
            del self._queues[slot][stream]
        self._busy.discard(stream)
        self._deliver(slot, stream)

    # Its life.

    def fail(self) -> None:
        """The leader is gone. Of what was being committed, the standby has some; nobody was told of any."""
        self.up = False
        self._leader += 1
        self._busy.clear()
        writing, self._writing = self._writing, {}
        for slot, rows in writing.values():
            if self._network.random.random() < 0.5:
                self._store(slot, rows)
        while self._recent:
            at, row = self._recent.popleft()
            if at >= self._network.now - LAG_S:
                self._forget(row)

    def recover(self) -> None:
        """The standby leads."""
        self.up = True
        for slot, queues in self._queues.items():
            for stream in list(queues):
                self._deliver(slot, stream)

    def _forget(self, row: Row) -> None:
        self._evidence.stored[row.key].remove(
            next(each for each in self._evidence.stored[row.key] if each[0] == self.id)
        )
        self._keys[row.slot].discard(row.key)
        queue = self._queues[row.slot].get(row.stream)
        if queue and row in queue:
            queue.remove(row)
            if not queue:
                del self._queues[row.slot][row.stream]

    def _commit_s(self) -> float:
        return self._network.random.uniform(0.001, COMMIT_MAX_S)

    def _delivery_s(self) -> float:
        return self._network.random.uniform(0.002, DELIVERY_MAX_S)
