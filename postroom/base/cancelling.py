"""Ending tasks of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


async def cancel(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel them and wait until they have ended; what they raise is not heard of any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
