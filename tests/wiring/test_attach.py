"""One of several ledgers, attached until the runner stops."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postroom.base.settings import Settings
from postroom.jobs import run as module
from postroom.jobs.run import DONE, Wanted


async def test_a_ledger_whose_work_was_cancelled_by_mistake_is_attached_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the others would go on, and nobody would hear of it."""
    stop, attached = asyncio.Event(), 0

    async def attach(*_: object, **__: object) -> int:
        nonlocal attached
        attached += 1
        if attached == 1:
            raise asyncio.CancelledError
        stop.set()
        return DONE

    monkeypatch.setattr(module, "attach", attach)
    monkeypatch.setattr(module, "ATTACH_AGAIN_S", 0.01)
    async with asyncio.timeout(20):
        wanted = Wanted(job=None, once=False, channels=())
        assert await module._keep_attached(Settings(state_dir=tmp_path), wanted, stop) == DONE
    assert attached == 2
