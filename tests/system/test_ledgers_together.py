"""Four ledgers, three runners and one API: published by tenant, while tenants move from ledger to ledger."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from postroom.admin.scopes import Scope
from postroom.admin.tokens import generate_token, insert_token
from postroom.base.db import transaction
from postroom.dev.receiver import Receiver
from postroom.ledgers.directory import read_directory
from tests.conftest import SUMMARY
from tests.fixtures.ledgers import found, ledgers, pools, settings_of, strangers_in
from tests.processes.commands import Running, run
from tests.processes.local_postgres import wait_until
from tests.processes.statements import counted, counting

NAMES = ("a", "b", "c", "d")
TENANTS = [f"tenant-{n}" for n in range(32)]
MOVED = TENANTS[::8]
LEAST, MOST = 10, 280
"""Of each tenant; the receiver remembers 10,000."""
WITHIN_S = 90.0
RETRIES = 100
PUBLISHED = "select count(*) from postroom.message where tenant = $1 and deliveries > 0"


@asynccontextmanager
async def running(home: Path, settings: dict[str, str], *command: str, ready: str) -> AsyncIterator[Running]:
    folder = home / command[0]
    folder.mkdir()
    process = Running(command, home=folder, settings=settings)
    try:
        up = await asyncio.to_thread(wait_until, lambda: process.says(ready), limit_s=WITHIN_S)
        assert up, process.output
        yield process
        process.process.terminate()
        assert await asyncio.to_thread(process.process.wait, WITHIN_S) == 0
    finally:
        if process.process.poll() is None:
            process.process.kill()


async def publish(client: aiohttp.ClientSession, tenant: str, enough: asyncio.Event) -> tuple[int, int]:
    """In order, until it is enough. Returns: how many, and how often it was told to come again."""
    n = again = 0
    while n < LEAST or (n < MOST and not enough.is_set()):
        event: dict[str, object] = {
            "channel": "webhook",
            "type": "a.b",
            "tenant": tenant,
            "key": f"{n}",
            "ordering_key": "one",
        }
        event |= {"payload": {"data": {"tenant": tenant, "n": n}}}
        for _ in range(RETRIES):
            async with client.post("/v1/events", json=event) as answer:
                if answer.status == 201:
                    break
                assert answer.status == 503, await answer.text()
                again += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]) / 5)
        else:
            raise AssertionError(f"{tenant} was refused {RETRIES} times")
        n += 1
    return n, again


async def move(home: Path, settings: dict[str, str], tenant: str, to: str) -> None:
    words = ("ledger", "move", "--tenant", tenant, "--to", to)
    moved = await asyncio.to_thread(run, "postroom", *words, home=home, settings=settings)
    assert (moved.code, moved.out) == (0, f"{tenant} is in {to}.\n"), moved.err


async def endpoints(client: aiohttp.ClientSession, url: str) -> None:
    for tenant in TENANTS:
        async with client.post("/v1/admin/endpoints", json={"tenant": tenant, "url": url}) as answer:
            assert answer.status == 201, await answer.text()


async def test_nothing_is_lost_doubled_or_out_of_order_and_no_ledger_has_what_is_anothers(
    server_dsn: str, template: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with ledgers(server_dsn, template, *NAMES) as dsns, pools(dsns) as opened, Receiver() as receiver:
        await found(opened)
        token = generate_token()
        for pool in opened.values():
            async with transaction(pool) as conn:
                await insert_token(conn, name="test", scopes=tuple(Scope), secret=token)
        async with opened["a"].acquire() as conn:
            directory = await read_directory(conn)
        home_of = {tenant: directory.ledger_of(tenant) for tenant in TENANTS}
        target = {tenant: NAMES[(NAMES.index(home_of[tenant]) + 1) % 4] for tenant in MOVED}
        (tmp_path / "statements").mkdir()
        settings = {
            **settings_of(dsns),
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_PORT": "0",
            "POSTROOM_LOG_JSON": "true",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        }
        served = {**settings, **counting(tmp_path / "statements")}
        async with (
            running(tmp_path, served, "serve", ready="http.listening") as api,
            running(tmp_path, served, "work", "--processes", "3", ready="3 of 3 runners ready"),
        ):
            [port] = re.findall(r'"port": (\d+)', api.output)
            headers = {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:
                await endpoints(client, receiver.url())
                enough = asyncio.Event()
                publishing = [asyncio.create_task(publish(client, each, enough)) for each in TENANTS]
                for tenant, to in target.items():
                    await move(tmp_path, settings, tenant, to)
                enough.set()
                published = dict(zip(TENANTS, await asyncio.gather(*publishing), strict=True))
            await receiver.wait_for(sum(count for count, _ in published.values()), timeout_s=WITHIN_S)
        arrived = defaultdict[str, list[int]](list)
        for each in receiver.received:
            data = json.loads(each.body)["data"]
            arrived[data["tenant"]].append(data["n"])
        ids = Counter(each.id for each in receiver.received)
        databases = {name: dsn.rpartition("/")[2] for name, dsn in dsns.items()}
        statements = counted(tmp_path / "statements", databases)
        at_home = {
            name: {each for each in TENANTS if name in (home_of[each], target.get(each))} for name in NAMES
        }
        strangers = {name: await strangers_in(pool, name, at_home[name]) for name, pool in opened.items()}
        moved = {each: await opened[to].fetchval(PUBLISHED, each) for each, to in target.items()}
    assert arrived == {tenant: list(range(count)) for tenant, (count, _) in published.items()}
    assert max(ids.values()) == 1
    assert not any(strangers.values()), strangers
    assert all(moved.values()), "they were published where they are now, too"
    assert (statements.across, statements.nobodys) == (0, {})
    assert statements.processes >= 4, "the API and three runners"
    assert statements.own > len(ids)
    again = sum(each for _, each in published.values())
    summary = (
        f"{len(ids)} deliveries, {len(MOVED)} moves, 0 lost, doubled, out of order or elsewhere; "
        f"{statements.own:,} statements of {statements.processes} processes, "
        f"{statements.across} across ledgers"
    )
    request.node.user_properties.append((SUMMARY, f"{summary}; told to come again {again} times"))
