"""Live updates: one stream that says when something changed; the page then fetches itself anew."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response, StreamingResponse

from postroom.base.errors import Unavailable
from postroom.console.context import Console
from postroom.console.page_request import PageRequest
from postroom.metrics.gauges import Gauges

LOOK_S: Final = 1.0
SILENT_MAX_S: Final = 15.0
LIFE_S: Final = 300.0
STREAMS_MAX: Final = 100


class Live:
    """Promise: a stream ends within `LOOK_S` of a shutdown, and after `LIFE_S`, so that a session that is
    over ends too; browsers open it again. All streams share one reading of the gauges."""

    def __init__(self) -> None:
        self._streams = 0

    async def stream(self, request: PageRequest) -> Response:
        """Errors: `Unavailable` beyond `STREAMS_MAX` streams of this process."""
        if self._streams >= STREAMS_MAX:
            raise Unavailable("too many pages are open; this one is not live", retry_after_s=30)
        return StreamingResponse(
            self._events(request.console),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _events(self, console: Console) -> AsyncIterator[str]:
        self._streams += 1
        try:
            yield "retry: 3000\n\n"
            ends_s = console.clock.monotonic() + LIFE_S
            said, said_s = None, console.clock.monotonic()
            while not console.readiness.stopping and console.clock.monotonic() < ends_s:
                gauges = await console.gauges.read()
                now_s = console.clock.monotonic()
                if gauges is not None:
                    console.rates.note(gauges)
                    sign = signature(gauges)
                    if sign != said:
                        said, said_s = sign, now_s
                        yield f"event: change\ndata: {sign}\n\n"
                if now_s - said_s > SILENT_MAX_S:
                    said_s = now_s
                    yield ": still here\n\n"
                await asyncio.sleep(LOOK_S)
        finally:
            self._streams -= 1


def signature(gauges: Gauges) -> str:
    """Changes with everything that a page could show anew; not with mere heartbeats."""
    parts = (
        [(q.channel, q.state, q.waiting, q.timeless) for q in gauges.queues],
        sorted(gauges.dead_letters.items()),
        sorted(gauges.tallies.items()),
        sorted(
            (job.name, str(job.last_success_at), job.consecutive_failures) for job in gauges.jobs.values()
        ),
        sorted((c.name, c.state, c.forced) for c in gauges.circuits.values()),
        (gauges.vitals.workers, gauges.vitals.drift, gauges.vitals.checked_s),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
