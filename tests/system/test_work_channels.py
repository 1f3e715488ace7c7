"""A runner that delivers some channels only."""

from __future__ import annotations

import asyncio
from pathlib import Path

from postroom.base.db import Pool
from tests.processes.commands import Ended, run


async def test_a_runner_may_be_for_some_channels_alone(dsn: str, pool: Pool, tmp_path: Path) -> None:
    place = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path / "state")}
    settings = {**place, "POSTROOM_EXPORTS__ROLL_S": "0"}
    left = "select channel, attempts from postroom.delivery"
    payload = '{"url": "https://nowhere.invalid/", "type": "a.b", "dataset": "a", "record": {}}'
    for channel in ("webhook", "export"):
        await pool.execute("select postroom.publish($1, $2::jsonb)", channel, payload)

    async def work(*options: str) -> Ended:
        return await asyncio.to_thread(run, "postroom", "work", *options, home=tmp_path, settings=settings)

    done = await work("--channel", "export", "--job", "outbox-delivery", "--once")
    assert done.code == 0, done.err
    assert [tuple(row) for row in await pool.fetch(left)] == [("webhook", 0)], "nobody has tried it"
    refused = await work("--channel", "stripe", "--job", "outbox-delivery", "--once")
    assert (refused.code, "none of these is named" in refused.err) == (2, True)
    assert (await work("--channel", "nonsense")).code == 2
