"""An application's outbox, and what carries its rows to cells: at least once, each stream in its order."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from tests.simulation.cells.cell import Cell
from tests.simulation.cells.model import Accepted, Answer, CellId, Moved, Refused, Row, Rules, Stream
from tests.simulation.cells.mover import Directory
from tests.simulation.cells.network import Network

BATCH_MAX: Final = 20
TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 1.0
MOVED_PAUSE_S: Final = 0.1
REFRESH_S: Final = 30.0
PLACES: Final = 32
PLACES_PER_CELL: Final = 8

Work = Stream | str
"""What is under way once at most: a stream; without that rule, a row."""


class Outbox:
    """A small table in an application's database. A stream's rows lie in the order of their commits."""

    def __init__(self) -> None:
        self.streams: dict[Stream, deque[Row]] = {}
        self.forwarders: list[Forwarder] = []

    def commit(self, row: Row) -> None:
        self.streams.setdefault(row.stream, deque()).append(row)
        for forwarder in self.forwarders:
            forwarder.look(row.stream)

    def delete(self, rows: tuple[Row, ...]) -> None:
        """By key: whoever was told later deletes nothing else."""
        stream, gone = rows[0].stream, {row.key for row in rows}
        left = deque(row for row in self.streams.get(stream, ()) if row.key not in gone)
        if left:
            self.streams[stream] = left
        else:
            self.streams.pop(stream, None)


class Forwarder:
    """Keeps nothing that must survive it. Two of one outbox do no harm: see `Rules.lane_waits_for…`."""

    def __init__(
        self, outbox: Outbox, *, cells: list[Cell], directory: Directory, network: Network, rules: Rules
    ) -> None:
        self._outbox, self._cells, self._directory = outbox, cells, directory
        self._network, self._rules = network, rules
        self._alive = True
        self._copy = directory.copy()
        self._sent = 0
        self._busy: dict[Work, int] = {}
        self._places: dict[CellId, int] = defaultdict(int)
        self._waiting: dict[CellId, deque[tuple[Work, Stream]]] = defaultdict(deque)
        self._crowded: deque[tuple[Work, Stream]] = deque()
        outbox.forwarders.append(self)
        self._refresh()
        for stream in list(outbox.streams):
            self.look(stream)

    def stop(self) -> None:
        """What it has sent goes on without it."""
        if self._alive:
            self._alive = False
            self._outbox.forwarders.remove(self)

    def look(self, stream: Stream) -> None:
        """Send what the stream has, if nothing of it is under way."""
        rows = self._outbox.streams.get(stream)
        if not self._alive or not rows:
            return
        if self._rules.stream_waits_for_acknowledgement:
            if stream not in self._busy:
                self._send(stream, tuple(rows[n] for n in range(min(len(rows), BATCH_MAX))))
        else:
            for row in tuple(rows):
                if row.key not in self._busy:
                    self._send(row.key, (row,))

    def _send(self, work: Work, rows: tuple[Row, ...]) -> None:
        slot, stream = rows[0].slot, rows[0].stream
        cell = self._copy.cell_of(slot)
        if not self._takes_place(cell, work, stream):
            return
        self._sent += 1
        sent = self._busy[work] = self._sent
        if not self._rules.row_stays_until_acknowledged:
            self._outbox.delete(rows)

        def ended(pause_s: float) -> None:
            """Answered, or given up: then it is sent again, whatever became of it."""
            if self._alive and self._busy.get(work) == sent:
                del self._busy[work]
                self._free_place(cell)
                self._network.after(pause_s * self._network.random.uniform(1, 2), self.look, stream)

        def answered(answer: Answer) -> None:
            if not self._alive:
                return
            match answer:
                case Accepted():
                    self._outbox.delete(rows)
                    ended(0)
                case Moved() as moved:
                    self._copy.learn(slot, moved)
                    ended(MOVED_PAUSE_S)
                case Refused():
                    ended(PAUSE_S)

        self._network.send(self._cells[cell].receive, slot, rows, lambda it: self._network.send(answered, it))
        self._network.after(TIMEOUT_S, ended, PAUSE_S)

    def _takes_place(self, cell: CellId, work: Work, stream: Stream) -> bool:
        """A cell that does not answer holds its own places, and no others."""
        if self._rules.places_per_cell:
            full, waiting = self._places[cell] >= PLACES_PER_CELL, self._waiting[cell]
        else:
            full, waiting = sum(self._places.values()) >= PLACES, self._crowded
        if full:
            self._busy[work] = 0
            waiting.append((work, stream))
        else:
            self._places[cell] += 1
        return not full

    def _free_place(self, cell: CellId) -> None:
        self._places[cell] -= 1
        waiting = self._waiting[cell] if self._rules.places_per_cell else self._crowded
        if waiting:
            work, stream = waiting.popleft()
            del self._busy[work]
            self.look(stream)

    def _refresh(self) -> None:
        """A copy of the directory, now and then: until then it is stale, and a cell says so."""
        if self._alive:
            self._directory.update(self._copy)
            self._network.after(self._network.random.uniform(1, REFRESH_S), self._refresh)
