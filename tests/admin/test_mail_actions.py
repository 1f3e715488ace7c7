"""What is done to mails, by every face: replays and resends afresh, and tests of templates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from postroom.base.settings import Settings
from tests.admin.subjects import dead_letter, delivered
from tests.admin.test_actions import FACES, ID, Action, Face, Faces
from tests.console.http import visitor
from tests.fixtures.api import running_api

FAULT: Final = {"fingerprint": "fault"}
ACTIONS: Final = (
    Action(
        "template.send_test",
        detail={"template": "receipt", "to": "m***@example.com"},
        subject=ID,
        console=("/templates/send-test", (("name", "receipt"), ("to", "me@example.com"))),
        cli=("template", "send-test", "receipt", "--to", "me@example.com"),
    ),
    Action(
        "outbox.resend",
        delivered,
        {"resent": 1, "fresh": True},
        api=("POST", "outbox/{id}/resend", {"fresh": True}),
        console=("/messages/{id}/resend", (("fresh", "1"),)),
        cli=("messages", "resend", "{id}", "--fresh", "--yes", "--json"),
    ),
    Action(
        "outbox.replay",
        dead_letter,
        {"replayed": 1, "fresh": True},
        api=("POST", "outbox/{id}/replay", {"fresh": True}),
        console=("/messages/{id}/replay", (("fresh", "1"),)),
        cli=("replay", "{id}", "--fresh"),
    ),
    Action(
        "outbox.replay_many",
        dead_letter,
        {"replayed": 1, "pace_per_s": 0.0, "filter": FAULT, "fresh": True},
        subject=ID,
        api=("POST", "outbox/replay", {"filter": FAULT, "fresh": True}),
        console=("/dead-letters/start", (*FAULT.items(), ("pace", "0"), ("fresh", "1"))),
        cli=("replay", "--fingerprint", "fault", "--fresh", "--yes"),
    ),
)


@pytest.mark.parametrize("face", FACES)
async def test_an_action_has_one_audit_form_by_every_face(dsn: str, tmp_path: Path, face: Face) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        if face == "console":
            await guest.sign_in(api.token)
        faces = Faces(api, guest, dsn, tmp_path)
        for action in ACTIONS:
            if getattr(action, face) is None:
                continue
            made = await action.on(api.pool, tmp_path)
            await faces.trail(made)
            await faces.do(action, face, made)
            assert await faces.trail(made) == [(action.name, action.subject, action.detail)], action.name
