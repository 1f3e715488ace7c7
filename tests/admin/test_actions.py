"""Every action of an operator by every face that has it: the audit trail cannot tell them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from postroom.console.routes import ACTIONS as CONSOLE_ACTIONS
from tests.admin.faces import FACES, ID, Action, Face, check_trail
from tests.admin.subjects import (
    URL,
    dead_call,
    dead_letter,
    delivered,
    due_message,
    endpoint,
    ignored_event,
    later_message,
    limited,
    paused_run,
    replay_run,
    session,
    suppressed,
    token,
)  # fmt: skip

SINCE: Final = "2025-01-01T00:00"
ENABLED: Final = {"state": "enabled", "parked_reason": None}
OF_ENDPOINT: Final = {"tenant": "acme", "url": URL}

ACTIONS: Final = (
    Action(
        "outbox.cancel",
        due_message,
        {"deliveries": 1},
        api=("POST", "outbox/{id}/cancel", None),
        console=("/messages/{id}/cancel", ()),
        cli=("messages", "cancel", "{id}", "--json"),
    ),
    Action(
        "outbox.deliver_now",
        later_message,
        {"deliveries": 1},
        api=("POST", "outbox/{id}/deliver-now", None),
        console=("/messages/{id}/deliver-now", ()),
        cli=("deliver-now", "{id}", "--json"),
    ),
    Action(
        "outbox.resend",
        delivered,
        {"resent": 1},
        api=("POST", "outbox/{id}/resend", None),
        console=("/messages/{id}/resend", ()),
        cli=("messages", "resend", "{id}", "--yes", "--json"),
    ),
    Action(
        "outbox.replay",
        dead_letter,
        {"replayed": 1},
        api=("POST", "outbox/{id}/replay", None),
        console=("/messages/{id}/replay", ()),
        cli=("replay", "{id}"),
    ),
    Action(
        "outbox.replay_many",
        dead_letter,
        {"replayed": 1, "pace_per_s": 5.0, "filter": {"fingerprint": "fault"}},
        subject=ID,
        api=("POST", "outbox/replay", {"filter": {"fingerprint": "fault"}, "pace_per_s": 5}),
        console=("/dead-letters/start", (("fingerprint", "fault"), ("pace", "5"))),
        cli=("replay", "--fingerprint", "fault", "--pace", "5", "--yes"),
    ),
    *(
        Action(
            f"replay.{done}",
            on,
            {counted: 1},
            console=(f"/replays/{{id}}/{done}", ()),
            cli=("replays", done, "{id}"),
        )
        for done, on, counted in (
            ("pause", replay_run, "held"),
            ("resume", paused_run, "released"),
            ("undo", replay_run, "returned"),
        )
    ),
    Action(
        "stripe.looked_up",
        dead_call,
        {"done": False},
        api=("POST", "outbox/{id}/looked-up", {"done": False}),
        console=("/messages/{id}/looked-up", (("done", "no"),)),
        cli=("stripe", "looked-up", "{id}", "--not-done"),
    ),
    Action("message.reveal", due_message, console=("/messages/{id}/reveal", ())),
    Action(
        "stripe.reprocess",
        ignored_event,
        {"again": ID},
        console=("/stripe/{id}/reprocess", ()),
        cli=("stripe", "reprocess", "{id}"),
    ),
    Action(
        "endpoint.create",
        detail={**OF_ENDPOINT, "new": {"types": ["*"], "description": ""}},
        subject=ID,
        api=("POST", "endpoints", {"tenant": "acme", "url": URL}),
        console=("/webhooks/create", (("tenant", "acme"), ("url", URL))),
        cli=("endpoint", "create", "--tenant", "acme", "--url", URL),
    ),
    Action(
        "endpoint.update",
        endpoint,
        {
            **{"tenant": "acme", "url": URL + "/2", "changed": ["url"]},
            **{"old": {"url": URL}, "new": {"url": URL + "/2"}},
        },
        api=("PATCH", "endpoints/{id}", {"url": URL + "/2"}),
        cli=("endpoint", "update", "{id}", "--url", URL + "/2"),
    ),
    Action(
        "endpoint.rotate",
        endpoint,
        OF_ENDPOINT,
        api=("POST", "endpoints/{id}/rotate", {}),
        console=("/webhooks/{id}/rotate", ()),
        cli=("endpoint", "rotate", "{id}"),
    ),
    Action(
        "endpoint.park",
        endpoint,
        {**OF_ENDPOINT, "reason": "they move", "old": ENABLED},
        api=("POST", "endpoints/{id}/park", {"reason": "they move"}),
        console=("/webhooks/{id}/park", (("reason", "they move"),)),
        cli=("endpoint", "park", "{id}", "--reason", "they move"),
    ),
    Action(
        "endpoint.park",
        endpoint,
        {**OF_ENDPOINT, "reason": "parked by {actor}", "old": ENABLED},
        api=("POST", "endpoints/{id}/park", {}),
        console=("/webhooks/{id}/park", ()),
        cli=("endpoint", "park", "{id}"),
    ),
    Action(
        "endpoint.resume",
        endpoint,
        {**OF_ENDPOINT, "old": ENABLED},
        api=("POST", "endpoints/{id}/resume", None),
        console=("/webhooks/{id}/resume", ()),
        cli=("endpoint", "resume", "{id}"),
    ),
    Action(
        "endpoint.resume",
        endpoint,
        {**OF_ENDPOINT, "pace_per_s": 2.5, "old": ENABLED},
        api=("POST", "endpoints/{id}/resume", {"pace_per_s": 2.5}),
        console=("/webhooks/{id}/resume", (("pace", "2.5"),)),
        cli=("endpoint", "resume", "{id}", "--pace", "2.5"),
    ),
    Action(
        "endpoint.discard",
        endpoint,
        {**OF_ENDPOINT, "deliveries": 0},
        api=("POST", "endpoints/{id}/discard", None),
        console=("/webhooks/{id}/discard", ()),
        cli=("endpoint", "discard", "{id}", "--yes"),
    ),
    Action(
        "endpoint.recover",
        endpoint,
        {**OF_ENDPOINT, "run": ID, "pace_per_s": 5, "since": f"{SINCE}:00+00:00"},
        api=("POST", "endpoints/{id}/recover", {"since": f"{SINCE}Z", "pace_per_s": 5}),
        console=("/webhooks/{id}/recover", (("since", SINCE), ("pace", "5"))),
        cli=("endpoint", "recover", "{id}", "--since", f"{SINCE}Z", "--per-second", "5", "--yes"),
    ),
    Action(
        "endpoint.ping",
        endpoint,
        {**OF_ENDPOINT, "type": "postroom.ping", "message": ID},
        console=("/webhooks/{id}/ping", ()),
    ),
    Action(
        "endpoint.delete",
        endpoint,
        {**OF_ENDPOINT, "old": {"types": ["*"], "description": "", **ENABLED}},
        api=("DELETE", "endpoints/{id}", None),
        cli=("endpoint", "delete", "{id}", "--yes"),
    ),
    *(
        Action(
            f"circuit.{force}",
            detail={"reason": reason or f"{force} by {{actor}}", "old": old},
            subject="email",
            api=("POST", "circuits/email", {"action": force, "reason": reason}),
            console=("/circuits/change", (("name", "email"), ("action", force), ("reason", reason))),
        )
        for force, reason, old in (
            ("open", "provider is down", {"state": "closed", "forced": False, "reason": None}),
            ("closed", "", {"state": "open", "forced": True, "reason": "provider is down"}),
            ("release", "", {"state": "closed", "forced": True, "reason": "closed by {actor}"}),
        )
    ),
    Action(
        "channel.pause",
        detail={"reason": "moved", "old": None},
        subject="export",
        api=("POST", "channels/export/pause", {"reason": "moved"}),
        console=("/channels/export/pause", (("reason", "moved"),)),
        cli=("channel", "pause", "export", "--reason", "moved"),
    ),
    Action(
        "channel.resume",
        detail={"old": {"reason": "moved", "paused_by": "{actor}"}},
        subject="export",
        api=("POST", "channels/export/resume", None),
        console=("/channels/export/resume", ()),
        cli=("channel", "resume", "export"),
    ),
    Action(
        "limit.set",
        detail={
            **{"tenant": "acme", "destination": None, "per_second": 50.0, "in_flight": None},
            **{"reason": "agreed", "old": None},
        },
        subject="webhook",
        api=(
            "POST",
            "limits",
            {"channel": "webhook", "tenant": "acme", "per_second": 50, "reason": "agreed"},
        ),
        console=(
            "/limits/set",
            (("channel", "webhook"), ("tenant", "acme"), ("per_second", "50"), ("reason", "agreed")),
        ),
        cli=(
            *("limit", "set", "--channel", "webhook", "--tenant", "acme"),
            *("--per-second", "50", "--reason", "agreed"),
        ),
    ),
    Action(
        "limit.remove",
        limited,
        {
            **{"tenant": None, "destination": "gmail.com"},
            "old": {"per_second": None, "in_flight": 1, "reason": "r", "set_by": "ada"},
        },
        subject="email",
        api=("POST", "limits/remove", {"channel": "email", "destination": "GMAIL.com"}),
        console=("/limits/remove", (("channel", "email"), ("tenant", ""), ("destination", "@gmail.com"))),
        cli=("limit", "remove", "--channel", "email", "--destination", "@Gmail.com"),
    ),
    Action(
        "url_secret.show",
        subject="https://hooks.example.com",
        api=("POST", "url-secrets/show", {"url": "https://hooks.example.com/a"}),
        console=("/webhooks/url-secret", (("url", "https://hooks.example.com/a"),)),
        cli=("endpoint", "url-secret", "https://hooks.example.com/a"),
    ),
    Action(
        "url_secret.rotate",
        detail={"overlap_s": 0.0},
        subject="https://hooks.example.com",
        api=("POST", "url-secrets/rotate", {"url": "https://hooks.example.com", "overlap_s": 0}),
        console=(
            "/webhooks/url-secret",
            (("url", "https://hooks.example.com/"), ("rotate", "1"), ("overlap_hours", "0")),
        ),
        cli=("endpoint", "url-secret", "https://hooks.example.com", "--rotate", "--overlap-hours", "0"),
    ),
    Action(
        "job.run",
        subject="canary",
        api=("POST", "jobs/canary/run", None),
        console=("/jobs/canary/run", ()),
        cli=("jobs", "run", "canary", "--no-wait"),
    ),
    *(
        Action(
            f"job.{done}",
            subject="canary",
            console=(f"/jobs/canary/{done}", ()),
            cli=("jobs", done, "canary"),
        )
        for done in ("pause", "unpause")
    ),
    Action(
        "token.create",
        detail={"name": "ci", "scopes": ["admin:read", "jobs:run"]},
        subject=ID,
        api=("POST", "tokens", {"name": "ci", "scopes": ["jobs:run", "admin:read"]}),
        console=("/tokens/create", (("name", "ci"), ("scope", "jobs:run"), ("scope", "admin:read"))),
        cli=("token", "create", "--name", "ci", "--scope", "jobs:run", "--scope", "admin:read"),
    ),
    Action(
        "token.revoke",
        token,
        {"name": "old"},
        api=("DELETE", "tokens/{id}", None),
        console=("/tokens/{id}/revoke", ()),
        cli=("token", "revoke", "{id}"),
    ),
    Action(
        "session.end",
        session,
        {"actor": "oidc:ada"},
        api=("DELETE", "sessions/{id}", None),
        console=("/sessions/{id}/end", ()),
        cli=("sessions", "end", "{id}"),
    ),
    Action(
        "suppression.add",
        detail={"reason": "r", "old": None},
        subject="a***@example.com",
        api=("POST", "suppressions", {"address": "ann@example.com", "reason": "r"}),
        cli=("suppression", "add", "ann@example.com", "--reason", "r"),
    ),
    Action(
        "suppression.remove",
        suppressed,
        {"old": {"reason": "r"}},
        subject="a***@example.com",
        api=("DELETE", "suppressions?address=ann@example.com", None),
        cli=("suppression", "remove", "ann@example.com"),
    ),
    Action(
        "erasure.done",
        detail={
            **dict.fromkeys(("messages", "dead_letters", "attempts", "cancelled", "stripe_objects"), 0),
            **dict.fromkeys(("export_files", "open_messages", "unreadable", "audit_entries"), 0),
            **{"replays": 0, "endpoints": 0, "suppressed": False},
        },
        subject="a***@example.org",
        api=("POST", "erasures", {"email": "ada@example.org"}),
        cli=("erase", "--email", "ada@example.org"),
    ),
)
# Two change nothing but a session; the other is in `test_mail_actions`.
ELSEWHERE: Final = {"/sign-out", "/sign-out-everywhere", "/templates/send-test"}


@pytest.mark.parametrize("face", FACES)
async def test_an_action_has_one_audit_form_by_every_face(dsn: str, tmp_path: Path, face: Face) -> None:
    await check_trail(ACTIONS, face, dsn=dsn, folder=tmp_path)


def test_no_action_of_the_console_is_missing_here() -> None:
    """Those of the API are listed, and held complete, in the test of the contract."""
    listed = {
        action.console[0].replace("canary", "{name}").replace("/export/", "/{channel}/")
        for action in ACTIONS
        if action.console
    }
    assert listed | ELSEWHERE == {each.path for each in CONSOLE_ACTIONS}
