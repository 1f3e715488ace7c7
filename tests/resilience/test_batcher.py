"""Group commit: who waits goes together, each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from postroom.base.errors import Unavailable
from postroom.resilience.batcher import Batcher


class Flusher:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await self.gate.wait()
        return [ValueError(str(item)) if item < 0 else item * 10 for item in items]


async def test_what_arrives_during_a_flush_goes_out_together() -> None:
    flush = Flusher()
    flush.gate.clear()
    batcher = Batcher(flush)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in range(5)]
    while not flush.batches:
        await asyncio.sleep(0)
    late = [asyncio.create_task(batcher.submit(item)) for item in range(5, 9)]
    await asyncio.sleep(0)
    flush.gate.set()
    assert await asyncio.gather(*tasks, *late) == [item * 10 for item in range(9)]
    assert sum(map(len, flush.batches)) == 9
    assert flush.batches[-1][-4:] == [5, 6, 7, 8]
    assert len(flush.batches) <= 3


async def test_after_several_the_next_flush_gathers() -> None:
    flush = Flusher()
    batcher = Batcher(flush, gather_s=0.05)
    first = [asyncio.create_task(batcher.submit(item)) for item in range(2)]
    await asyncio.gather(*first)  # now it waits for more
    late = []
    for item in range(2, 5):
        late.append(asyncio.create_task(batcher.submit(item)))
        await asyncio.sleep(0)
    await asyncio.gather(*late)
    assert flush.batches == [[0, 1], [2, 3, 4]]


async def test_one_alone_is_followed_at_once() -> None:
    batcher = Batcher(Flusher(), gather_s=600.0)
    async with asyncio.timeout(5):
        assert await batcher.submit(1) == 10
        assert await batcher.submit(2) == 20


async def test_a_bad_item_fails_alone() -> None:
    batcher = Batcher(Flusher())
    good, bad = await asyncio.gather(batcher.submit(1), batcher.submit(-1), return_exceptions=True)
    assert good == 10
    assert isinstance(bad, ValueError)


async def test_a_failed_flush_fails_its_callers_and_not_the_next() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("away")
        return list(items)

    batcher = Batcher(flush)
    with pytest.raises(OSError, match="away"):
        await batcher.submit(1)
    assert await batcher.submit(2) == 2


async def test_a_full_queue_pushes_back() -> None:
    flush = Flusher()
    flush.gate.clear()
    batcher = Batcher(flush, waiting_max=2, batch_max=1)
    tasks = [asyncio.create_task(batcher.submit(0))]
    while not flush.batches:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.submit(3)
    flush.gate.set()
    assert await asyncio.gather(*tasks) == [0, 10, 20]


async def test_a_caller_that_leaves_does_not_disturb_the_others() -> None:
    flush = Flusher()
    flush.gate.clear()
    batcher = Batcher(flush)
    leaving, staying = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
    while not flush.batches:
        await asyncio.sleep(0)
    leaving.cancel()
    flush.gate.set()
    assert await staying == 20
