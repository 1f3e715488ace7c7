"""An event once more, as today's routes and handlers see it."""

from __future__ import annotations

from uuid import UUID

from postroom.base.db import Connection
from postroom.base.errors import Conflict, NotFound
from postroom.channels.stripe import store
from postroom.channels.stripe.encryption import open_raw
from postroom.channels.stripe.event import decode, parse, split_account
from postroom.channels.stripe.message import key_after, message_of
from postroom.encryption.keyring import Keyring
from postroom.outbox.publish import publish


async def reprocess(conn: Connection, message_id: UUID, *, keyring: Keyring) -> UUID:
    """Book a processed or ignored event again; it is then processed like one that has just come.

    What it caused before has its keys still, so nothing is sent twice; what a new route or handler makes of
    it is sent. Returns: the message under which it now goes through the ledger, in the chain of the old one.
    Errors: `NotFound`; `Conflict` while it is on its way, when it died (a replay is for that), and when
    retention has emptied its body; `Unreadable` when a key is missing.
    Transaction: the caller's.
    """
    kept = await store.lock_event(conn, message_id)
    if kept is None:
        raise NotFound(f"no event of Stripe came in as message {message_id}")
    if kept.waits:
        raise Conflict("this event has not been processed yet: it is on its way")
    if kept.dead:
        raise Conflict(f"this event died: postroom replay {message_id}")
    if kept.raw is None:
        raise Conflict(
            "retention has emptied this event's body: fetch it again with postroom stripe backfill"
        )
    raw = open_raw(message_id, kept.raw, keyring)
    event = parse(decode(raw), via=split_account(kept.account)[0])
    # One key for each state that is left: of two who ask at once, the second gets the first one's message.
    # What only filled the mirror takes the event's own key: should Stripe send it, it is known then.
    key = key_after(event, message_id) if kept.effects else event.key
    message = message_of(event, key=key, tenant=kept.tenant, correlation_id=kept.correlation_id)
    booked = await publish(conn, message, keyring=keyring)
    await store.rebook_event(conn, old=message_id, new=booked.id, raw=raw, keyring=keyring)
    return booked.id
