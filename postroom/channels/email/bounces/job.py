"""The job `email-bounces`: what mail servers report of mails that were taken, read from a mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Any, Final
from uuid import UUID

from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidPayload
from postroom.base.log import get_logger
from postroom.channels.email import mime, payload
from postroom.channels.email.bounces.imap import Mailbox, open_mailbox, parse_place
from postroom.channels.email.bounces.reports import Report, Told, read_report
from postroom.channels.email.bounces.return_path import find_sent
from postroom.channels.email.events.intake import fetch_body, note
from postroom.channels.email.events.model import Event, Provider
from postroom.encryption.keyring import Keyring
from postroom.worker.model import Job, JobContext

BATCH: Final = 20
"""Mails that are read, noted and flagged together."""
MAILS_MAX: Final = 1_000
RUN_S: Final = 120.0
"""Of a run; the next one goes on."""

log = get_logger(__name__)


def bounces_job(*, pool: Pool, settings: EmailSettings, keyring: Keyring, clock: Clock) -> Job:
    """Notes what unread mails report, commits, and flags them as read.

    Promise: a report that is read twice, because the process died between commit and flag or somebody made
    it unread, changes nothing the second time. Does not promise to see mails that somebody else has read.
    Without POSTROOM_EMAIL__BOUNCES_URL it does nothing.
    """
    reader = Bounces(pool=pool, settings=settings, keyring=keyring, clock=clock)
    return Job(name="email-bounces", run=reader.run, every_s=60.0)


class Bounces:
    def __init__(self, *, pool: Pool, settings: EmailSettings, keyring: Keyring, clock: Clock) -> None:
        self._pool = pool
        self._settings = settings
        self._keyring = keyring
        self._clock = clock

    async def run(self, context: JobContext) -> int:
        """Errors: `Unavailable` for a mailbox that cannot be read, the database's own."""
        if self._settings.bounces_url is None:
            return 0
        place = parse_place(self._settings.bounces_url, tls_ca=self._settings.tls_ca)
        count, until = 0, monotonic() + RUN_S
        async with open_mailbox(place) as mailbox:
            unread = (await mailbox.list_unread())[:MAILS_MAX]
            while count < len(unread) and not context.stop.is_set() and monotonic() < until:
                batch = unread[count : count + BATCH]
                await self._read(mailbox, batch)
                count += len(batch)
        return count

    async def _read(self, mailbox: Mailbox, ids: Sequence[bytes]) -> None:
        mails = await mailbox.fetch(ids)
        reports = await asyncio.to_thread(lambda: [each for mail in mails if (each := read_report(mail))])
        async with transaction(self._pool) as conn:
            events = [event async for event in self._events(conn, reports)]
            now = self._clock.now()
            noted = await note(
                conn,
                Provider.MAILBOX,
                events,
                keyring=self._keyring,
                now=now,
                tells=self._settings.events_tenant,
            )
        await mailbox.mark_read(ids)
        log.info("email.bounces", mails=len(ids), reports=len(reports), **noted)

    async def _events(self, conn: Connection, reports: Sequence[Report]) -> AsyncIterator[Event]:
        recipients: dict[UUID, tuple[str, ...]] = {}
        for number, report in enumerate(reports):
            sent = find_sent(self._settings, report.addresses)
            if sent and sent.message_id not in recipients:
                recipients[sent.message_id] = await self._recipients(conn, sent.message_id)
            for told in report.told:
                if sent is None:  # forged, or of a mail that went out otherwise
                    yield Event((str(number), str(told)), told.kind, "", None)
                    continue
                who = _whose(told, recipients[sent.message_id])
                permanent = told.permanent and bool(who)
                # Once for each sending, whatever a report calls itself: whoever had the mail can write many.
                identity = (str(sent.message_id), str(sent.since), told.kind, str(permanent), who.lower())
                yield Event(identity, told.kind, who, sent.message_id, None, permanent, told.reason)

    async def _recipients(self, conn: Connection, message_id: UUID) -> tuple[str, ...]:
        """Nobody where the payload is gone: then a report is shown, and suppresses nobody."""
        body = await fetch_body(conn, message_id, self._keyring)
        addressed: dict[str, Any] = {name: body[name] for name in ("to", "cc", "bcc") if name in body}
        try:
            email = payload.parse({**addressed, "subject": "-", "text": "-"}, attachments_bytes_max=0)
            return mime.recipients(email)
        except InvalidPayload:
            return ()


def _whose(told: Told, known: Sequence[str]) -> str:
    """The mail's own recipient that a report speaks of, empty where that is open.

    A mail to one is of that one, who may have had it forwarded elsewhere; nobody can have others suppressed.
    """
    if len(known) == 1:
        return known[0]
    names = {name.lower() for name in told.names}
    return next((each for each in known if each.lower() in names), "")
