"""Did every effect of the demo arrive, exactly once? Asked at the receiving ends."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from postroom.base.db import Connection
from postroom.dev.demo_events import EFFECTS
from postroom.dev.fake_services import FakeServices
from postroom.outbox.ledger.balance import fetch_balance
from postroom.outbox.ledger.messages import LedgerEntry, LedgerFilter, list_messages
from postroom.outbox.model import Channel


class _Line(msgspec.Struct):
    """One line of an export file, of which the id is enough."""

    id: str


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How often each message id was seen at each end, and webhooks that came with a wrong signature."""

    seen: dict[Channel, Counter[str]]
    invalid: tuple[str, ...]


def arrivals(fake_services: FakeServices, exports_dir: Path) -> Arrivals:
    mails = Counter(mail.message_id.strip("<>").partition("@")[0] for mail in fake_services.mailbox.mails)
    received = fake_services.receiver.received
    return Arrivals(
        {
            Channel.EMAIL: mails,
            Channel.WEBHOOK: Counter(each.id for each in received),
            Channel.EXPORT: Counter(_exported(exports_dir)),
        },
        tuple(f"webhook {each.id}: {each.fault}" for each in received if each.fault),
    )


async def find_faults(conn: Connection, events: Sequence[dict[str, Any]], arrived: Arrivals) -> list[str]:
    """What is missing, doubled or not expected; empty when all is as it should be.

    Transaction: the caller's, repeatable read.
    """
    faults = list(arrived.invalid)
    expected: dict[Channel, set[str]] = {channel: set() for channel in arrived.seen}
    for event in events:
        effects = await _effects(conn, event)
        published, wanted = Counter(Channel(e.channel) for e in effects), Counter(EFFECTS[event["type"]])
        for channel, count in (published - wanted).items():
            faults.append(f"{event['type']}: {count} {channel} too many")
        for channel, count in (wanted - published).items():
            faults.append(f"{event['type']}: {count} {channel} not published")
        for effect in effects:
            channel = Channel(effect.channel)
            expected[channel].add(str(effect.id))
            times = arrived.seen[channel][str(effect.id)]
            if times != 1:
                faults.append(
                    f"{event['type']}: {channel} {effect.id} arrived {times} times ({effect.status})"
                )
    for channel, seen in arrived.seen.items():
        faults += [f"{channel} {identity} was not expected" for identity in seen.keys() - expected[channel]]
    balance = await fetch_balance(conn)
    if balance.drift or balance.open or balance.dead:
        faults.append(f"the ledger does not fit: {balance}")
    return faults


async def _effects(conn: Connection, event: dict[str, Any]) -> list[LedgerEntry]:
    roots = await list_messages(conn, LedgerFilter(channel=Channel.STRIPE, key=f"self:{event['id']}"))
    return [
        effect
        for root in roots.rows
        for effect in (await list_messages(conn, LedgerFilter(correlation_id=str(root.id)))).rows
        if effect.channel != Channel.STRIPE
    ]


def _exported(exports_dir: Path) -> Iterable[str]:
    for path in sorted(exports_dir.rglob("*.ndjson.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            yield msgspec.json.decode(line, type=_Line).id
