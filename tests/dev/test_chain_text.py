"""What the terminal of `postroom up` calls a message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from postroom.base.db import Pool, transaction
from postroom.dev.chain_text import chain_text
from postroom.dev.chains import Chains
from postroom.outbox.model import Message
from postroom.outbox.publish import publish

PUBLISHED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "Hi → ada@example.com": ("email", {"to": "ada@example.com", "subject": "Hi"}),
    "orders": ("export", {"dataset": "orders", "record": {}}),
    "POST /v1/refunds": ("stripe_api", {"method": "POST", "path": "/v1/refunds"}),
    "crm.sync": ("task", {"task": "crm.sync", "args": {}}),
}


async def test_a_message_of_each_channel_is_told_by_what_it_is_about(pool: Pool) -> None:
    chains = Chains(pool=pool, since=datetime.now(UTC))
    async with transaction(pool) as conn:
        for channel, payload in PUBLISHED.values():
            await publish(conn, Message(channel=channel, payload=payload))
    await chains.look()
    told = [chain_text(chain).plain for chain in chains.open.values()]
    assert {label for label in PUBLISHED if any(label in line for line in told)} == PUBLISHED.keys()
