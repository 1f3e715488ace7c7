"""A dry run of an endpoint's recovery says how much there is, by every face, and sends nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postroom.base.db import transaction
from postroom.base.settings import Settings
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.admin.faces import FACES, Action, Face, Faces
from tests.admin.subjects import endpoint
from tests.admin.test_actions import SINCE
from tests.console.http import visitor
from tests.fixtures.api import running_api

MISSED = Message(channel="webhook", payload={"data": {}}, tenant="acme", type="order.paid")
TOLD = {"api": '"dry_run":true,"failed":0,"missing":{n},', "console": "{n} missing.", "cli": "{n} missing."}
TOUCHED = (
    "select (select count(*) from postroom.replay_run) + (select count(*) from postroom.delivery)"
    " + (select count(*) from postroom.dead_letter) + (select count(*) from postroom.audit)"
)


def dry_run(until: str) -> Action:
    form = (("since", SINCE), ("until", until), ("dry_run", "on"))
    command = ("endpoint", "recover", "{id}", "--since", f"{SINCE}Z", "--dry-run")
    return Action(
        "endpoint.recover",
        api=(
            "POST",
            "endpoints/{id}/recover",
            {"since": f"{SINCE}Z", "until": until or None, "dry_run": True},
        ),
        console=("/webhooks/{id}/recover", form),
        cli=(*command, "--until", until) if until else command,
    )


@pytest.mark.parametrize("face", FACES)
async def test_a_dry_run_says_how_many_and_sends_nothing(face: Face, dsn: str, tmp_path: Path) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        if face == "console":
            await guest.sign_in(api.token)
        until = ""
        for count in (2, 1):
            until = (await api.pool.fetchval("select clock_timestamp()")).isoformat()
            await asyncio.sleep(0.01)  # ids tell the millisecond
            async with transaction(api.pool) as conn:
                await publish_many(conn, [MISSED] * count)
            await asyncio.sleep(0.01)  # ids tell the millisecond
        made = await endpoint(api.pool, tmp_path)
        faces = Faces(api, guest, dsn, tmp_path)
        await faces.trail(made)
        for n, end in ((3, ""), (2, until)):
            assert TOLD[face].replace("{n}", str(n)) in await faces.do(dry_run(end), face, made)
        assert await api.pool.fetchval(TOUCHED) == 0
