"""Group commit: what arrives while one flush is under way goes out together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from postroom.base.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Flushes at once when idle and gathers while a flush is under way.

    Promise: each caller gets the result of its own item, after the flush that held it.
    `flush` answers one result an item, in order; a result that is an exception is raised to
    its caller only. When `flush` itself raises, every caller of that batch gets the error.
    Limits: `batch_max` items a flush; above `waiting_max` callers get `Unavailable`. One loop only.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        batch_max: int = 500,
        waiting_max: int = 10_000,
        flushers_max: int = 1,
        gather_s: float = 0.0,
    ) -> None:
        """`gather_s`: after a flush of several the next one waits so long for more, for they come in a stream
        and a flush takes about as long for one as for a dozen."""
        self._flush = flush
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._flushers_max = flushers_max
        self._gather_s = gather_s
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._flushers: set[asyncio.Task[None]] = set()
        self._flushing = 0
        # Kept, for up to Python 3.11 to ask for the running loop is a system call.
        self._loop: asyncio.AbstractEventLoop | None = None

    async def submit(self, item: Item) -> Result:
        """Hand in one item and wait for its own result. Errors: `Unavailable` when too many wait."""
        return await self.hand_in(item)

    def hand_in(self, item: Item) -> asyncio.Future[Result]:
        """As `submit`. Returns: what will have the result."""
        if len(self._waiting) >= self._waiting_max:
            raise Unavailable("too many requests are waiting to be stored", retry_after_s=1)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._flushing < self._flushers_max:
            self._flushing += 1
            task = asyncio.create_task(self._run(), name="batcher")
            self._flushers.add(task)
            task.add_done_callback(self._flushers.discard)
        return future

    async def close(self) -> None:
        """Wait until everything handed in has been flushed."""
        while self._flushers:
            await asyncio.gather(*self._flushers, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._waiting:
                if await self._flush_next() > 1 and self._gather_s:
                    await asyncio.sleep(self._gather_s)
        finally:
            # In the same step as the last look at the queue: who submits from now on starts a new flusher.
            self._flushing -= 1

    async def _flush_next(self) -> int:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
        try:
            results = await self._flush([item for item, _ in batch])
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
            return len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            _resolve(future, result)
        return len(batch)


def _fail(batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def _resolve(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
