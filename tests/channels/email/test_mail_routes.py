"""Several routes out: by weight, by tenant, another one while none has the mail, the same one after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings, route_faults
from postroom.base.errors import SettingsInvalid
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.routes import Routes
from postroom.dev.mailbox import AfterData, Mailbox
from postroom.outbox.lanes import Urgency
from postroom.outbox.ledger.story import list_attempts
from postroom.resilience.breaker import Trip
from postroom.resilience.circuits import Circuits
from tests.fixtures.engine import AdapterEngine, email
from tests.fixtures.roles import pool_as

ATTEMPTS = "select attempt, outcome, detail from postroom.attempt order by ended_at, attempt"
OPEN = "select name from postroom.circuit where state <> 'closed' order by name"


def settings_of(routes: dict[str, Any], **more: Any) -> EmailSettings:
    return EmailSettings.model_validate({"from": "shop@shop.example", "routes": routes, **more})


class Office:
    """Two mail servers, `one` and `two`, and an engine whose mails go by them."""

    def __init__(self, dsn: str, pool: Pool, stack: AsyncExitStack) -> None:
        self.one, self.two = Mailbox(), Mailbox()
        self._dsn, self.pool, self._stack = dsn, pool, stack

    async def open(self, *, breakers: Pool | None = None, **routes: dict[str, Any]) -> AdapterEngine:
        """`routes`: what their settings have beside the url. `breakers`: connections of theirs."""
        for mailbox in (self.one, self.two):
            await mailbox.start()
            self._stack.push_async_callback(mailbox.close)
        urls = {
            name: {"url": f"smtp://127.0.0.1:{mailbox.port}", **routes.get(name, {})}
            for name, mailbox in (("one", self.one), ("two", self.two))
        }
        runner = pool_as(self.pool, "runner")
        self.circuits = Circuits(pool=breakers or runner, clock=SystemClock(), worker=0)
        adapter = EmailAdapter(
            settings=settings_of(urls, timeout_s=5.0),
            pool=runner,
            clock=SystemClock(),
            circuits=self.circuits,
        )
        self._stack.push_async_callback(adapter.close)
        return await AdapterEngine(self._dsn, self.pool, adapter).start()

    async def travel(self, engine: AdapterEngine) -> None:
        await engine.travel(3_600)
        await self.circuits.listed()

    def counts(self) -> tuple[int, int]:
        return len(self.one.mails), len(self.two.mails)


@pytest.fixture
async def office(dsn: str, pool: Pool) -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        yield Office(dsn, pool, stack)


def routes_of(**routes: dict[str, Any]) -> Routes:
    urls = {name: {"url": "smtp://127.0.0.1:25", **more} for name, more in routes.items()}
    return Routes(settings_of(urls), hostname="shop.example", clock=SystemClock(), circuits=None)


def test_mails_are_shared_out_by_weight_and_each_keeps_its_order() -> None:
    routes = routes_of(ses={"weight": 6}, mailgun={"weight": 3}, postmark={})
    orders = {id: [route.name for route in routes.of(id, "")] for id in (uuid4() for _ in range(10_000))}
    firsts = Counter(order[0] for order in orders.values())
    for name, part in (("ses", 0.6), ("mailgun", 0.3), ("postmark", 0.1)):
        assert firsts[name] / 10_000 == pytest.approx(part, abs=0.02)
    assert all(sorted(order) == ["mailgun", "postmark", "ses"] for order in orders.values())
    again = routes_of(postmark={}, ses={"weight": 6}, mailgun={"weight": 3})
    assert all([route.name for route in again.of(id, "")] == order for id, order in orders.items())


def test_a_tenant_that_is_named_goes_by_its_own_routes_alone() -> None:
    routes = routes_of(acme={"tenants": ["acme"]}, ses={}, mailgun={})
    ids = [uuid4() for _ in range(50)]
    assert {route.name for id in ids for route in routes.of(id, "acme")} == {"acme"}
    assert {route.name for id in ids for route in routes.of(id, "other")} == {"ses", "mailgun"}
    assert [route.name for route in routes.of(ids[0], "other", stays="acme")] == ["acme"], (
        "it may have it already"
    )
    assert len(routes.of(ids[0], "", stays="gone")) == 2, "it is there no longer"


async def test_a_mail_that_is_out_stays_so_although_its_breaker_cannot_be_written_down(
    office: Office, dsn: str
) -> None:
    """Found by chaos: a breaker's trial had been sent, and was forgotten with the breaker's connection."""
    breakers = await asyncpg.create_pool(dsn, min_size=0, max_size=1)
    office.one = Mailbox(on_mail=lambda _mail: breakers.terminate())
    engine = await office.open(breakers=breakers, one={"weight": 1_000})
    await office.circuits.record("email:one", Trip.NOW, "away")
    await office.pool.execute("update postroom.circuit set retry_at = now() where retry_at is not null")
    await office.circuits.listed()
    await engine.publish([email()])
    await engine.drain()
    await engine.travel(3_600)
    await engine.drain()
    assert office.counts() == (1, 0)
    assert [row["outcome"] for row in await office.pool.fetch(ATTEMPTS)] == ["delivered"]


async def test_while_one_server_is_away_mails_go_by_the_other(office: Office) -> None:
    engine = await office.open(one={"weight": 1_000})
    await office.one.close()
    await engine.publish(email() for _ in range(20))
    await engine.drain()
    assert office.counts() == (0, 20)
    attempts = await office.pool.fetch(ATTEMPTS)
    assert {row["outcome"] for row in attempts} == {"delivered"}, "it cost no attempt"
    assert all(row["detail"].startswith("via two, id ") for row in attempts)
    assert [row["name"] for row in await office.pool.fetch(OPEN)] == ["email:one"]
    await office.one.start()
    await office.travel(engine)
    await engine.publish(email() for _ in range(20))
    await engine.drain()
    assert office.counts()[0] > 0, "its trial went well"


async def test_a_mail_that_a_server_may_have_goes_by_no_other(office: Office) -> None:
    engine = await office.open(one={"weight": 1_000})
    office.one.faults.after_data = AfterData.CLOSE
    await engine.publish([email()])
    await engine.drain()
    assert office.counts() == (1, 0)
    await office.one.close()
    await office.travel(engine)
    await engine.drain()
    assert office.counts() == (1, 0), "the other one would have sent a second copy"
    office.one.faults.after_data = AfterData.ANSWER
    await office.one.start()
    await office.travel(engine)
    await engine.drain()
    assert office.counts() == (2, 0)
    attempts = [(row["outcome"], row["detail"][:7]) for row in await office.pool.fetch(ATTEMPTS)]
    assert attempts == [("unknown", "via one"), ("retry", "via one"), ("delivered", "via one")]


@pytest.mark.parametrize(
    "faults", [{"sender_answer": "451 4.3.0 later"}, {"data_answer": "452 4.3.1 disk full"}, {"busy": True}]
)
async def test_what_a_server_refuses_by_its_own_fault_goes_by_the_other(
    office: Office, faults: dict[str, Any]
) -> None:
    engine = await office.open(one={"weight": 1_000})
    for name, value in faults.items():
        setattr(office.one.faults, name, value)
    await engine.publish([email()])
    await engine.drain()
    assert office.counts() == (0, 1)


async def test_a_server_that_asks_for_a_pause_gets_it(office: Office) -> None:
    engine = await office.open(one={"weight": 1_000})
    office.one.faults.sender_answer = "454 4.7.0 Throttling failure: Daily message quota exceeded."
    await engine.publish([email()])
    await engine.drain()
    left_s = (
        "select extract(epoch from retry_at - now())::float8 from postroom.circuit where name = 'email:one'"
    )
    assert await office.pool.fetchval(left_s) > 20, "what a breaker waits by itself is 5 s"
    assert office.counts() == (0, 1)


async def test_what_is_the_recipients_fault_goes_by_no_other(office: Office) -> None:
    engine = await office.open(one={"weight": 1_000})
    office.one.faults.refuse["ada@example.com"] = "550 5.1.1 no such user"
    await engine.publish([email()])
    await engine.drain()
    assert office.counts() == (0, 0)
    assert await office.pool.fetchval("select code from postroom.dead_letter") == "550"


async def test_a_tenants_dead_server_stops_nobody_else(office: Office) -> None:
    engine = await office.open(one={"tenants": ["acme"]}, two={})
    await office.one.close()
    await engine.publish(email(tenant="acme", urgency=Urgency.URGENT) for _ in range(30))
    await engine.publish(email() for _ in range(5))
    await engine.drain()
    assert office.counts() == (0, 5)
    assert [row["name"] for row in await office.pool.fetch(OPEN)] == ["email:one"]


async def test_with_every_server_away_the_breaker_of_the_channel_opens(office: Office) -> None:
    engine = await office.open()
    await office.one.close()
    await office.two.close()
    await engine.publish(email() for _ in range(40))
    await engine.drain()
    assert "email" in [row["name"] for row in await office.pool.fetch(OPEN)]
    assert office.counts() == (0, 0)


async def test_a_rate_sends_the_rest_another_way(office: Office) -> None:
    engine = await office.open(one={"weight": 1_000, "per_second": 0.001})
    await engine.publish(email() for _ in range(10))
    await engine.drain()
    one, two = office.counts()
    assert (one, one + two) == (1, 10)


async def test_while_the_others_are_away_a_rate_is_waited_for(office: Office) -> None:
    """It costs no attempt, and does not stop the server that works."""
    engine = await office.open(one={"weight": 1_000}, two={"per_second": 0.001})
    await office.one.close()
    await engine.publish(email() for _ in range(10))
    await engine.drain()
    assert office.counts() == (0, 1)
    assert {row["outcome"] for row in await office.pool.fetch(ATTEMPTS)} == {"delivered"}
    assert await office.pool.fetchval("select max(attempts) from postroom.delivery") == 0
    assert "email" not in [row["name"] for row in await office.pool.fetch(OPEN)]


async def test_an_attempt_names_its_route_and_the_servers_id(office: Office) -> None:
    """As fields, so that somebody can search for the mail at the provider; also of attempts of before."""
    engine = await office.open(one={"weight": 1_000})
    [message_id] = await engine.publish([email()])
    await office.one.close()
    await engine.drain()
    for detail in ("via one: Ok", "id 4Xy: 2.0.0 Ok: queued as 4Xy", "Ok, id 7: x", None):
        await office.pool.execute(
            "insert into postroom.attempt (message_id, n, channel, attempt, outcome, detail)"
            " values ($1, 0, 'email', 2, 'delivered', $2)", message_id, detail,
        )  # fmt: skip
    async with office.pool.acquire() as conn:
        found = await list_attempts(conn, message_id)
    assert found[0].detail == "via two, id 1: 2.0.0 OK: queued as 1"
    assert [(each.route, each.provider_id) for each in found] == [
        *[("two", "1"), ("one", None), (None, "4Xy"), (None, None), (None, None)]
    ]


async def test_each_provider_gets_what_its_events_name_a_mail_by(office: Office) -> None:
    engine = await office.open(one={"provider": "resend", "tenants": ["r"]}, two={"provider": "sendgrid"})
    [resend, sendgrid] = await engine.publish([email(tenant="r"), email()])
    await engine.drain()
    assert office.one.mails[0].headers()["Resend-Idempotency-Key"] == str(resend)
    assert str(sendgrid) in office.two.mails[0].headers()["X-SMTPAPI"]
    assert "X-SMTPAPI" not in office.one.mails[0].headers()


@pytest.mark.parametrize(
    ("routes", "more", "fault"),
    [
        ({"a": {"url": "smtp://h", "tenants": ["t"]}}, {}, "mails of all others have no route"),
        ({"a": {"url": "smtp://h"}}, {"url": "smtp://h"}, "make it one of them"),
    ],
)
def test_routes_that_contradict_are_refused(routes: dict[str, Any], more: dict[str, Any], fault: str) -> None:
    [found] = route_faults(settings_of(routes, **more))
    assert fault in found


@pytest.mark.parametrize(
    "route",
    [{}, {"url": "smtp://h", "weight": 0}, {"url": "smtp://h", "provider": "x"}, {"url": "smtp://h", "z": 1}],
)
def test_a_route_is_whole_and_known(route: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="routes"):
        settings_of({"a": route})


def test_a_password_goes_to_no_other_machine_in_the_clear() -> None:
    with pytest.raises(SettingsInvalid, match="POSTROOM_EMAIL__ROUTES__A__URL: over smtp://"):
        routes_of(a={"url": "smtp://user:secret@mail.example"}, b={})


def test_one_url_is_one_way_without_a_name() -> None:
    settings = EmailSettings.model_validate({"url": "smtp://127.0.0.1:25"})
    routes = Routes(settings, hostname="h", clock=SystemClock(), circuits=None)
    assert [route.name for route in routes.of(UUID(int=1), "acme")] == [""]
