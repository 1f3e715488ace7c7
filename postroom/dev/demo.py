"""`postroom up --demo --once`: the whole chain on a database of its own, and proof that all of it arrived."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from postroom.base.settings import Settings, load_settings
from postroom.dev.demo_events import EFFECTS, send_demo
from postroom.dev.expectations import arrivals, find_faults
from postroom.dev.screen import Screen
from postroom.dev.stack import Stack
from postroom.dev.timeline import Timeline
from postroom.dev.up import run_stack, start_database

ARRIVED_WITHIN_S: Final = 60.0
LOOK_S: Final = 0.2
FAILED: Final = 1


def run_once() -> int:
    """Returns: 0 when each effect arrived exactly once, else 1, after saying what is missing.

    Settings of the environment are left aside, and named: the demo must touch no real mail server and no
    real ledger, and what must arrive is known for its own routes only. Its folder is removed, or kept and
    named when something went wrong.
    """
    screen = Screen()
    state_dir = Path(tempfile.mkdtemp(prefix="postroom-demo-"))
    left_aside = sorted(name for name in os.environ if name.startswith("POSTROOM_"))
    for name in left_aside:
        del os.environ[name]
    if left_aside:
        screen.say(f"Left aside, as --once proves the demo's own routes: {', '.join(left_aside)}")
    if {"POSTROOM_ROUTES", "POSTROOM_HANDLERS"} & set(left_aside):
        screen.say("With yours: postroom up --demo, or postroom routes test --event FILE")
    os.environ["POSTROOM_STATE_DIR"] = str(state_dir)
    settings = load_settings()
    code = FAILED
    try:
        with start_database(settings, screen) as database:

            async def work(stack: Stack) -> int:
                return await _prove(stack, settings, screen)

            code = asyncio.run(run_stack(settings, database.dsn, screen, work, stopped=FAILED))
    finally:
        if code == 0:
            shutil.rmtree(state_dir)
        else:
            screen.say(f"Logs and data are kept in {state_dir}")
    return code


async def _prove(stack: Stack, settings: Settings, screen: Screen) -> int:
    started_s = time.monotonic()
    timeline = Timeline(pool=stack.pool, console=screen.console, since=datetime.now(UTC))
    following = asyncio.create_task(timeline.follow())
    screen.say()
    try:
        events = await send_demo(stack, timeline, pause_s=0.0)
        faults = await _wait_for_all(stack, settings.state_dir / "exports", timeline, events)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    screen.say()
    if faults:
        screen.fail("Not everything arrived as it should:")
        for fault in faults:
            screen.say(f"  {fault}")
        return FAILED
    count = sum(len(channels) for channels in EFFECTS.values())
    screen.done(
        "demo",
        f"{len(events)} events, {count} effects, each arrived exactly once; the ledger fits "
        f"({time.monotonic() - started_s:.1f} s)",
    )
    return 0


async def _wait_for_all(
    stack: Stack, exports_dir: Path, timeline: Timeline, events: list[dict[str, Any]]
) -> list[str]:
    """Look until nothing is wrong and the timeline has shown it. Returns: what still is at the end."""
    faults: list[str] = []
    deadline_s = time.monotonic() + ARRIVED_WITHIN_S
    while time.monotonic() < deadline_s:
        arrived = await asyncio.to_thread(arrivals, stack.fake_services, exports_dir)
        async with (
            stack.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            faults = await find_faults(conn, events, arrived)
        if not faults and timeline.events_ended == len(events):
            return []
        await asyncio.sleep(LOOK_S)
    return faults or ["the timeline did not show every event"]
