"""The schema `stripe` shows what the mirror has, typed, whatever shape it came in."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from docs.generator.stripe_views import FILE, IN_EACH_VIEW, SECRET, read
from postroom.base.db import Connection, Pool, transaction
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.store import ObjectRow, upsert_objects
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import SubscriptionLife, snapshot_event
from postroom.encryption.keyring import NO_KEYS, Keyring, keyring_of
from tests.fixtures.encryption import OLD, keys
from tests.fixtures.roles import as_role
from tests.fixtures.stripe import Scene

FIXTURES: Final = Path(__file__).parents[4] / "shared" / "fixtures" / "stripe-objects.json"
SAMPLES: Final = Path(__file__).parents[3] / "docs/samples/stripe"
VIEWS: Final = read(FILE.read_text(encoding="utf-8"))
HOSTILE: Final[tuple[object, ...]] = (
    "", "x", "true", "1e5", "-1", 0, -1, 1.5, 10**30, 99_999_999_999, -99_999_999_999, 253_402_300_800, True,
    None, [], [1], {}, {"id": 1}, {"data": 7}, {"data": [1, None, "x", {"id": {}}]}, "2026-02-30T10:00:00Z",
    "2026-12-31T23:59:59.9999999Z", "9999-12-39T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-00T00:00:00.1Z",
    "infinity", "NaN", "\u00e9\U0001f600",
)  # fmt: skip
"""What no column can be sure of not getting."""
OBJECTS: Final = """
select id, type, livemode, sealed, raw ->> 'amount' as amount, raw ? 'client_secret' as s
from stripe.object"""


async def mirror(
    pool: Pool, *objects: dict[str, Any], keyring: Keyring = NO_KEYS, livemode: bool = True
) -> None:
    """As the processor writes them."""
    rows = []
    for each in objects:
        event = parse(snapshot_event(f"{each['object']}.updated", each, livemode=livemode))
        rows.append(ObjectRow(event, each, False, event.created, "2026-10-28.endive"))
    async with transaction(pool) as conn:
        await upsert_objects(conn, rows, keyring)


def every_property(value: object, nr: int = 0) -> list[dict[str, Any]]:
    """Two objects for each view of objects, with the value in all of their properties."""
    found = []
    for view, columns in VIEWS.items():
        lists: dict[str, object] = {
            each.list: {"data": value} for each in VIEWS if each.type == view.type and each.list
        }
        items: dict[str, object] = {name: {"data": [dict.fromkeys(columns, value), value]} for name in lists}
        for n, inside in enumerate((lists, items) if view.list is None else ()):
            body = dict.fromkeys(columns, value) | inside
            found.append({**body, "id": f"{view.name}_{nr}_{n}", "object": view.type})
    return found


async def rows(pool: Pool, statement: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(statement)]


async def read_all(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    return {view.name: await rows(pool, f'select * from stripe."{view.name}"') for view in VIEWS}


@pytest.mark.rows_by_hand
async def test_no_value_makes_a_view_fail(pool: Pool) -> None:
    """Another API version may have anything in a property of the same name."""
    for nr, value in enumerate(HOSTILE):
        await mirror(pool, *every_property(value, nr))
    read = await read_all(pool)
    assert {len(read[view.name]) for view in VIEWS if view.list is None} == {2 * len(HOSTILE)}


@pytest.mark.rows_by_hand
async def test_values_have_their_types(pool: Pool) -> None:
    charge = {
        "id": "ch_1", "object": "charge", "amount": 1999, "captured": True, "created": 1_764_288_000,
        "currency": "eur", "customer": {"id": "cus_1", "object": "customer"}, "invoice": None,
        "metadata": {"order": "7"},
    }  # fmt: skip
    transaction = {
        "id": "txn_1",
        "object": "balance_transaction",
        "exchange_rate": 1.08231,
        "source": "ch_1",
        "net": -5,
    }
    capability = {"id": "transfers", "object": "capability", "account": "acct_1"}
    account = {
        "id": "acct_2",
        "object": "v2.core.account",
        "created": "2026-02-28T23:59:59.5Z",
        "closed": False,
    }
    await mirror(pool, charge, transaction, capability, account)
    (row,) = await rows(
        pool,
        "select account, id, livemode, deleted, sealed, amount, captured, created, customer, "
        "metadata ->> 'order' as it, api_version, raw ->> 'currency' as raw from stripe.charge",
    )
    assert row == {
        "account": "self", "id": "ch_1", "livemode": True, "deleted": False, "sealed": False, "amount": 1999,
        "captured": True, "created": datetime(2025, 11, 28, tzinfo=UTC), "customer": "cus_1", "it": "7",
        "api_version": "2026-10-28.endive", "raw": "eur",
    }  # fmt: skip
    assert await rows(pool, "select exchange_rate, net from stripe.balance_transaction") == [
        {"exchange_rate": Decimal("1.08231"), "net": -5}
    ]
    assert await rows(pool, "select account, account_id from stripe.capability") == [
        {"account": "self", "account_id": "acct_1"}
    ]
    assert await rows(pool, "select created, closed from stripe.v2_core_account") == [
        {"created": datetime(2026, 2, 28, 23, 59, 59, 500_000, tzinfo=UTC), "closed": False}
    ]


async def test_an_invoice_of_250_lines_has_250_rows(pool: Pool, tmp_path: Path) -> None:
    """Its event has ten; the mirror reads the others."""
    url = "/v1/invoices/in_1/lines"
    whole = [{"id": f"il_{n}", "object": "line_item", "amount": n, "invoice": "in_1"} for n in range(250)]
    cut = {"object": "list", "url": url, "data": whole[:10], "has_more": True}
    stand_in = StripeStandIn()
    stand_in.put({**cut, "data": whole, "has_more": False}, path=url)
    await stand_in.start()
    scene = Scene(pool, tmp_path, stand_in=stand_in)
    try:
        await scene.process(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice", "lines": cut}))
    finally:
        await scene.close()
        await stand_in.stop()
    found = await rows(
        pool, "select id, position, amount, invoice_id from stripe.invoice_lines order by position"
    )
    assert found == [
        {"id": f"il_{n}", "position": n + 1, "amount": n, "invoice_id": "in_1"} for n in range(250)
    ]


@pytest.mark.rows_by_hand
async def test_what_is_encrypted_is_said_to_be_sealed_and_shows_nothing_else(pool: Pool) -> None:
    life = SubscriptionLife(email="ada@example.com", name="Ada", started=1_764_288_000)
    await mirror(pool, life.customer(), life.subscription(), keyring=keyring_of(keys(OLD)))
    (row,) = await rows(pool, "select * from stripe.customer")
    assert {name: value for name, value in row.items() if value is not None and name != "as_of"} == {
        "account": "self", "id": life.customer_id, "livemode": True, "deleted": False, "sealed": True,
        "api_version": "2026-10-28.endive",
    }  # fmt: skip
    assert await rows(pool, "select * from stripe.subscription_items") == []


@pytest.mark.rows_by_hand
async def test_nothing_that_opens_a_door_is_shown(pool: Pool) -> None:
    secrets = dict.fromkeys(SECRET, "pi_1_secret_2")
    intent = {"id": "pi_1", "object": "payment_intent", "amount": 5, **secrets}
    customer = {"id": "cus_1", "object": "customer", "tax_ids": {"data": [{"id": "txi_1", **secrets}]}}
    await mirror(pool, intent, customer)
    (row,) = await rows(pool, "select * from stripe.payment_intent")
    assert json.loads(row["raw"]) == {"id": "pi_1", "object": "payment_intent", "amount": 5}
    assert "secret" not in repr(row)
    assert "secret" not in repr(await rows(pool, "select * from stripe.customer_tax_ids"))


@pytest.mark.rows_by_hand
async def test_what_no_view_is_made_for_is_among_all_objects(pool: Pool) -> None:
    """Stripe may have types that the library of this release does not know."""
    await mirror(pool, {"id": "x_1", "object": "brand.new", "amount": 5, "client_secret": "s"})
    assert await rows(pool, OBJECTS) == [
        {"id": "x_1", "type": "brand.new", "livemode": True, "sealed": False, "amount": "5", "s": False}
    ]


@pytest.fixture
async def reader(
    dsn: str, request: pytest.FixtureRequest
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    conn = await asyncpg.connect(as_role(dsn, request.param))
    yield conn
    await conn.close()


@pytest.mark.rows_by_hand
@pytest.mark.parametrize(
    ("reader", "may"), [("reader", True), ("api", False), ("runner", False)], indirect=["reader"]
)
async def test_the_reader_reads_every_view_and_no_process_does(
    pool: Pool, reader: Connection, may: bool
) -> None:
    await mirror(pool, *every_property({"id": "x"}))
    for view in VIEWS:
        try:
            assert len(await reader.fetch(f'select * from stripe."{view.name}"')) >= 2
            assert may
        except asyncpg.InsufficientPrivilegeError:
            assert not may
    if may:
        assert len(await reader.fetch("select raw from stripe.object")) > 100
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("select data from postroom.stripe_object")


@pytest.mark.rows_by_hand
async def test_the_joins_of_the_page_say_what_it_says(pool: Pool) -> None:
    monthly = SubscriptionLife(email="ada@example.com", name="Ada", started=1_764_288_000)
    yearly = SubscriptionLife(email="bob@example.com", name="Bob", started=1_764_288_000, amount=24_000)
    price = yearly.price() | {"recurring": {"interval": "year"}, "nickname": "Team, yearly"}
    owed = [monthly.invoice(paid=False, created=1_764_288_000 + n, quantity=n) for n in (1, 2)]
    await mirror(
        pool, monthly.customer(), yearly.customer(), monthly.price(), price, *owed,
        monthly.invoice(paid=True, created=1_764_288_009), monthly.subscription(quantity=3),
        yearly.subscription(),
    )  # fmt: skip
    elsewhere = SubscriptionLife(email="eve@example.com", name="Eve", started=1_764_288_000)
    test = (elsewhere.customer(), elsewhere.price(), elsewhere.subscription())
    await mirror(pool, *test, elsewhere.invoice(paid=False, created=1), livemode=False)
    (debt,) = await rows(pool, (SAMPLES / "unpaid.sql").read_text(encoding="utf-8"))
    assert (debt["email"], debt["invoices"], debt["owed"]) == ("ada@example.com", 2, 8700)
    assert debt["oldest"] == datetime.fromtimestamp(1_764_288_001, UTC)
    recurring = await rows(pool, (SAMPLES / "recurring.sql").read_text(encoding="utf-8"))
    assert [(each["nickname"], each["subscriptions"], each["monthly"]) for each in recurring] == [
        ("Team, monthly", 1, 8700), ("Team, yearly", 1, 2000),
    ]  # fmt: skip


@pytest.mark.rows_by_hand
async def test_the_published_examples_have_their_columns(pool: Pool) -> None:
    """Beside the project lie Stripe's own examples, which its OpenAPI description publishes."""
    if not FIXTURES.exists():
        pytest.skip("shared/fixtures/stripe-objects.json is not beside the project")
    examples = {
        each["id"]: each
        for name, each in json.loads(FIXTURES.read_text(encoding="utf-8"))["resources"].items()
        if each.get("id") and not name.startswith("deleted_")
    }
    await mirror(pool, *examples.values())
    views = {view.type: (view.name, columns) for view, columns in VIEWS.items() if view.list is None}
    seen = itertools.count()
    for example in examples.values():
        if example["object"] not in views:
            continue
        name, columns = views[example["object"]]
        row = await pool.fetchrow(f'select * from stripe."{name}" where id = $1', example["id"])
        assert row is not None
        for key, value in example.items():
            if key in columns:
                shown = row["account_id" if key == "account" else key]
                assert (shown is None) == (value is None), (name, key, value)
                large = isinstance(value, int) and value > 1_000_000_000
                assert not large or columns[key] == "time" or "amount" in key, (name, key, value)
                next(seen)
            else:
                assert key in IN_EACH_VIEW | SECRET or (name, key) == ("invoice", "subscription")
    assert next(seen) > 1_000
