"""`postroom ledger move` under load, from real databases; the mover is killed at each step."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from postroom.base.errors import TenantElsewhere
from postroom.client.publish import publish_many
from postroom.dev.receiver import Receiver
from tests.conftest import SUMMARY
from tests.fixtures.ledgers import ledgers, settings_of
from tests.fixtures.roles import as_deployed
from tests.processes.commands import Running, environment, run

CLIENTS: Final = 4
KILLED_AT: Final = (
    "b refuses it",
    "keys copied",
    "a refuses it",
    "b takes it",
    "a still has",
    "b delivers it",
)
ENDPOINT: Final = """
insert into postroom.endpoint (tenant, url, types, secret)
values ('acme', $1, '{*}', 'whsec_' || encode(sha256('test'), 'base64'))
"""
RETRY_S: Final = 0.02
PACE_S: Final = 0.03


@pytest.fixture
async def dsns(server_dsn: str, template: str) -> AsyncIterator[dict[str, str]]:
    async with ledgers(server_dsn, template, "a", "b") as dsns:
        yield dsns


@dataclass
class Client:
    """Publishes one message after the other under its ordering key, wherever the tenant is."""

    name: str
    dsns: dict[str, str]
    stop: asyncio.Event
    count: int = 0
    conflicts: int = 0
    refused_s: list[float] = field(default_factory=list)

    async def run(self) -> None:
        at = "a"
        conns = {name: await asyncpg.connect(dsn) for name, dsn in self.dsns.items()}
        try:
            while not self.stop.is_set():
                await asyncio.sleep(PACE_S)
                self.count += 1
                refused = None
                while True:
                    try:
                        await self._publish(conns[at], self.count)
                        break
                    except (TenantElsewhere, asyncpg.SerializationError) as error:
                        at = error.ledger if isinstance(error, TenantElsewhere) else at
                        refused = refused or time.monotonic()
                        await asyncio.sleep(RETRY_S)
                if refused is not None:
                    self.refused_s.append(time.monotonic() - refused)
        finally:
            for conn in conns.values():
                await conn.close()

    async def _publish(self, conn: asyncpg.Connection[asyncpg.Record], count: int) -> None:
        """A new one, and one of before once more: it is a duplicate wherever it is published."""
        numbers = [count, max(1, count - 7)]
        async with conn.transaction(isolation="repeatable_read" if count % 3 == 0 else "read_committed"):
            await conn.fetchval("select 1")
            try:
                await publish_many(conn, [
                    {
                        "channel": "webhook", "tenant": "acme", "key": f"{self.name}:{n}",
                        "ordering_key": self.name,
                        "payload": {"type": "a.b", "data": {"order": self.name, "n": n}},
                    }
                    for n in numbers
                ])  # fmt: skip
            except asyncpg.SerializationError:
                self.conflicts += 1
                raise


async def move(
    settings: dict[str, str], home: Path, to: str, *, killed_at: str | None, more: tuple[str, ...] = ()
) -> int | None:
    """The exit code; None where it was killed, at the line that begins so."""
    words = ("postroom", "ledger", "move", "--tenant", "acme", "--to", to, *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", *words, env=environment(home, as_deployed(words, settings)),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            if killed_at is not None and killed_at in line.decode():
                process.kill()
                await process.wait()
                return None
        return await process.wait()


@pytest.mark.timeout(240)
async def test_killed_at_each_step_it_loses_doubles_and_reorders_nothing(
    dsns: dict[str, str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings = {
        **settings_of(dsns),
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
    }
    async with Receiver() as receiver:
        conn = await asyncpg.connect(dsns["a"])
        await conn.execute("select postroom.publish('export', '{\"dataset\": \"first\"}')")
        await conn.execute(ENDPOINT, receiver.url())
        await conn.close()
        added = await asyncio.to_thread(run, "postroom", "ledger", "add", home=tmp_path, settings=settings)
        assert added.out == "New: a, b.\na: 1024 of 1,024 slots\nb: 0 of 1,024 slots\n", added.err
        stop = asyncio.Event()
        clients = [Client(f"o{n}", dsns, stop) for n in range(CLIENTS)]
        working = Running(["work"], home=tmp_path, settings=settings)
        tasks = [asyncio.create_task(client.run()) for client in clients]
        try:
            killed = [
                line for line in KILLED_AT if await move(settings, tmp_path, "b", killed_at=line) is None
            ]
            assert await move(settings, tmp_path, "b", killed_at=None) == 0
            killed_max = max(max(client.refused_s, default=0.0) for client in clients)
            for client in clients:
                client.refused_s.clear()
            assert await move(settings, tmp_path, "a", killed_at=None) == 0
            stop.set()
            await asyncio.gather(*tasks)
            total = sum(client.count for client in clients)
            received = await receiver.wait_for(total, timeout_s=60.0)
        finally:
            stop.set()
            await asyncio.gather(*tasks, return_exceptions=True)
            working.process.terminate()
            await asyncio.to_thread(working.process.wait, 30)
    orders = defaultdict(list)
    for each in received:
        data = json.loads(each.body)["data"]
        orders[data["order"]].append(data["n"])
    assert orders == {client.name: list(range(1, client.count + 1)) for client in clients}
    assert len(killed) >= 4, killed
    refused_max = max(max(client.refused_s, default=0.0) for client in clients)
    record_property(
        SUMMARY,
        f"{total:,} messages, 0 lost, doubled or out of order; killed {len(killed)} times; nobody took the "
        f"tenant for {refused_max * 1000:.0f} ms in a move, {killed_max:.1f} s where it was killed",
    )
