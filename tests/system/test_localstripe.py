"""A stand-in for Stripe that somebody else wrote sends its own webhooks through the whole chain.

Ours may be wrong as our code is wrong. It is a process of its own, and its code is never imported.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from postroom.base import json
from postroom.base.db import Pool
from tests.processes.commands import Ended, Running, run

if find_spec("localstripe") is None:
    pytest.skip("needs localstripe (make setup)", allow_module_level=True)

LIMIT_S = 60.0
KEY = "sk_test_localstripe"
SECRET = "whsec_localstripe"
KEPT_BY_IT = Path("/tmp/localstripe.pickle")
"""It writes there whatever it is told, and reads it only when it is not told --from-scratch."""
ROUTES = """
[[route]]
on = "customer.created"
export = { dataset = "customers", record = { id = "{{ object.id }}" } }

[[route]]
on = "customer.subscription.created"
fetch = true
export = { dataset = "subscriptions", record = { id = "{{ object.id }}", status = "{{ object.status }}" } }

[[route]]
on = "invoice.payment_succeeded"
key = "paid:{{ object.id }}"
export = { dataset = "paid", record = { id = "{{ object.id }}" } }
"""
SENT = """
    select payload ->> 'dataset' as dataset, payload -> 'record' ->> 'id' as id
    from postroom.message where channel = 'export' order by 1, 2"""


class LocalStripe:
    """The process, asked over HTTP."""

    def __init__(self, port: int, http: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._http = http

    async def answers(self) -> bool:
        try:
            return "data" in await self.get("/v1/events")
        except aiohttp.ClientError:
            return False

    async def get(self, path: str) -> dict[str, Any]:
        async with self._http.get(self.url + path, headers=self._headers) as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def post(self, path: str, **fields: Any) -> dict[str, Any]:
        async with self._http.post(self.url + path, json=fields, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            made: dict[str, Any] = json.decode(await answer.read() or b"{}")
            return made

    async def subscribe(self, name: str) -> str:
        """Somebody who pays at once. Returns: the customer."""
        token = await self.post(
            "/v1/tokens",
            card={"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
        )
        customer = await self.post("/v1/customers", email=f"{name}@example.com", source=token["id"])
        await self.post("/v1/subscriptions", customer=customer["id"], items=[{"plan": "monthly"}])
        return str(customer["id"])

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
async def stripe(tmp_path: Path) -> AsyncIterator[LocalStripe]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [sys.executable, "-m", "localstripe", "--from-scratch", "--port", str(port)]
    with (tmp_path / "localstripe").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*arguments, stdout=output, stderr=output)
    async with aiohttp.ClientSession() as http:
        stripe = LocalStripe(port, http)
        try:
            await until(stripe.answers)
            yield stripe
        finally:
            process.terminate()
            await process.wait()
            await asyncio.to_thread(KEPT_BY_IT.unlink, missing_ok=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def settings(dsn: str, tmp_path: Path, stripe: LocalStripe) -> dict[str, str]:
    (tmp_path / "routes.toml").write_text(ROUTES)
    return {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_PORT": "0",
        "POSTROOM_ROUTES": str(tmp_path / "routes.toml"),
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
        "POSTROOM_STRIPE__API_KEY": KEY,
        "POSTROOM_STRIPE__API_BASE": stripe.url,
    }


@pytest.fixture
async def webhook_url(settings: dict[str, str], tmp_path: Path) -> AsyncIterator[str]:
    """Of an API and a runner."""
    commands = []
    try:
        for words, ready in ((["serve"], "http.listening"), (["work"], "runner.started")):
            home = tmp_path / words[0]
            home.mkdir()
            command = Running(words, home=home, settings=settings)
            commands.append(command)

            async def is_ready(command: Running = command, ready: str = ready) -> bool:
                return command.says(ready)

            await until(is_ready)
        found = re.search(r"http\.listening .*port=(\d+)", commands[0].output)
        assert found is not None, commands[0].output
        yield f"http://127.0.0.1:{found[1]}/v1/stripe/webhook"
    finally:
        for command in commands:
            command.process.kill()
            command.process.wait()


async def test_its_webhooks_go_through_the_whole_chain(
    stripe: LocalStripe, settings: dict[str, str], webhook_url: str, pool: Pool, tmp_path: Path
) -> None:
    await stripe.post("/_config/webhooks/postroom", url=webhook_url, secret=SECRET)
    await stripe.post(
        "/v1/plans", id="monthly", interval="month", amount=999, currency="eur", product={"name": "Letters"}
    )
    customers = sorted([await stripe.subscribe(name) for name in ("ann", "bob", "cyd")])
    events = (await stripe.get("/v1/events?limit=100"))["data"]
    assert {event["type"] for event in events} >= {"customer.created", "invoice.payment_succeeded"}

    async def all_processed() -> bool:
        count = "select count(*) from postroom.stripe_event where state in ('processed', 'ignored')"
        return bool(await pool.fetchval(count) == len(events))

    await until(all_processed)
    sent = await pool.fetch(SENT)
    assert [row["id"] for row in sent if row["dataset"] == "customers"] == customers
    assert [row["dataset"] for row in sent] == [
        dataset for dataset in ("customers", "paid", "subscriptions") for _ in customers
    ]

    for kind in ("subscription", "invoice"):  # it tells of no later change of a customer
        mirrored = await pool.fetch(
            "select data #>> '{}' as data from postroom.stripe_object where data ->> 'object' = $1", kind
        )
        ours = [json.decode(row["data"]) for row in mirrored]
        theirs = [await stripe.get(f"/v1/{kind}s/{each['id']}") for each in ours]
        assert len(ours) == len(customers)
        assert ours == theirs, kind

    def backfill(*more: str) -> Ended:
        return run("postroom", "stripe", "backfill", "--since", "1h", *more, home=tmp_path, settings=settings)

    missed = await asyncio.to_thread(backfill, "--json")
    assert missed.code == 0, missed.err
    assert (missed.json["listed"], missed.json["missing"]) == (len(events), 0)
    assert missed.json["left_out"] is not None, "it has no events of v2, and that is said"
