"""The files of exports over HTTP, as the console and `postroom export list` have them."""

from __future__ import annotations

from pathlib import Path

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.outbox.model import Message
from tests.fixtures.api import running_api
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.roles import pool_as

PATH = "/v1/admin/exports"
CREATED_S = 1_767_225_600


async def test_files_are_listed_by_dataset_tenant_and_day(dsn: str, pool: Pool, tmp_path: Path) -> None:
    adapter = ExportAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=ExportSettings(roll_s=0),
        state_dir=tmp_path,
    )
    runner = await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()
    for tenant, day in (("acme", 0), ("acme", 1), ("other", 0)):
        payload = {"dataset": "orders", "record": {"created": CREATED_S + 86_400 * day}}
        await runner.publish([Message(channel="export", payload=payload, tenant=tenant)])
        await runner.drain()
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api:
        every = (await api.get(PATH)).json
        assert (len(every["files"]), every["cut"]) == (3, False)
        chosen = await api.get(f"{PATH}?dataset=orders&tenant=acme&since=2026-01-01&until=2026-01-02")
        [file] = chosen.json["files"]
        assert (file["tenant"], file["day"], file["records"]) == ("acme", "2026-01-01", 1)
        assert (file["listed"], file["current"], file["manifest"]) == (True, True, 1)
        assert (tmp_path / "exports" / file["path"]).exists()
        assert (await api.get(f"{PATH}?limit=2")).json["cut"]
        wrong = await api.get(f"{PATH}?since=yesterday")
        assert (wrong.status, wrong.json["field"]) == (422, "since")
