"""What a customer may use is fetched from Stripe on request, by SQL and over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from postroom.admin.tokens import Scope, insert_token
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe.entitlements import LIST
from postroom.channels.stripe.refresh import CustomerRefresh
from postroom.channels.stripe.refresh_store import prune_refreshes
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import NO_KEYS
from postroom.jobs.catalog import catalog
from postroom.outbox.reach import Reach
from postroom.wiring import open_worker
from postroom.worker.loop import Runner
from postroom.worker.model import JobContext
from tests.channels.stripe.test_customer_access import NOW, access, changed, subscription, told
from tests.fixtures.api import Api, running_api
from tests.fixtures.links import linked
from tests.fixtures.roles import as_role
from tests.fixtures.stripe import SECRET, Scene

ASK = "select postroom.refresh_customer('cus_1')"
DONE = "select code, fault from stripe.customer_refresh where customer = 'cus_1' and answered >= $1"
CUSTOMER = {"id": "cus_1", "object": "customer"}
FEATURES = {"object": "list", "data": [{"id": "ent_1", "lookup_key": "sso"}]}


class Refreshed(Scene):
    """A scene whose runner answers requests when it is told to."""

    stand_in: StripeStandIn

    @property
    def refresh(self) -> CustomerRefresh:
        return CustomerRefresh(
            pool=self.pool,
            settings=self.settings,
            current=self.current,
            keyring=NO_KEYS,
            clock=SystemClock(),
        )

    async def ask(self) -> tuple[str | None, str | None]:
        asked = await self.pool.fetchval(ASK)
        assert await self.pool.fetchrow(DONE, asked) is None
        assert await self.refresh.answer_next()
        return tuple(await self.row(DONE, asked))


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> AsyncIterator[Refreshed]:
    stand_in = StripeStandIn()
    await stand_in.start()
    scene = Refreshed(pool, tmp_path, stand_in=stand_in)
    scene.stand_in = stand_in
    yield scene
    await scene.close()
    await stand_in.stop()


def buy(stand_in: StripeStandIn, **fields: Any) -> None:
    stand_in.put(CUSTOMER)
    stand_in.put(subscription(**fields))
    stand_in.put(FEATURES, path=f"{LIST}?customer=cus_1")


async def test_what_no_webhook_has_told_yet_is_fetched(scene: Refreshed) -> None:
    buy(scene.stand_in)
    assert await scene.ask() == (None, None)
    assert {name: row[:2] for name, row in (await told(scene.pool)).items()} == {
        "prod_1": (True, "active"),
        "sso": (True, "active"),
    }
    assert not await scene.refresh.answer_next()


async def test_what_is_newer_in_the_mirror_stays(scene: Refreshed) -> None:
    buy(scene.stand_in)
    await scene.process(changed(subscription(status="unpaid"), int(time.time()) + 600))
    await scene.ask()
    assert (await told(scene.pool))["prod_1"][1] == "unpaid"


async def test_an_event_that_is_late_changes_nothing(scene: Refreshed) -> None:
    buy(scene.stand_in)
    await scene.ask()
    await scene.process(changed(subscription(status="incomplete"), NOW - 10, "created"))
    assert (await told(scene.pool))["prod_1"][1] == "active"


async def test_all_subscriptions_are_read_with_all_their_items(scene: Refreshed) -> None:
    scene.stand_in.put(CUSTOMER)
    for n in range(120):
        scene.stand_in.put(subscription(f"sub_{n}", products=(f"prod_{n}",), created=n))
    ids = [f"si_{n}" for n in range(30)]
    items = [{"id": each, "price": {"product": f"more_{each}"}} for each in ids]
    whole = {"object": "list", "url": "/v1/subscription_items?subscription=sub_0", "data": items}
    scene.stand_in.put(subscription("sub_0", items={**whole, "data": items[:10], "has_more": True}))
    scene.stand_in.put(whole, path="/v1/subscription_items")
    await scene.ask()
    names = set(await told(scene.pool))
    assert {f"prod_{n}" for n in range(1, 120)} | {f"more_{each}" for each in ids} == names


async def test_what_stripe_lists_no_more_is_gone(scene: Refreshed) -> None:
    await scene.process(changed(subscription(), NOW - 86_400))
    scene.stand_in.put(CUSTOMER)
    await scene.ask()
    assert (await told(scene.pool))["prod_1"][:2] == (False, "cancelled")


async def test_a_customer_whom_stripe_deleted_is_known(scene: Refreshed) -> None:
    await scene.process(snapshot_event("customer.created", CUSTOMER, created=NOW - 5))
    await scene.process(changed(subscription(), NOW))
    scene.stand_in.put({**CUSTOMER, "deleted": True})
    assert await scene.ask() == (None, None)
    assert (await told(scene.pool))["prod_1"][:2] == (False, "cancelled")


async def test_whom_stripe_does_not_know_is_said(scene: Refreshed) -> None:
    code, fault = await scene.ask()
    assert (code, fault) == ("no_customer", "Stripe has no customer cus_1 in the account self")


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.RATE_LIMITED, Fault.HANG])
async def test_what_is_away_is_said_and_changes_nothing(scene: Refreshed, fault: Fault) -> None:
    buy(scene.stand_in)
    scene.stand_in.fail(fault)
    code, _ = await scene.ask()
    assert code == "away"
    assert await access(scene.pool) == []


async def test_features_that_a_key_may_not_read_are_left_out(scene: Refreshed) -> None:
    buy(scene.stand_in)
    scene.settings.api_key = SecretStr("rk_test_few")
    scene.stand_in.rights["rk_test_few"] = {"customer_read", "subscription_read"}
    assert await scene.ask() == (None, None)
    assert set(await told(scene.pool)) == {"prod_1"}
    scene.stand_in.rights["rk_test_few"] = {"customer_read"}
    assert (await scene.ask())[0] == "refused"


async def test_one_that_is_asked_for_meanwhile_is_answered_by_another_fetch(scene: Refreshed) -> None:
    buy(scene.stand_in)
    first = await scene.pool.fetchval(ASK)
    scene.stand_in.fail(Fault.HANG, times=1)
    answering = asyncio.create_task(scene.refresh.answer_next())
    async with asyncio.timeout(20):
        while not scene.stand_in.requests:
            await asyncio.sleep(0.01)
    second = await scene.pool.fetchval(ASK)
    assert await answering
    assert await scene.pool.fetchrow(DONE, first) is not None
    assert await scene.pool.fetchrow(DONE, second) is None
    assert await scene.refresh.answer_next()
    assert tuple(await scene.row(DONE, second)) == (None, None)


async def test_a_runner_that_dies_leaves_the_request_to_others(scene: Refreshed) -> None:
    buy(scene.stand_in)
    asked = await scene.pool.fetchval(ASK)
    await scene.pool.execute("update postroom.stripe_refresh set due_at = now() + interval '1 minute'")
    assert not await scene.refresh.answer_next()
    await scene.pool.execute("update postroom.stripe_refresh set due_at = now()")
    assert await scene.refresh.answer_next()
    assert tuple(await scene.row(DONE, asked)) == (None, None)


async def test_requests_are_forgotten_a_day_later(scene: Refreshed) -> None:
    await scene.ask()
    async with transaction(scene.pool) as conn:
        assert await prune_refreshes(conn, batch_max=10) == 0
        await conn.execute("update postroom.stripe_refresh set answered_at = now() - interval '2 days'")
        assert await prune_refreshes(conn, batch_max=10) == 1


async def test_a_publisher_may_ask_and_nothing_is_asked_for_after_a_rollback(pool: Pool) -> None:
    async with pool.acquire() as conn:
        undone = conn.transaction()
        await undone.start()
        await conn.execute("set local role postroom_publisher")
        await conn.fetchval(ASK)
        await undone.rollback()
        async with conn.transaction():
            await conn.execute("set local role postroom_publisher")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with conn.transaction():
                    await conn.fetch("select * from postroom.stripe_refresh")
            for wrong in ("'cus 1'", "null", "'cus_1', 'a b'"):
                with pytest.raises(asyncpg.InvalidParameterValueError):
                    async with conn.transaction():
                        await conn.fetchval(f"select postroom.refresh_customer({wrong})")
    assert await pool.fetchval("select count(*) from postroom.stripe_refresh") == 0


@asynccontextmanager
async def answering(scene: Refreshed) -> AsyncIterator[None]:
    """A runner that works."""

    async def work() -> None:
        while True:
            if not await scene.refresh.answer_next():
                await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    stripe = StripeSettings(webhook_secrets=(SecretStr(SECRET),))
    async with running_api(dsn, Settings(state_dir=tmp_path, stripe=stripe), Scope.ACCESS_READ) as running:
        yield running


async def test_over_http_it_is_fetched_and_answered(scene: Refreshed, api: Api) -> None:
    buy(scene.stand_in, status="trialing", trial_end=NOW + 86_400)
    path = "/v1/stripe/customers/cus_1/access"
    assert (await api.get(path)).json == {"customer": "cus_1", "account": "self", "access": []}
    async with answering(scene):
        answer = await api.get(f"{path}?refresh=true")
        unknown = await api.get("/v1/stripe/customers/cus_2/access?refresh=true")
        nowhere = await api.get(f"{path}?refresh=true&account=eu")
        scene.stand_in.fail(Fault.SERVER_ERROR)
        away = await api.get(f"{path}?refresh=true")
    assert answer.status == 200, answer.text
    feature, product = answer.json["access"]
    assert (feature["name"], feature["active"], feature["until"]) == ("sso", True, None)
    assert (product["why"], product["subscription"], product["renews"]) == ("trial", "sub_1", True)
    assert (unknown.status, unknown.json["field"]) == (404, "customer")
    assert (nowhere.status, nowhere.json["field"]) == (404, "account")
    assert away.status == 503
    assert (await api.get("/v1/stripe/customers/cus%201/access")).status == 422


async def test_over_http_nobody_waits_for_ever(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.api.admin.customers.WITHIN_S", 0.2)
    answer = await api.get("/v1/stripe/customers/cus_1/access?refresh=true")
    assert (answer.status, "no runner" in answer.json["detail"]) == (503, True)


async def test_a_token_reaches_the_customers_among_its_tenants(scene: Refreshed, api: Api) -> None:
    await scene.process(changed(subscription(), NOW))
    async with transaction(api.pool) as conn:
        reach = Reach(tenants=frozenset({"cus_1"}))
        secret, _ = await insert_token(conn, name="shop", scopes=(Scope.ACCESS_READ,), reach=reach)
    headers = {"Authorization": f"Bearer {secret}"}
    mine = await api.get("/v1/stripe/customers/cus_1/access", headers=headers)
    assert [row["name"] for row in mine.json["access"]] == ["prod_1"]
    assert (await api.get("/v1/stripe/customers/cus_2/access", headers=headers)).status == 404


async def test_the_job_hears_of_a_request_and_ends_when_it_should(
    dsn: str, scene: Refreshed, tmp_path: Path
) -> None:
    buy(scene.stand_in)
    settings = Settings(state_dir=tmp_path, stripe=scene.settings)
    async with open_worker(settings, as_role(dsn, "runner"), role="test") as parts:
        job, context = catalog(parts)["stripe-refresh"], JobContext()
        listening = asyncio.create_task(parts.wakeup.listening())
        running = asyncio.ensure_future(job.run(context))
        asked = await scene.pool.fetchval(ASK)
        async with asyncio.timeout(30):
            while await scene.pool.fetchrow(DONE, asked) is None:
                await asyncio.sleep(0.01)
            context.stop.set()
            assert await running == 1
        listening.cancel()
        assert await job.run(JobContext(once=True)) == 0
    assert set(await told(scene.pool)) == {"prod_1", "sso"}


async def test_the_job_goes_on_after_the_database_was_away(
    dsn: str, scene: Refreshed, tmp_path: Path
) -> None:
    buy(scene.stand_in)
    settings, stop = Settings(state_dir=tmp_path, stripe=scene.settings), asyncio.Event()
    async with (
        linked(as_role(dsn, "runner")) as (link, through),
        open_worker(settings, through, role="test") as parts,
        asyncio.timeout(60),
    ):
        services, refresh = parts.services, catalog(parts)["stripe-refresh"]
        left: set[int] = set()

        async def run(context: JobContext) -> int:
            try:
                return await refresh.run(context)
            finally:  # else the next limit of time ends the job's loop, before Python 3.11.3
                task = asyncio.current_task()
                left.add(task.cancelling() if task else -1)

        job = replace(refresh, run=run)
        runner = Runner(
            pool=services.pool, clock=services.clock, worker=parts.worker, wakeup=parts.wakeup, jobs=[job]
        )
        running = asyncio.create_task(runner.run(stop))
        while job.name not in parts.worker.running_jobs:
            await asyncio.sleep(0.01)
        with capture_logs() as logs:
            await link.shut()
            while [each["event"] for each in logs].count("job.database_away") < 3:
                assert not running.done()
                await asyncio.sleep(0.01)
        await link.open()
        asked = await scene.pool.fetchval(ASK)
        while await scene.pool.fetchrow(DONE, asked) is None:
            assert not running.done()
            await asyncio.sleep(0.01)
        stop.set()
        await running
    assert left == {0}
    assert {each["job"] for each in logs if "job" in each} == {job.name}
    assert not [each for each in logs if each["event"] == "job.failed"]
