"""The API killed between an event of a mail and its suppression: both are there, or neither."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp

from postroom.base.db import Pool
from tests.channels.email.test_events import PUBLISH, told
from tests.fixtures import email_events as signed
from tests.system import test_crash_matrix as matrix
from tests.system.test_crash_matrix import Start, count, kill, nobody_waits, ready, until, waits_for_lock

start = matrix.start


async def tell(client: aiohttp.ClientSession, event: dict[str, Any]) -> int:
    """Returns: the status, or 0 where there was no answer; the provider then tells it again."""
    headers, body = signed.sendgrid([event], datetime.now(UTC))
    try:
        async with client.post("/v1/email/events/sendgrid", headers=headers, data=body) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_killed_between_an_event_and_its_suppression_both_are_there_or_neither(
    pool: Pool, start: Start, unused_tcp_port: int
) -> None:
    keys = signed.settings().events_sendgrid_keys
    assert keys is not None
    serving = {
        "POSTROOM_PORT": str(unused_tcp_port),
        "POSTROOM_EMAIL__EVENTS_SENDGRID_KEYS": keys.get_secret_value(),
    }
    event = told(await pool.fetchval(PUBLISH, "{}"))
    api = start("postroom", "serve", **serving)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as client:
        await until(lambda: ready(client))
        async with pool.acquire() as lock:
            locked = lock.transaction()
            await locked.start()
            await lock.execute("lock table postroom.suppression in share row exclusive mode")
            telling = asyncio.create_task(tell(client, event))
            await until(lambda: waits_for_lock(pool))  # the event is noted, its suppression is not
            kill(api)
            assert await telling == 0
            await pool.execute(matrix.END_WAITING)
            await until(lambda: nobody_waits(pool))
            await locked.rollback()
        assert (await count(pool, "email_event"), await count(pool, "suppression")) == (0, 0)

        api = start("postroom", "serve", **serving)
        await until(lambda: ready(client))
        for _ in range(2):
            assert await tell(client, event) == 200
        kill(api)
    assert (await count(pool, "email_event"), await count(pool, "suppression")) == (1, 1)
