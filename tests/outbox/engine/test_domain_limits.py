"""Limits of the domains that mails go to: what a payload names, also where no query can read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postroom.admin.audit import Actor
from postroom.admin.limits import remove_limit, set_limit
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput
from postroom.base.settings import EncryptionSettings
from postroom.encryption.keyring import keyring_of, new_key
from postroom.outbox.engine.limiter import Limiter
from postroom.outbox.engine.restarts import RestartPace
from postroom.outbox.limits import Limit, LimitKey
from postroom.outbox.model import Answer, Claim, Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, MailAdapter
from tests.outbox.engine.test_limits import Log, keeps, most_at_once, runners

ACTOR = Actor("test")
NEVER = 0.001
"""Starts a second: the second one is a quarter of an hour away."""


def mail(to: str | list[str], **more: Any) -> Message:
    return Message(channel="email", payload={"to": to, "subject": "s", "text": "t"}, **more)


async def limit(pool: Pool, domain: str, **most: float) -> None:
    async with transaction(pool) as conn:
        await set_limit(conn, LimitKey("email", destination=domain), **most, actor=ACTOR)  # type: ignore[arg-type]


async def unlimit(pool: Pool, domain: str) -> None:
    async with transaction(pool) as conn:
        await remove_limit(conn, LimitKey("email", destination=domain), actor=ACTOR)


async def destinations(pool: Pool) -> list[str]:
    rows = await pool.fetch("select destination from postroom.delivery order by seq")
    return [row["destination"] for row in rows]


def receivers(engine: Engine) -> list[str]:
    return [claim.body()["to"] for claim in engine.adapter.seen]


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        yield
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    return await Engine(dsn, pool, MailAdapter()).start()


@pytest.mark.timeout(120)
async def test_two_runners_keep_the_rate_of_a_domain_and_slow_no_other(
    dsn: str, pool: Pool, engine: Engine, log: Log
) -> None:
    """What waits already when the limit is set is limited, too, though it is due before all the others."""
    await engine.publish(mail(f"a{n}@Gmail.com", tenant="gmail") for n in range(400))
    await engine.publish(mail(f"a{n}@example.com", tenant="others") for n in range(400))
    await limit(pool, "GMAIL.com", per_second=40.0)
    async with runners(dsn, log, count=2):
        await log.until("all others have started", lambda: len(log.starts("others")) == 400)
        others, began = log.starts("others"), log.starts()[0]
        assert len(log.starts("gmail")) < 200, "the others wait for nobody"
        await log.until("all have started", lambda: len(log.starts()) == 800)
    starts = log.starts("gmail")
    keeps(40.0, starts)
    assert len(starts) >= 0.95 * 40 * (starts[-1] - starts[0])
    assert others[-1] - began < 5.0


@pytest.mark.timeout(120)
async def test_two_runners_keep_what_a_domain_may_have_in_flight(
    dsn: str, pool: Pool, engine: Engine, log: Log
) -> None:
    await limit(pool, "gmail.com", in_flight=3)
    await engine.publish(mail("a@gmail.com") for _ in range(60))
    async with runners(dsn, log, count=2, takes_s=0.1):
        await log.until("all have started", lambda: len(log.starts()) == 60)
    assert most_at_once(log.notes()) == 3


@pytest.mark.parametrize(
    ("named", "to"),
    [
        ("gmail.com", "GMAIL.com"),
        ("@Gmail.COM", "Ann <ann@gmail.com>"),
        ("gmail.com", '"ann@example.com" <ann@gmail.com>'),
        ("bücher.example", "ann@xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "ann@BÜCHER.example"),
    ],
)
async def test_a_domain_is_the_same_however_it_is_written(
    pool: Pool, engine: Engine, named: str, to: str
) -> None:
    to = to if "@" in to else f"ann@{to}"
    await limit(pool, named, per_second=NEVER, in_flight=1)
    await engine.publish([mail(to) for _ in range(4)] + [mail("ann@example.com")])
    async with running(engine):
        await until(lambda: "ann@example.com" in receivers(engine))
    assert len(engine.adapter.seen) <= 3, "two starts pile up"


async def test_of_several_recipients_the_first_counts(pool: Pool, engine: Engine) -> None:
    await limit(pool, "gmail.com", per_second=NEVER)
    await engine.publish(mail(["ann@gmail.com", "bob@example.com"]) for _ in range(4))
    await engine.publish([mail(["bob@example.com", "ann@gmail.com"])] * 4)
    async with running(engine):
        first = ["bob@example.com", "ann@gmail.com"]
        await until(lambda: [each.body()["to"] for each in engine.adapter.seen].count(first) == 4)
    assert len(engine.adapter.seen) <= 6


@pytest.mark.parametrize("bad", ["email", "no domain", "a@gmail.com", "route:ses", "gmail", ""])
async def test_what_is_no_domain_is_refused(pool: Pool, bad: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await limit(pool, bad, per_second=1.0)
    assert refused.value.field == "destination"


async def test_a_limit_that_was_set_when_nothing_was_checked_can_be_removed(pool: Pool) -> None:
    await pool.execute(
        "insert into postroom.delivery_limit (channel, destination, in_flight, reason, set_by)"
        " values ('email', 'email', 1, 'r', 'ada')"
    )
    await unlimit(pool, "email")
    assert await pool.fetchval("select count(*) from postroom.delivery_limit") == 0


async def test_what_waits_for_a_domain_is_named_by_it_and_goes_when_the_limit_is_gone(
    pool: Pool, engine: Engine
) -> None:
    """Only under the names of limits: nobody else's domain is written down."""
    await limit(pool, "gmail.com", per_second=NEVER)
    await engine.publish(mail(f"ann@{to}") for to in ("gmail.com",) * 4 + ("ada.example",) * 2)
    await pool.execute("update postroom.delivery_limit set spent_to = now() + interval '1 hour'")
    async with running(engine):
        await until(lambda: receivers(engine) == ["ann@ada.example"] * 2)
        async with asyncio.timeout(20):
            while set(await destinations(pool)) != {"gmail.com"}:
                await asyncio.sleep(0.01)
        assert await pool.fetchval("select max(attempts) from postroom.delivery") == 0
        await unlimit(pool, "gmail.com")
        await until(lambda: len(engine.adapter.seen) == 6)
    logged = await pool.fetch("select destination, count(*) from postroom.attempt group by 1")
    assert {row["destination"] for row in logged} <= {None, "gmail.com"}
    assert await pool.fetchval("select count(*) from postroom.claim_batch") == 0


