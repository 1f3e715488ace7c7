"""The console shows which files hold a dataset's records, and which one a record is in."""

from __future__ import annotations

from pathlib import Path

from postroom.admin.tokens import Scope, insert_token
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.outbox.model import Message
from postroom.outbox.reach import Reach
from tests.console.http import visitor
from tests.fixtures.api import running_api
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.roles import pool_as

PAGE = "/console/exports"
HOSTILE = "<i>acme</i>"


def record(number: int, tenant: str) -> Message:
    payload = {"dataset": "orders", "record": {"n": number, "created": "2026-03-04T12:00:00Z"}}
    return Message(channel="export", payload=payload, tenant=tenant)


async def test_windows_with_their_files_and_the_file_of_a_record(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    adapter = ExportAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=ExportSettings(roll_s=300),
        state_dir=tmp_path,
    )
    runner = await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()
    stored = await runner.publish([record(n, HOSTILE) for n in range(34)])
    await runner.drain()
    await runner.travel(300)
    await runner.drain()
    waiting = await runner.publish([record(0, "open"), record(1, HOSTILE)])
    await runner.drain()
    paths = await pool.fetch("select path from postroom.export_file order by opened_at, folder desc")
    first, *_ = (row["path"] for row in paths)
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        assert "No file has records of these days" in (await guest.get(PAGE)).text
        page = (await guest.get(f"{PAGE}?dataset=orders&since=2026-03-04&until=2026-03-05")).text
        for told in (
            "35 records",
            "manifest 1",
            "no manifest yet",
            "listed",
            ">open<",
            first.split("/")[-1],
        ):
            assert told in page, told
        assert page.count("<section") == 2
        assert HOSTILE not in page
        assert "<section" not in (await guest.get(f"{PAGE}?dataset=orders&since=2026-03-05")).text
        assert (await guest.get(f"{PAGE}?tenant=open&since=2026-03-04")).text.count("<section") == 1
        assert (await guest.get(f"{PAGE}?since=soon")).status == 400
        own = (await guest.get(f"/console/messages/{stored[7]}")).text
        assert first in own
        assert "dataset=orders" in own
        assert ">open<" in (await guest.get(f"/console/messages/{waiting[0]}")).text


async def test_who_reaches_some_tenants_only_sees_the_file_and_no_folders(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    adapter = ExportAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=ExportSettings(roll_s=0),
        state_dir=tmp_path,
    )
    runner = await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()
    [message_id] = await runner.publish([record(0, "acme")])
    await runner.drain()
    async with transaction(pool) as conn:
        reach = Reach(tenants=frozenset({"acme"}))
        token, _ = await insert_token(conn, name="acme", scopes=(Scope.ADMIN_READ,), reach=reach)
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        await guest.sign_in(token)
        assert (await guest.get(PAGE)).status == 403
        own = (await guest.get(f"/console/messages/{message_id}")).text
        assert "orders/acme/dt=2026-03-04/" in own
        assert "/console/exports" not in own
