"""Looking names up: what one name server keeps silent about holds up nothing else."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.client import LOOK_UP_S, PublicResolver
from postroom.dev.receiver import Receiver
from postroom.outbox.model import Message
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.names import NameServer
from tests.fixtures.roles import pool_as

TARPITS = 150
HONEST = 40
ENDED = (
    "select code, min(ended_at) as first, max(ended_at) as last, count(*) from postroom.attempt group by 1"
)


async def test_names_that_nobody_answers_for_hold_up_no_other_tenant(dsn: str, pool: Pool) -> None:
    """Before, each held one of 32 threads for as long as the system's resolver is patient."""
    async with NameServer() as server, Receiver() as receiver:
        adapter = WebhookAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=WebhookSettings(allow_private=True),
            resolver=PublicResolver(allow_private=True, names=server.names()),
        )
        await adapter.start()
        engine = await AdapterEngine(dsn, pool, adapter).start()
        hosts = [f"n{number}.tarpit.example" for number in range(TARPITS)]
        hosts += [f"n{number}.honest.example" for number in range(HONEST)]
        await engine.publish(
            Message(
                channel="webhook", payload={"url": f"http://{host}:{receiver.port}/", "type": "a", "data": {}}
            )
            for host in hosts
        )
        await engine.drain()
        await adapter.close()
    ended = await pool.fetch(ENDED)
    by_code = {row["code"]: row for row in ended}
    assert {code: row["count"] for code, row in by_code.items()} == {"200": HONEST, "dns": TARPITS}
    # Not the first: on a busy machine it is given up while others have not begun. In threads the last one
    # of them was four times as late.
    second = by_code["dns"]["first"] + timedelta(seconds=LOOK_UP_S)
    assert by_code["200"]["last"] < second, "some waited until tarpits were given up"
    assert sum(name.endswith(".tarpit.example") for name in server.asked) == TARPITS


async def test_a_look_up_ends_in_time() -> None:
    async with NameServer() as server:
        resolver = PublicResolver(allow_private=True, names=server.names())
        async with asyncio.timeout(LOOK_UP_S + 5):
            with pytest.raises(OSError, match=r"name server|DNS"):
                await resolver.resolve("n.tarpit.example", 443)
        assert [found["host"] for found in await resolver.resolve("n.honest.example", 443)] == ["127.0.0.1"]
        await resolver.close()


async def test_this_machine_still_knows_itself() -> None:
    """`/etc/hosts` is read, too: receivers on an allowed network may be named there alone."""
    resolver = PublicResolver(allow_private=True)
    found = {each["host"] for each in await resolver.resolve("localhost", 80, socket.AF_UNSPEC)}
    await resolver.close()
    assert found <= {"127.0.0.1", "::1"}
    assert found
