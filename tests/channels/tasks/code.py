"""The operator's code of these tests: what tasks do, good and bad. Marks are left in files."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, computed_field

from postroom import Reject, Retry, current_task, publish, task


@dataclass
class Order:
    number: int
    lines: list[str]


def mark(folder: str, text: str) -> None:
    with (Path(folder) / "marks").open("a") as file:
        file.write(f"{text}\n")


@task("async")
async def wait_a_moment(folder: str, text: str = "async") -> None:
    await asyncio.sleep(0)
    mark(folder, f"{text} {current_task().attempt}")


@task("sync")
def work(folder: str, text: str = "sync") -> None:
    mark(folder, f"{text} {current_task().attempt}")


@task("order")
async def ship(order: Order, when: timedelta) -> None: ...


@task("fails", attempts=2)
async def fails(word: str) -> None:
    raise ValueError(f"cannot do with {word}")


@task("fails-apart", attempts=2)
def fails_apart(word: str) -> None:
    raise ValueError(f"cannot do with {word}")


@task("retry")
async def retry() -> None:
    raise Retry("the shop is closed", after=timedelta(hours=2))


@task("retry-apart")
def retry_apart() -> None:
    raise Retry("the shop is closed", after=7200)


@task("reject")
async def reject() -> None:
    raise Reject("there is no such customer")


@task("reject-apart")
def reject_apart() -> None:
    raise Reject("there is no such customer")


@task("sleeps", timeout_s=0.2)
async def sleeps() -> None:
    await asyncio.sleep(60)


@task("sleeps-apart", timeout_s=0.2)
def sleeps_apart() -> None:
    time.sleep(60)


@task("stubborn", timeout_s=0.1)
async def stubborn(folder: str) -> None:
    while not (Path(folder) / "enough").exists():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            mark(folder, "swallowed")


@task("exits")
async def exits() -> None:
    raise SystemExit(3)


@task("exits-apart")
def exits_apart() -> None:
    os._exit(3)


@task("large-apart")
def large() -> None:
    bytearray(2 << 30)


@task("row")
async def write_row(number: int, folder: str = "", *, fail: bool = False) -> None:
    """Its own row and another message, with its end."""
    async with current_task().transaction() as conn:
        await conn.execute("insert into shop_row values ($1)", number)
        await publish(conn, channel="export", payload={"dataset": "rows", "record": {"n": number}})
        if folder:
            mark(folder, "inserted")
            while not (Path(folder) / "enough").exists():
                await asyncio.sleep(0.02)
        if fail:
            raise ValueError("too late")


@task("past-its-end")
async def past_its_end(number: int) -> None:
    async with current_task().transaction() as conn:
        await conn.execute("insert into shop_row values ($1)", number)
    raise ValueError("too late")


@task("long")
async def long(folder: str) -> None:
    mark(folder, "begun")
    current_task().progress(0.4)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        mark(folder, f"cancelled {current_task().cancelled}")
        raise


@task("long-apart")
def long_apart(folder: str, *, looks: bool = True) -> None:
    mark(folder, "begun")
    for each in range(400):
        current_task().progress(0.4 + each / 100_000)
    while not (looks and current_task().cancelled):
        time.sleep(0.02)
    mark(folder, "cancelled True")


@task("report")
async def report(folder: str) -> None:
    mark(folder, f"async {current_task().batch}")


@task("report-apart")
def report_apart(folder: str) -> None:
    mark(folder, f"sync {current_task().batch}")


@task("nothing")
async def nothing() -> None: ...


class Line(BaseModel):
    sku: str
    price: Decimal = Field(gt=0)


class Invoice(BaseModel):
    """As pydantic has it: an alias, what is computed, nested models, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int = Field(alias="no")
    at: datetime
    lines: list[Line]

    @computed_field
    def total(self) -> Decimal:
        return sum((line.price for line in self.lines), Decimal())


@task("invoice")
async def book(folder: str, invoice: Invoice, others: list[Line], last: Line | None = None) -> None:
    mark(folder, f"{invoice.number} {invoice.at:%H:%M %Z} {invoice.total} {len(others)} {last}")


@task("invoice-apart")
def book_apart(folder: str, invoice: Invoice, others: list[Line], last: Line | None = None) -> None:
    mark(folder, f"{invoice.number} {invoice.at:%H:%M %Z} {invoice.total} {len(others)} {last}")
