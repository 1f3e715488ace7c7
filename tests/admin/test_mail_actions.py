"""What is done to mails, by every face: replays and resends afresh, and tests of templates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.admin.faces import FACES, ID, Action, Face, check_trail
from tests.admin.subjects import dead_letter, delivered

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
    await check_trail(ACTIONS, face, dsn=dsn, folder=tmp_path)
