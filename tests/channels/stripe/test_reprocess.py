"""An event once more: today's routes see it, and what was sent before is not sent again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import Conflict, NotFound
from postroom.channels.stripe.reprocess import reprocess
from postroom.dev.stripe_events import snapshot_event
from postroom.encryption.keyring import NO_KEYS
from tests.fixtures.stripe import Scene

EVENT = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id="evt_1")
NO_ROUTE = ""
ROUTE = """
[[route]]
on = "invoice.paid"
export = { dataset = "invoices" }
"""


async def message_id(scene: Scene) -> UUID:
    found: UUID = (await scene.row("select message_id from postroom.stripe_event"))["message_id"]
    return found


async def again(pool: Pool, message: UUID) -> UUID:
    async with transaction(pool) as conn:
        return await reprocess(conn, message, keyring=NO_KEYS)


async def test_an_ignored_event_is_given_to_a_route_that_came_later(pool: Pool, tmp_path: Path) -> None:
    before = Scene(pool, tmp_path, routes=NO_ROUTE)
    await before.process(EVENT)
    await before.close()
    assert await before.state("evt_1") == "ignored"
    first = await message_id(before)

    scene = Scene(pool, tmp_path, routes=ROUTE)
    second = await again(pool, first)
    await scene.work()
    assert await scene.state("evt_1") == "processed"
    assert len(await scene.sent()) == 1
    assert await message_id(scene) == second != first
    await scene.close()


async def test_what_was_sent_is_not_sent_again_however_often(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTE)
    await scene.process(EVENT)
    for _ in range(3):
        await again(pool, await message_id(scene))
        await scene.work()
    assert len(await scene.sent()) == 1
    assert await scene.count("processed") == 4
    chain = "select count(distinct coalesce(correlation_id, id::text)) from postroom.message"
    assert await pool.fetchval(chain) == 1, "all of it is one chain"
    await scene.receive(EVENT)
    assert await scene.count("duplicate") == 1, "what Stripe sends again is known all the same"
    await scene.close()


async def test_two_who_ask_at_once_have_it_processed_once(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTE)
    await scene.process(EVENT)
    first = await message_id(scene)
    done = await asyncio.gather(again(pool, first), again(pool, first), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["NotFound", "UUID"]
    await scene.work()
    assert await scene.count("processed") == 2
    await scene.close()


async def test_what_cannot_be_processed_again_says_why(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path, routes=ROUTE)
    with pytest.raises(NotFound):
        await again(pool, uuid4())
    await scene.receive(EVENT)
    waiting = await message_id(scene)
    with pytest.raises(Conflict, match="on its way"):
        await again(pool, waiting)
    await scene.work()
    await pool.execute("update postroom.stripe_event set raw = null")
    with pytest.raises(Conflict, match="retention"):
        await again(pool, waiting)
    await scene.close()


def named(*routes: tuple[str, str, str]) -> str:
    """Routes of name (or none), dataset and further lines."""
    return "\n".join(
        f'[[route]]\non = "invoice.paid"\nexport = {{ dataset = "{dataset}" }}\n{more}\n'
        + (f'name = "{name}"\n' if name else "")
        for name, dataset, more in routes
    )


async def after(
    pool: Pool, folder: Path, *, first: str = "", then: str = "", handlers: str = "", later_handlers: str = ""
) -> tuple[list[str], str]:
    """The event under these routes, and again under those. Returns: the datasets sent, and why it waits."""
    before = Scene(pool, folder, routes=first, handlers=handlers)
    await before.process(EVENT)
    await before.close()
    scene = Scene(pool, folder, routes=then, handlers=later_handlers)
    await again(pool, await message_id(scene))
    [answer] = await scene.work()
    await scene.close()
    return [payload["dataset"] for payload in await scene.sent()], getattr(answer, "reason", "")


async def test_a_route_above_another_and_a_new_order_send_nothing_twice(pool: Pool, tmp_path: Path) -> None:
    sent, why = await after(
        pool,
        tmp_path,
        first=named(("", "old", "")),
        then=named(("new", "new", ""), ("invoice.paid/1", "old", "")),
    )
    assert (sent, why) == (["old", "new"], "")


async def test_a_new_order_sends_nothing_twice(pool: Pool, tmp_path: Path) -> None:
    a, b = ("a", "one", ""), ("b", "two", "")
    sent, why = await after(pool, tmp_path, first=named(a, b), then=named(b, a))
    assert (sent, why) == (["one", "two"], "")


async def test_a_renamed_route_says_so_and_sends_nothing_twice(pool: Pool, tmp_path: Path) -> None:
    then = named(("receipt", "d", 'formerly = ["invoice.paid/1"]'))
    sent, why = await after(pool, tmp_path, first=named(("", "d", "")), then=then)
    assert (sent, why) == (["d"], "")


async def test_a_route_that_was_renamed_without_a_word_is_refused(pool: Pool, tmp_path: Path) -> None:
    sent, why = await after(pool, tmp_path, first=named(("", "d", "")), then=named(("receipt", "d", "")))
    assert sent == ["d"]
    assert why.startswith("receipt would send an export message, and 'invoice.paid/1', which is no more")
    assert 'formerly = ["invoice.paid/1"]' in why
    assert 'when = "{{ false }}"' in why


async def test_a_route_that_was_retired_by_name_makes_way_for_another(pool: Pool, tmp_path: Path) -> None:
    then = named(("other", "other", ""), ("invoice.paid/1", "d", 'when = "{{ false }}"'))
    sent, why = await after(pool, tmp_path, first=named(("", "d", "")), then=then)
    assert (sent, why) == (["d", "other"], "")


HANDLERS = """
from postroom import on

@on("invoice.paid")
async def NAME(event, tx):
    await tx.publish(channel="export", payload={"dataset": "d", "record": {}})
"""


async def test_a_renamed_handler_is_refused_until_it_has_its_name_again(pool: Pool, tmp_path: Path) -> None:
    sent, why = await after(
        pool,
        tmp_path,
        handlers=HANDLERS.replace("NAME", "first"),
        later_handlers=HANDLERS.replace("NAME", "second"),
    )
    assert sent == ["d"]
    assert "handler/second would send an export message, and 'handler/first'" in why
    assert '@on(…, name="first")' in why
    named_again = Scene(
        pool, tmp_path, handlers=HANDLERS.replace("NAME", "second").replace('paid")', 'paid", name="first")')
    )
    await named_again.pass_time()
    await named_again.work()
    assert await named_again.state("evt_1") == "processed"
    assert len(await named_again.sent()) == 1
    await named_again.close()
