"""What nobody waits for takes turns, rests, and ends in time."""

from __future__ import annotations

from postroom.outbox.ledger.turns import Sweep, take_turns
from tests.fixtures.clock import DrivenClock

BATCH_S = 0.5


class Work:
    """Sweeps that take `BATCH_S` a batch, on a clock that a rest moves."""

    def __init__(self) -> None:
        self.clock = DrivenClock()
        self.done: list[str] = []
        self.rested_s = 0.0
        self.rests_max = 1_000

    def sweep(self, name: str, batches: int) -> Sweep:
        left = [batches]

        async def run() -> tuple[int, bool]:
            self.clock.advance(BATCH_S)
            self.done.append(name)
            left[0] -= 1
            return 10, left[0] > 0

        return run

    async def rest(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        self.rested_s += seconds
        self.rests_max -= 1
        return self.rests_max > 0

    async def take(self, *sweeps: Sweep, within_s: float = 240.0) -> int:
        return await take_turns(sweeps, clock=self.clock, within_s=within_s, share=1 / 8, rest=self.rest)


async def test_a_sweep_with_much_to_do_leaves_the_others_their_turns() -> None:
    work = Work()
    assert await work.take(work.sweep("a", 4), work.sweep("b", 1), work.sweep("c", 2)) == 70
    assert work.done == ["a", "b", "c", "a", "c", "a", "a"]


async def test_it_works_an_eighth_of_the_time() -> None:
    work = Work()
    await work.take(work.sweep("a", 20))
    assert work.rested_s == 19 * 7 * BATCH_S


async def test_it_ends_in_time_whatever_is_left() -> None:
    work = Work()
    assert await work.take(work.sweep("endless", 1_000), within_s=60.0) > 0
    assert 50.0 < work.clock.monotonic() < 60.0


async def test_it_ends_when_it_should_stop() -> None:
    work = Work()
    work.rests_max = 3
    await work.take(work.sweep("endless", 1_000))
    assert len(work.done) == 3
