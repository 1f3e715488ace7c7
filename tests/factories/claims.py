"""Claims made by hand, for tests of one adapter without the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from postroom.outbox.model import Claim

NEW_YEAR_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def make_claim(**changes: Any) -> Claim:
    """A first attempt, claimed by worker 1, with whatever a test wants otherwise."""
    values: dict[str, Any] = {
        "message_id": UUID(int=1),
        "n": 0,
        "worker": 1,
        "claim_no": 1,
        "channel": "email",
        "destination": "?",
        "endpoint_id": None,
        "ordering_key": None,
        "state": "pending",
        "attempts": 0,
        "due_s": NEW_YEAR_S,
        "seq": 1,
        "type": "",
        "tenant": "",
        "key": None,
        "correlation_id": "",
        "traceparent": None,
        "payload": "{}",
        "created_s": NEW_YEAR_S,
    }
    return Claim(**{**values, **changes})