async def test_an_order_is_kept_where_the_first_waits_for_its_limit(pool: Pool, engine: Engine) -> None:
    await limit(pool, "gmail.com", per_second=NEVER)
    await pool.execute("update postroom.delivery_limit set spent_to = now() + interval '1 hour'")
    await engine.publish(
        [
            mail("ann@gmail.com", ordering_key="ann"),
            mail("ann@example.com", ordering_key="ann"),
            mail("bob@example.com", ordering_key="bob"),
            mail("bob@example.com", ordering_key="bob"),
        ]
    )
    async with running(engine):
        await until(lambda: receivers(engine) == ["bob@example.com"] * 2)
        await unlimit(pool, "gmail.com")
        await until(lambda: len(engine.adapter.seen) == 4)
    assert receivers(engine)[2:] == ["ann@gmail.com", "ann@example.com"]


async def test_a_payload_that_no_query_can_read_is_limited(dsn: str, pool: Pool) -> None:
    keyring = keyring_of(EncryptionSettings.model_validate({"keys": new_key("a")}))
    engine = await Engine(dsn, pool, MailAdapter(), keyring=keyring).start()
    await limit(pool, "gmail.com", per_second=NEVER)
    async with transaction(pool) as conn:
        mails = [mail("ann@gmail.com") for _ in range(4)] + [mail("ann@example.com")]
        await publish_many(conn, mails, keyring=keyring)
    assert "gmail" not in str(await pool.fetch("select payload from postroom.message"))
    async with running(engine):
        await until(lambda: "ann@example.com" in receivers(engine))
    assert len(engine.adapter.seen) <= 3


async def test_what_was_handed_back_goes_on_while_others_wait(dsn: str, pool: Pool) -> None:
    """It is before the cursor, which would not come back for an hour while so much else is due."""

    class Gated(MailAdapter):
        opened = asyncio.Event()

        async def deliver(self, claim: Claim) -> Answer:
            await (self.opened.wait() if "gmail" in claim.payload else asyncio.sleep(0.05))
            return await super().deliver(claim)

    pace = RestartPace(every_s=3600)
    engine = await Engine(dsn, pool, adapter := Gated(), restart_pace=pace).start()
    await limit(pool, "gmail.com", in_flight=1)
    await engine.publish([mail("a@gmail.com")] * 20 + [mail("a@example.com")] * 3_000)
    async with running(engine):
        async with asyncio.timeout(20):
            while (await destinations(pool)).count("gmail.com") < 15:
                await asyncio.sleep(0.01)
        adapter.opened.set()
        await until(lambda: receivers(engine).count("a@gmail.com") == 20)
        assert receivers(engine).count("a@example.com") < 3_000


async def test_many_limits_leave_half_of_the_places_to_others(pool: Pool, engine: Engine) -> None:
    """Each alone would have 20 wait for its turn."""
    limiter = Limiter(pool=engine.runner, worker=engine.worker, clock=engine.clock)
    limiter.set([Limit(n, None, f"d{n}.example", 40.0, None) for n in range(6)])
    _, rooms = limiter.room({}, 64, places_max=64)
    assert [room.most for room in rooms] == [5] * 6
    _, rooms = limiter.room({}, 800, places_max=800)
    assert [room.most for room in rooms] == [20] * 6
