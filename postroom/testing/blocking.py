"""Coroutines in tests that do not wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, in a loop of its own.

    With Django, its ORM works in the calling thread, as in a view: on the connection that the test has.
    """
    if _loop_runs():  # a test of a sync driver within a loop
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, work).result()
    return _with_django(work) if "django.db" in sys.modules else asyncio.run(work)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _with_django(work: Coroutine[Any, Any, T]) -> T:
    from asgiref.sync import async_to_sync

    async def run() -> T:
        return await work

    result: T = async_to_sync(run)()
    return result
