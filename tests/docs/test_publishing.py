"""docs/samples/publish: an order and its email in one transaction, by a role that may publish and no more."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from postroom import PublishRefused
from tests.conftest import run_sql
from tests.fixtures.django import django_on

ORDERS: Final = (
    "create table shop_order (id bigserial primary key, email text not null, total integer not null)"
)
PASSWORD: Final = "sesame"


class RolledBack(Exception):
    """What an application raises after it has published."""


@pytest.fixture
async def shop_dsn(dsn: str) -> AsyncIterator[str]:
    """The database as the application's role sees it: its own tables, and `postroom_publisher`."""
    role = f"shop_{uuid4().hex[:12]}"
    await run_sql(dsn, f"create role {role} login password '{PASSWORD}'; grant postroom_publisher to {role}")
    await run_sql(dsn, f"{ORDERS}; grant all on shop_order, shop_order_id_seq to {role}")
    parts = urlsplit(dsn)
    yield urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"))
    await run_sql(dsn, f"drop owned by {role}; drop role {role}")


async def refuse(dsn: str, shop_dsn: str) -> None:
    """From now on a publish fails, and takes its order with it."""
    await run_sql(dsn, f"revoke postroom_publisher from {urlsplit(shop_dsn).username}")


async def published(dsn: str) -> list[tuple[str, str]]:
    """Key and receiver of each message, beside as many orders."""
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch("select key, payload ->> 'to' as receiver from postroom.message order by id")
        assert await conn.fetchval("select count(*) from shop_order") == len(rows)
        return [tuple(row) for row in rows]
    finally:
        await conn.close()


async def test_with_psycopg(dsn: str, shop_dsn: str) -> None:
    orders = importlib.import_module("docs.samples.publish.psycopg_orders")
    assert orders.place_order(shop_dsn, "ada@example.com", 1250) == 1
    await refuse(dsn, shop_dsn)
    with pytest.raises(PublishRefused, match="grant postroom_publisher"):
        orders.place_order(shop_dsn, "nobody@example.com", 1250)
    assert await published(dsn) == [("order:1", "ada@example.com")]


async def test_with_django(dsn: str, shop_dsn: str) -> None:
    with django_on(shop_dsn):
        orders = importlib.import_module("docs.samples.publish.django_orders")
        from django.db import transaction

        orders.place_order("ada@example.com", 1250)
        with contextlib.suppress(RolledBack), transaction.atomic():
            orders.place_order("nobody@example.com", 1250)
            raise RolledBack
    assert await published(dsn) == [("order:1", "ada@example.com")]


async def test_with_sqlalchemy(dsn: str, shop_dsn: str) -> None:
    orders = importlib.import_module("docs.samples.publish.sqlalchemy_orders")
    engine = create_engine(shop_dsn.replace("postgresql://", "postgresql+psycopg://"))

    def work() -> None:
        with Session(engine) as session, session.begin():
            orders.place_order(session, "ada@example.com", 1250)
        with contextlib.suppress(RolledBack), Session(engine) as session, session.begin():
            orders.place_order(session, "nobody@example.com", 1250)
            raise RolledBack
        engine.dispose()

    await asyncio.to_thread(work)
    assert await published(dsn) == [("order:1", "ada@example.com")]


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_with_fastapi(dsn: str, shop_dsn: str, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", shop_dsn.replace("postgresql://", f"postgresql+{driver}://"))
    name = "docs.samples.publish.fastapi_orders"
    monkeypatch.delitem(sys.modules, name, raising=False)
    orders: Any = importlib.import_module(name)
    assert await orders.place_order(orders.NewOrder(email="ada@example.com", total=1250)) == {"id": 1}
    await refuse(dsn, shop_dsn)
    with pytest.raises(PublishRefused):
        await orders.place_order(orders.NewOrder(email="nobody@example.com", total=1250))
    await orders.engine.dispose()
    assert await published(dsn) == [("order:1", "ada@example.com")]


async def test_with_flask(dsn: str, shop_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", shop_dsn)
    client = importlib.import_module("docs.samples.publish.flask_orders").app.test_client()
    answer = client.post("/orders", json={"email": "ada@example.com", "total": 1250})
    assert (answer.status_code, answer.json) == (201, {"id": 1})
    await refuse(dsn, shop_dsn)
    assert client.post("/orders", json={"email": "nobody@example.com", "total": 1}).status_code == 500
    assert await published(dsn) == [("order:1", "ada@example.com")]
