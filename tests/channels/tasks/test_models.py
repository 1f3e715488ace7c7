"""Pydantic's models as parameters of tasks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import PublishRefused
from postroom.client.task import Task
from postroom.outbox.model import Channel, Message
from tests.channels.tasks.code import Invoice, Line, book, book_apart
from tests.channels.tasks.test_adapter import adapter_on, attempt, marks
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import pool_as

AT = datetime(2026, 11, 30, 9, 5, tzinfo=UTC)
PEN = Line(sku="pen", price=Decimal("1.50"))
INVOICE = Invoice(no=7, at=AT, lines=[PEN, PEN])
GIVEN = {"no": 7, "at": "2026-11-30T09:05:00Z", "lines": [{"sku": "pen", "price": "1.50"}]}


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AsyncIterator[AdapterEngine]:
    adapter = adapter_on(pool_as(pool, "runner"))
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


@pytest.mark.parametrize("task", [book, book_apart], ids=["async", "apart"])
async def test_models_come_as_they_were_given(
    engine: AdapterEngine, tmp_path: Path, task: Task[..., Any]
) -> None:
    async with transaction(engine.pool) as conn:
        await task.publish(conn, str(tmp_path), INVOICE, [PEN, PEN, PEN], last=PEN)
        await task.publish(conn, str(tmp_path), invoice=INVOICE, others=[])
    await engine.drain()
    assert sorted(marks(tmp_path)) == ["7 09:05 UTC 3.00 0 None", f"7 09:05 UTC 3.00 3 {PEN}"]


BAD = [
    ({"invoice": {**GIVEN, "lines": [{"sku": "pen", "price": "0"}]}}, "invoice.lines[0].price"),
    ({"invoice": {**GIVEN, "at": "noon"}}, "invoice.at"),
    ({"invoice": {**GIVEN, "note": "x"}}, "invoice.note"),
    ({"invoice": "7"}, "invoice"),
    ({"invoice": GIVEN, "others": [GIVEN["lines"], {"sku": "ink"}]}, "others[0]"),
    ({"invoice": GIVEN, "others": [{"sku": "ink"}]}, "others[0].price"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "field"), BAD)
async def test_what_a_model_refuses_is_a_dead_letter_that_names_the_field(
    engine: AdapterEngine, args: dict[str, Any], field: str
) -> None:
    payload = {"task": "invoice", "args": {"folder": "/", "others": [], **args}}
    [message_id] = await engine.publish([Message(channel=Channel.TASK, payload=payload)])
    await engine.drain()
    ended = await attempt(engine.pool, message_id)
    assert ended["outcome"] == "rejected"
    assert f"args.{field}: " in f"{ended['reason']} {ended['detail']}"


async def test_what_a_model_refuses_is_not_published(pool: Pool) -> None:
    bent = INVOICE.model_copy(update={"lines": [Line.model_construct(sku="pen", price=Decimal(-1))]})
    async with transaction(pool) as conn:
        with pytest.raises(
            PublishRefused, match=r"^invoice\.lines\[0\]\.price: Input should be greater"
        ) as refused:
            await book.publish(conn, "/", bent, [])
        with pytest.raises(PublishRefused, match=r"^invoice\.no: Field required"):
            await book.publish(conn, "/", PEN, [])  # type: ignore[call-overload]
    assert "-1" not in str(refused.value), "what was given may be anybody's data"
    assert await pool.fetchval("select count(*) from postroom.message") == 0


def test_nobody_imports_pydantic_who_has_no_model() -> None:
    code = """
import sys
from postroom import task
@task("a")
def a(number: int) -> None: ...
a.message(1); a.read({"number": 1}); a.read_payload('{"task": "a", "args": {"number": 1}}')
sys.exit("pydantic" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
