"""From a provider's request to what is noted, and to whom nobody writes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from postroom.base.clock import Clock
from postroom.base.db import Connection, Record, query
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidInput, NotFound
from postroom.base.log import get_logger
from postroom.channels.email.address import mask
from postroom.channels.email.events.model import UNMATCHED, Event, Kind, Provider
from postroom.channels.email.events.parsers import parse
from postroom.channels.email.events.signatures import Headers, check
from postroom.channels.email.events.sns import Sns
from postroom.channels.email.payload import CATEGORY
from postroom.channels.email.suppressions import ADDRESS_LENGTH_MAX, REASON_LENGTH_MAX, suppress
from postroom.channels.email.unsubscribes import unsubscribe
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish_many
from postroom.outbox.references import reveal
from postroom.outbox.store import count_outcome

_NOTE = query(__package__, "note_events")
_PAYLOAD = query(__package__, "fetch_payload")

TALLY: Final = "email_event"
EVENT_SECRETS: Final = {
    Provider.SES: "events_ses_topics",
    Provider.SENDGRID: "events_sendgrid_keys",
    Provider.MAILGUN: "events_mailgun_keys",
    Provider.POSTMARK: "events_postmark_logins",
    Provider.RESEND: "events_resend_secrets",
    Provider.BREVO: "events_brevo_logins",
}
"""The setting by which each is believed."""

log = get_logger(__name__)


class EmailEvents:
    """Reads what providers tell by webhooks."""

    def __init__(self, *, settings: EmailSettings, clock: Clock, sns: Sns | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._sns = sns or Sns()

    async def read(self, name: str, headers: Headers, body: bytes) -> tuple[Provider, list[Event]]:
        """Errors: `NotFound` for a provider that is not set up, `ForgedEvent`, `InvalidInput`; `Unavailable`
        while Amazon does not answer."""
        provider = Provider(name) if name in EVENT_SECRETS else None
        secrets = getattr(self._settings, EVENT_SECRETS[provider]) if provider else None
        if provider is None or not secrets:
            raise NotFound("no such provider is set up: POSTROOM_EMAIL__EVENTS_… says who is believed")
        now = self._clock.now()
        if provider is Provider.SES:
            body = await self._sns.open(body, secrets, now)
        else:
            check(provider, headers, body, secrets, now)
        return provider, parse(provider, body) if body else []


async def note(
    conn: Connection,
    provider: Provider,
    events: Sequence[Event],
    *,
    keyring: Keyring,
    now: datetime,
    tells: str | None = None,
) -> dict[str, int]:
    """Note each once, and suppress whoever bounced for good or complained, in the caller's transaction.

    `tells`: the tenant whose endpoints get each new one as a webhook, `email.bounced` and so on.

    Returns: how many were new, known before, and of no mail that is in the ledger. Does not promise: order; a
    late "delivered" may come after a complaint.
    """
    # In the order of their ids, so that two requests with the same events never wait for each other in turn.
    unique = sorted({each.id: each for each in events}.values(), key=lambda each: each.id)
    rows = await conn.fetch(_NOTE, provider, *_columns(unique, now)) if unique else []
    new = [(unique[row["number"] - 1], row) for row in rows if row["is_new"]]
    for event, mail in sorted(new, key=lambda each: each[0].recipient.lower()):
        await _follow(conn, provider, event, mail["tenant"], keyring)
    if tells:
        webhooks = [_webhook(provider, event, mail, now, to=tells) for event, mail in new]
        await publish_many(conn, webhooks, keyring=keyring)
    counts = Counter(event.counted_as for event, _ in new)
    counts[UNMATCHED] = len(unique) - len(rows)
    for kind, count in sorted(counts.items()):
        if count:
            shard = unique[0].id[0]
            await count_outcome(conn, name=TALLY, label=f"{provider} {kind}", worker=shard, value=count)
    return {"new": len(new), "known": len(rows) - len(new), UNMATCHED: counts[UNMATCHED]}


def _webhook(provider: Provider, event: Event, mail: Record, now: datetime, *, to: str) -> Message:
    """The address is masked, as in the ledger: the mail has it, and is named by id and key."""
    data = {
        "message_id": str(event.message_id),
        "key": mail["key"],
        "tenant": mail["tenant"],
        "provider": provider.value,
        "recipient": mask(event.recipient)[:ADDRESS_LENGTH_MAX],
        "permanent": event.permanent,
        "reason": _shown(event.reason),
        "at": (event.at or now).isoformat(),
    }
    payload = {"tenant": to, "type": f"email.{event.kind}", "data": data}
    return Message(channel=Channel.WEBHOOK, payload=payload, key=f"email-event:{provider}:{event.id.hex()}")


def _columns(events: Sequence[Event], now: datetime) -> tuple[list[object], ...]:
    return (
        [each.id for each in events],
        [each.message_id for each in events],
        [each.kind.value for each in events],
        [each.permanent for each in events],
        [mask(each.recipient)[:ADDRESS_LENGTH_MAX] for each in events],
        [_shown(each.reason) for each in events],
        [each.at or now for each in events],
    )


def _shown(reason: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in reason[:2_000]).split())
    return mask(words)[:REASON_LENGTH_MAX]


async def _follow(conn: Connection, provider: Provider, event: Event, tenant: str, keyring: Keyring) -> None:
    """Leave alone who bounced for good, complained or unsubscribed: from the next attempt on.

    An address that is none is left as it is: nothing could ever be sent there.
    """
    if not event.recipient:
        return
    reason = f"{event.kind} at {provider}"
    if told := _shown(event.reason):
        reason = f"{reason}: {told}"[:REASON_LENGTH_MAX]
    try:
        if event.suppresses:
            await suppress(conn, address=event.recipient, reason=reason)
        elif event.kind is Kind.UNSUBSCRIBED:
            await _unsubscribe(conn, event, tenant, reason, keyring)
    except InvalidInput as error:
        log.warning(
            "email.event_address", provider=provider, message_id=str(event.message_id), why=error.detail
        )


async def fetch_body(conn: Connection, message_id: UUID, keyring: Keyring) -> dict[str, Any]:
    """What the mail was made from; without its fields where it is gone or cannot be read any more."""
    kept = await conn.fetchval(_PAYLOAD, message_id)
    body = await reveal(conn, message_id, kept, keyring, channel="email") if kept else None
    return body if isinstance(body, dict) else {}


async def _unsubscribe(conn: Connection, event: Event, tenant: str, reason: str, keyring: Keyring) -> None:
    """From the mail's category; from everything where it has none, or none that can be read any more."""
    if event.message_id is None:
        return
    category = (await fetch_body(conn, event.message_id, keyring)).get("category")
    if isinstance(category, str) and CATEGORY.fullmatch(category):
        await unsubscribe(
            conn,
            address=event.recipient,
            tenant=tenant,
            category=category,
            message_id=event.message_id,
        )
    else:
        await suppress(conn, address=event.recipient, reason=reason)
