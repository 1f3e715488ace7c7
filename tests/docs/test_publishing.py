"""docs/samples/publish: an order and its email in one transaction, by a role that may publish and no more."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import django
import pytest
from django.conf import settings
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from tests.conftest import run_sql

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


async def published(dsn: str) -> list[tuple[str, str]]:
    """Key and receiver of each message, beside as many orders."""
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch("select key, payload ->> 'to' as receiver from postroom.message order by id")
        assert await conn.fetchval("select count(*) from shop_order") == len(rows)
        return [tuple(row) for row in rows]
    finally:
        await conn.close()


async def test_with_django(dsn: str, shop_dsn: str) -> None:
    parts = urlsplit(shop_dsn)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.strip("/"),
        "USER": parts.username,
        "PASSWORD": parts.password,
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
    settings.configure(DATABASES={"default": database}, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()
    orders = importlib.import_module("docs.samples.publish.django_orders")
    from django.db import connection, transaction

    def work() -> None:
        orders.place_order("ada@example.com", 1250)
        with contextlib.suppress(RolledBack), transaction.atomic():
            orders.place_order("nobody@example.com", 1250)
            raise RolledBack
        connection.close()

    await asyncio.to_thread(work)
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


async def test_with_fastapi(dsn: str, shop_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", shop_dsn.replace("postgresql://", "postgresql+psycopg://"))
    orders: Any = importlib.import_module("docs.samples.publish.fastapi_orders")
    assert await orders.place_order(orders.NewOrder(email="ada@example.com", total=1250)) == {"id": 1}
    # A publish that fails takes the order with it.
    monkeypatch.setattr(orders, "PUBLISH", orders.text("select postroom.no_such_function()"))
    with pytest.raises(ProgrammingError):
        await orders.place_order(orders.NewOrder(email="nobody@example.com", total=1250))
    await orders.engine.dispose()
    assert await published(dsn) == [("order:1", "ada@example.com")]
