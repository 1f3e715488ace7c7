"""An account of Stripe's that several ledgers share: real processes, and a customer who moves meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from postroom.base.db import Pool
from postroom.base.slots import slot_of
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_events import encode, signed, snapshot_event
from postroom.ledgers.directory import read_directory
from tests.fixtures.ledgers import found, ledgers, pools, settings_of
from tests.fixtures.roles import as_deployed
from tests.processes.commands import Running, environment
from tests.processes.local_postgres import wait_until

WITHIN_S: Final = 60.0
SECRET: Final = "whsec_" + "shared" * 6
ROUTES: Final = """
[[route]]
on = "customer.updated"
webhook = { tenant = "{{ object.id }}", data = { event = "{{ event.id }}" } }
"""
ENDPOINT: Final = """
insert into postroom.endpoint (tenant, url, types, secret)
values ($1, $2, '{*}', 'whsec_' || encode(sha256('test'), 'base64'))
"""
STORED: Final = "select event_id from postroom.stripe_event order by received_at"
ROW: Final = "select true from postroom.ledger_tenant where tenant = $1"
KEYED: Final = "select count(*) from postroom.message where key = $1"


class Installation:
    """A process that serves the ledgers a and b, whose settings also another one gets."""

    def __init__(self, home: Path, settings: dict[str, str], opened: dict[str, Pool]) -> None:
        self.home, self.settings, self.pools = home, settings, opened
        self.client: aiohttp.ClientSession

    async def post(self, event: dict[str, Any], *, secret: str = SECRET) -> tuple[int, Any, str | None]:
        body = encode(event)
        async with self.client.post("/v1/stripe/webhook", data=body, headers=signed(body, secret)) as answer:
            return answer.status, json.loads(await answer.text()), answer.headers.get("Retry-After")

    async def taken(self, event: dict[str, Any]) -> bool:
        """Whether it was new."""
        status, told, _ = await self.post(event)
        assert status == 200, told
        return not told["duplicate"]

    async def stored(self) -> dict[str, list[str]]:
        return {
            name: [row["event_id"] for row in await pool.fetch(STORED)] for name, pool in self.pools.items()
        }

    def start(self, name: str, *words: str) -> Running:
        folder = self.home / name
        folder.mkdir()
        return Running(words, home=folder, settings=self.settings)


async def up(running: Running, text: str) -> None:
    assert await asyncio.to_thread(wait_until, lambda: running.says(text), limit_s=WITHIN_S), running.output


async def end(running: Running) -> None:
    running.process.terminate()
    assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0, running.output


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def shared(server_dsn: str, template: str, tmp_path: Path) -> AsyncIterator[Installation]:
    (tmp_path / "routes.toml").write_text(ROUTES)
    async with ledgers(server_dsn, template, "a", "b") as dsns, pools(dsns) as opened:
        await found(opened)
        settings = {
            **settings_of(dsns),
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_PORT": "0",
            "POSTROOM_LOG_JSON": "true",
            "POSTROOM_ROUTES": str(tmp_path / "routes.toml"),
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
        }
        installation = Installation(tmp_path, settings, opened)
        serving = installation.start("serve", "serve")
        try:
            await up(serving, "http.listening")
            [port] = re.findall(r'"port": (\d+)', serving.output)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                installation.client = client
                yield installation
            await end(serving)
        finally:
            serving.process.kill()


async def owners(pool: Pool, form: str) -> dict[str, str]:
    """One of each ledger."""
    async with pool.acquire() as conn:
        slots = (await read_directory(conn)).slots
    return {slots[slot_of(each)]: each for each in (form.format(n) for n in range(100))}


def updated(customer: str, event_id: str, **more: Any) -> dict[str, Any]:
    return snapshot_event(
        "customer.updated", {"id": customer, "object": "customer"}, event_id=event_id, **more
    )


async def test_an_event_goes_to_the_ledger_of_its_owner(shared: Installation) -> None:
    customers = await owners(shared.pools["a"], "cus_{}")
    accounts = await owners(shared.pools["a"], "acct_{}")
    async with shared.pools["a"].acquire() as conn:
        home = (await read_directory(conn)).ledger_of("self")
    expected: dict[str, list[str]] = {"a": [], "b": []}
    for name in ("a", "b"):
        other = customers["b" if name == "a" else "a"]
        subscription = {"id": "sub_1", "object": "subscription", "customer": customers[name]}
        detached = {"id": "pm_1", "object": "payment_method", "customer": None}
        thin = {"id": f"evt_thin_{name}", "object": "v2.core.event", "type": "v1.customer.updated"}
        events = [
            updated(customers[name], f"evt_customer_{name}"),
            snapshot_event("customer.subscription.updated", subscription, event_id=f"evt_of_theirs_{name}"),
            snapshot_event(
                "payment_method.detached",
                detached,
                previous={"customer": customers[name]},
                event_id=f"evt_before_{name}",
            ),
            updated(other, f"evt_connected_{name}", account=accounts[name]),
            {**thin, "related_object": {"id": customers[name], "type": "customer", "url": "/v1/x"}},
            {**thin, "id": f"evt_context_{name}", "context": accounts[name]},
        ]
        for event in events:
            assert await shared.taken(event)
            assert not await shared.taken(event)
            expected[name].append(event["id"])
    for event in (
        snapshot_event("product.updated", {"id": "prod_1", "object": "product"}, event_id="evt_nobodys"),
        {"id": "evt_thin_nobodys", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found"},
    ):
        assert await shared.taken(event)
        expected[home].append(event["id"])
    assert await shared.stored() == expected
    status, told, _ = await shared.post(updated(customers["b"], "evt_forged"), secret="whsec_" + "nobody" * 6)
    assert (status, told["code"]) == (400, "signature_invalid")
    assert (await shared.post({"object": "event"}))[0] == 400
    astray = encode(updated(customers["b"], "evt_astray"))
    async with shared.client.post(
        "/v1/stripe/webhook?ledger=a", data=astray, headers=signed(astray, SECRET)
    ) as answer:
        told = await answer.json(content_type=None)
        assert (answer.status, told["code"], answer.headers["Retry-After"]) == (503, "tenant_elsewhere", "1")
    assert await shared.stored() == expected, "a ledger refuses whom it does not have, whoever chose it"


async def test_a_customer_moves_and_each_event_is_processed_once(
    shared: Installation, receiver: Receiver
) -> None:
    """One that comes while nobody has them is refused and sent again; one of before is known afterwards."""
    a, b = shared.pools["a"], shared.pools["b"]
    customer = (await owners(a, "cus_{}"))["a"]
    events = [updated(customer, f"evt_{n}", created=1_700_000_000 + n) for n in range(4)]
    await a.execute(ENDPOINT, customer, receiver.url())
    assert await shared.taken(events[0])
    async with a.acquire() as reader, b.acquire() as writer:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch(ROW, customer)
        move = await begin_move(shared, customer)
        try:
            await said(move, "waiting: ")  # for who reads in a
            async with writer.transaction():
                assert await writer.fetchrow(
                    f"{ROW} for update", customer
                )  # b does not take them for so long
                await reading.commit()
                await until_fenced(a, customer)
                status, told, again_s = await shared.post(events[1])
                assert (status, told["code"], again_s) == (503, "tenant_elsewhere", "1")
                assert await shared.stored() == {"a": ["evt_0"], "b": []}
            await said(move, "b takes it")
            assert await shared.taken(events[1])
            assert not await shared.taken(events[0]), "its key came along"
            assert await b.fetchval("select state from postroom.delivery") == "held"
            assert not receiver.received
            working = shared.start("work", "work")
            try:
                async with asyncio.timeout(WITHIN_S):
                    assert await move.wait() == 0
                assert await shared.taken(events[2])
                for event in events[:3]:
                    assert not await shared.taken(event)
                assert await shared.taken(events[3])
                await receiver.wait_for(4, timeout_s=WITHIN_S)
            finally:
                await end(working)
        finally:
            if move.returncode is None:
                move.kill()
                await move.wait()
    arrived = [json.loads(each.body)["data"]["event"] for each in receiver.received]
    assert arrived == ["evt_0", "evt_1", "evt_2", "evt_3"]
    assert await shared.stored() == {"a": ["evt_0"], "b": ["evt_1", "evt_2", "evt_3"]}
    assert await b.fetchval(KEYED, "self:evt_0") == 1


async def begin_move(shared: Installation, tenant: str) -> asyncio.subprocess.Process:
    words = ("postroom", "ledger", "move", "--tenant", tenant, "--to", "b")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", *words,
        env=environment(shared.home, as_deployed(words, shared.settings)),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


async def until_fenced(pool: Pool, customer: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await pool.fetchval(f"{ROW} and step = 'fenced'", customer):
            await asyncio.sleep(0.02)


async def said(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        async for line in process.stderr:
            if text in line.decode():
                return
    raise AssertionError(f"it ended without saying {text!r}")
