"""Delivers mail: payload, recipients, MIME message, SMTP, outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiosmtplib import SMTPRecipientsRefused

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidInput, InvalidPayload, SettingsInvalid, Unavailable
from postroom.base.log import get_logger
from postroom.channels.email import address, mime, payload, store
from postroom.channels.email.answer import mail_id
from postroom.channels.email.bounces.imap import parse_place
from postroom.channels.email.bounces.return_path import return_path
from postroom.channels.email.connections import PLACE_WITHIN_S, Connections, NoPlace
from postroom.channels.email.events.metadata import with_metadata
from postroom.channels.email.links import LinkDead, Links, LinkUnanswered
from postroom.channels.email.mime import Content, Stamp
from postroom.channels.email.outcomes import DETAIL_CHARACTERS_MAX, Failure, Phase, outcome_of
from postroom.channels.email.payload import Email, first_domain
from postroom.channels.email.renderer import RENDER_S, START_S, Renderer
from postroom.channels.email.routes import Route, Routes, may_take_another, open_routes
from postroom.channels.email.senders import Senders
from postroom.channels.email.smtp import SmtpFailed
from postroom.channels.email.store import Excluded, Lookup
from postroom.channels.email.template import Rendered, TemplateFailed, folders_of
from postroom.channels.email.template_check import Finding, check_template
from postroom.channels.email.template_store import TemplateStore
from postroom.channels.email.transaction import BODY_BYTES_PER_S, Envelope, Receipt, send
from postroom.channels.email.unsubscribe_link import NO_LINKS, PATH, can_link, with_link
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.lanes import URGENT_STATES
from postroom.outbox.model import (
    Answer,
    Cause,
    Channel,
    Claim,
    Deferred,
    Delivered,
    Rejected,
    RetryLater,
    Suppressed,
    Trip,
    Unknown,
    Wait,
    rejected_payload,
)
from postroom.resilience.batcher import Batcher
from postroom.resilience.circuits import Circuits

_BASE64_GROWTH = 1.4
_SPARE_S = 15.0
NAMED_MAX = 5
REASON_SHOWN = 60
CLAIMED_AHEAD = 12
"""So many mails are held for each connection, so that a claim is worth its query."""
PREPARED_AHEAD = 8
"""So many are under way for each, one of them on the wire: look-ups and renderings have several to share."""
GATHER_S = 0.004
LINKED_S = 40.0
"""For all attachments of a mail that are fetched."""
FETCHING_MAX = 8
"""So many mails fetch attachments at once: the places of all others are not for waiting for Stripe."""
_BUSY = Deferred(Wait.DESTINATION_FULL, "every connection to the mail server is taken")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Who is still to be mailed: addresses, and their positions in the payload's own list.

    `left_out` says who else is suppressed, with masked addresses; it goes into the attempt's detail.
    """

    addresses: tuple[str, ...]
    positions: tuple[int, ...]
    left_out: str = ""


class EmailAdapter:
    """Sends one message as one mail to up to 50 recipients.

    Promise: nobody is mailed twice because somebody else of the same mail was refused. Does not promise:
    a single copy after `Unknown` or a crash; the Message-ID is then the same, so receivers can tell.
    """

    channel = Channel.EMAIL
    circuit: str | None = "email"

    def __init__(
        self,
        *,
        settings: EmailSettings,
        pool: Pool,
        clock: Clock,
        keyring: Keyring = NO_KEYS,
        circuits: Circuits | None = None,
        links: Links | None = None,
    ) -> None:
        """`circuits`: with several routes, a breaker for each. `links`: what fetches attachments.

        Errors: `SettingsInvalid` for an url, sender, certificate file or folder that cannot work.
        """
        self._settings = settings
        self._pool = pool
        self._clock = clock
        self._circuits = circuits
        self._links = links or Links()
        self._fetching = asyncio.Semaphore(FETCHING_MAX)
        self._senders = Senders(settings)
        if settings.templates_dir is not None and not settings.templates_dir.is_dir():
            raise SettingsInvalid(["POSTROOM_EMAIL__TEMPLATES_DIR: no such folder"])
        self.folders = folders_of(settings)
        self._lookups: Batcher[Lookup, list[Excluded]] = Batcher(self._look_up, gather_s=GATHER_S)
        self._renderer = Renderer(self.folders, gather_s=GATHER_S)
        self._templates = TemplateStore(pool=pool, clock=clock, keyring=keyring)
        self._routes = open_routes(settings, clock=clock, circuits=circuits, pool=pool)
        if settings.bounces_url is not None:
            parse_place(
                settings.bounces_url, tls_ca=settings.tls_ca
            )  # whoever starts with a wrong one is told
        routes = settings.all_routes().values()
        connections_max = sum(route.connections_max or settings.connections_max for route in routes)
        connections_max = connections_max or settings.connections_max
        self.concurrency_max = CLAIMED_AHEAD * connections_max
        self.per_destination_max = PREPARED_AHEAD * connections_max
        largest_s = settings.attachments_bytes_max * _BASE64_GROWTH / BODY_BYTES_PER_S
        # Rendering, a place, all before the body, and the body: each may wait, and has its own limit.
        rendering_s = START_S + RENDER_S * self.per_destination_max + LINKED_S
        self.timeout_s = rendering_s + largest_s + _SPARE_S
        self.timeout_s += (PLACE_WITHIN_S + settings.timeout_s * 2) * max(1, len(routes))

    async def move(self, settings: EmailSettings) -> None:
        """Send through these servers, with these logins, from the next mail on. Errors: `SettingsInvalid`."""
        before = self._routes
        self._routes = open_routes(settings, clock=self._clock, circuits=self._circuits, pool=self._pool)
        await before.close()

    async def start(self) -> None:
        """Nothing is opened ahead: the first mail opens the first connection."""

    async def close(self) -> None:
        await self._lookups.close()
        await self._renderer.close()
        await self._routes.close()

    def check(self, payload: dict[str, Any]) -> None:
        """Errors: `InvalidPayload` naming the field. Looks at no network; renders nothing."""
        email = self._parse(payload)
        if email.category is not None and not can_link(self._settings):
            raise InvalidPayload(f"{NO_LINKS}, so a mail cannot have a category", field="category")
        name = email.template
        if name is not None and not self.folders.has(name):
            known = ", ".join(self.folders.names())
            raise InvalidPayload(f"unknown template {name[:100]!r}; known are {known}", field="template")

    def limit_name(self, payload: str) -> str | None:
        """Limits of a destination are for the domain of the first recipient."""
        return first_domain(payload)

    async def preview(self, body: dict[str, Any], *, content_hash: bytes | None = None) -> Content:
        """The words of a mail as its receivers see them; nothing is sent.

        `content_hash`: as it was when it was tried; otherwise as its template is now.
        Errors: `InvalidPayload`, `TemplateFailed`, `Unavailable`, the database's own.
        """
        email = self._parse(body)
        if email.category is not None:  # a link that works is its receiver's alone
            email = email.with_data(unsubscribe_url=PATH)
        if email.template is None:
            return Content(email.subject, email.text, email.html)
        done = await self._render(email.template, email, content_hash)
        return Content(done.subject, done.text, done.html)

    async def render(self, name: str, data: dict[str, Any], *, locale: str | None = None) -> Rendered:
        """A template as it is now. Errors: `TemplateFailed`, `Unavailable`."""
        return await self._renderer.render(name, data, locale=locale)

    async def check_template(self, name: str) -> list[Finding]:
        """What is wrong with a template. Errors: `Unavailable`."""
        return await check_template(name, folders=self.folders, renderer=self._renderer)

    async def deliver(self, claim: Claim) -> Answer:
        """Try once; see `outcomes` for what failures mean. Errors: the database's own, before sending."""
        routes = self._routes  # whoever moves elsewhere meanwhile is not waited for
        if not routes.all:
            return Deferred(Wait.NOT_CONFIGURED, "POSTROOM_EMAIL__URL is not set")
        try:
            email = payload.parse_text(
                claim.payload, attachments_bytes_max=self._settings.attachments_bytes_max
            )
            if email.category is not None and not can_link(self._settings):
                return Deferred(Wait.NOT_CONFIGURED, NO_LINKS)
        except InvalidInput as error:
            dead = rejected_payload(error)
            return replace(dead, reason=address.mask(dead.reason))
        wanted = await self._wanted(claim, email)
        if not isinstance(wanted, _Wanted):
            return wanted
        try:
            if email.links and self._fetching.locked():
                return Deferred(Wait.DESTINATION_FULL, "other mails fetch their attachments first")
            email = with_link(email, self._settings, claim.message_id, claim.tenant)
            email = await self._with_linked(email)
            content, made_from = await self._content(email, claim.content_hash)
        except TemplateFailed as failed:
            return Rejected(address.mask(str(failed)), code="template", cause=Cause.OURS)
        except LinkDead as dead:
            return Rejected(str(dead), code="attachment", cause=Cause.OURS)
        except LinkUnanswered as error:
            return RetryLater(str(error), code="attachment", cause=Cause.PASSING, trip=Trip.NO)
        except Unavailable as error:
            return RetryLater(error.detail, code="renderer", cause=Cause.OURS, trip=Trip.NO)
        answer = await self._by_one_route(routes, claim, wanted, partial(self._body, claim, email, content))
        return answer if isinstance(answer, Deferred) else _noting(wanted.left_out, made_from, answer)

    async def _by_one_route(
        self,
        routes: Routes,
        claim: Claim,
        wanted: _Wanted,
        body_for: Callable[[str | None], tuple[bytes, bool]],
    ) -> Delivered | Failure | Deferred:
        """Hand it to the first server that takes it; to another one only while none has it."""
        back = return_path(self._settings, claim.message_id, claim.since_s or claim.created_s)
        sender = back or self._senders.of(claim.tenant).address.addr_spec
        stays = await self._may_have_gone(routes, claim)
        found = routes.of(claim.message_id, claim.tenant, stays=stays)
        answer: Delivered | Failure | Deferred = _BUSY
        busy: Deferred | None = None
        turns = [(route, False) for route in found]
        urgent = claim.state in URGENT_STATES
        for route, patient in turns:
            if not_now := await (routes.turn(route, urgent=urgent) if patient else routes.admit(route)):
                if not_now.wait is Wait.DESTINATION_FULL:
                    busy = not_now
                    if len(turns) == len(found):
                        turns.append((route, True))  # where no other one takes it, it waits
                answer = not_now if isinstance(answer, Deferred) else answer
                continue
            try:
                async with route.connections.place(urgent=urgent):
                    body, utf8 = body_for(route.settings.provider)  # of no more mails than have a place
                    envelope = Envelope(sender, wanted.addresses, utf8)
                    receipt = await self._send(route.connections, envelope, body)
            except NoPlace:
                busy = _BUSY
            except SmtpFailed as failed:
                failure = outcome_of(failed.error, failed.phase)
                await routes.went(route, failure)
                answer = _via(route, failure)
                if not may_take_another(failure):
                    return answer
            else:
                await routes.went(route, None)
                return _via(route, await self._taken(claim, wanted, receipt))
        if busy is not None:
            return busy  # a server that works has no room just now: no reason to give up an attempt
        if routes.several and isinstance(answer, RetryLater) and (stays or found[0].settings.tenants):
            answer = replace(answer, trip=Trip.NO)  # others have other routes
        return answer

    async def _may_have_gone(self, routes: Routes, claim: Claim) -> str | None:
        if not (routes.several and claim.attempts):
            return None
        async with self._pool.acquire() as conn:
            return await store.find_route(conn, claim.message_id, claim.n, claim.created_s)

    async def prove_login(self) -> None:
        """Open a fresh connection by each route, log in, say NOOP.

        Errors: `Unavailable` with what is wrong, where none of them works.
        """
        if not self._routes.all:
            raise Unavailable("POSTROOM_EMAIL__URL is not set")
        faults = await self._routes.faults(within_s=self._settings.timeout_s)
        if len(faults) == len(self._routes.all):
            raise Unavailable("; ".join(faults.values()))

    def _parse(self, body: dict[str, Any]) -> Email:
        return payload.parse(body, attachments_bytes_max=self._settings.attachments_bytes_max)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.timeout_s

    async def _wanted(self, claim: Claim, email: Email) -> _Wanted | Suppressed | Delivered:
        """Leave out who is suppressed and who has this mail from an earlier attempt."""
        everyone = mime.recipients(email)
        excluded = await self._lookups.submit(
            Lookup(claim.message_id, claim.n, everyone, claim.tenant, email.category)
        )
        out = {each.recipient for each in excluded}
        positions = tuple(index for index in range(len(everyone)) if index not in out)
        if positions:
            return _Wanted(
                tuple(everyone[index] for index in positions), positions, _left_out(everyone, excluded)
            )
        if any(each.reason is None for each in excluded):
            return Delivered(detail="everyone else had it from an earlier attempt")
        return Suppressed(f"every recipient is suppressed: {excluded[0].reason}")

    async def _look_up(self, lookups: Sequence[Lookup]) -> list[list[Excluded] | Exception]:
        async with self._pool.acquire() as conn:
            return [*await store.list_excluded(conn, lookups)]

    async def _content(self, email: Email, kept: bytes | None) -> tuple[Content, bytes | None]:
        """Returns: the words, and the hash of the template's version, which the database has by then."""
        if email.template is None:
            return Content(email.subject, email.text, email.html), None
        done = await self._render(email.template, email, kept)
        made_from = kept or await self._templates.note(email.template, done.files)
        return Content(done.subject, done.text, done.html), made_from

    async def _with_linked(self, email: Email) -> Email:
        """With what its links lead to, one after the other. Errors: `LinkDead`, `LinkUnanswered`."""
        if not email.links:
            return email
        files = email.attachments
        try:
            async with self._fetching, asyncio.timeout(LINKED_S):
                for link in email.links:
                    left = self._settings.attachments_bytes_max - sum(len(each.content) for each in files)
                    files = (*files, await self._links.fetch(link, bytes_max=left))
        except TimeoutError:
            raise LinkUnanswered(f"attachments were not there within {LINKED_S:g} s") from None
        return replace(email, attachments=files, links=())

    async def _render(self, name: str, email: Email, kept: bytes | None) -> Rendered:
        files = await self._templates.fetch(name, kept) if kept else None
        return await self._renderer.render(name, email.data, files=files, locale=list(email.locale))

    def _body(self, claim: Claim, email: Email, content: Content, provider: str | None) -> tuple[bytes, bool]:
        email = with_metadata(email, self._settings, claim.message_id, provider=provider)
        stamp = Stamp(claim.message_id, claim.n, claim.correlation_id, self._clock.now())
        sender = self._senders.of(claim.tenant)
        if email.reply_to is None and sender.reply_to is not None:
            email = replace(email, reply_to=sender.reply_to)
        utf8 = mime.needs_utf8(email)
        return mime.write(email, content, sender=sender.address, stamp=stamp, utf8=utf8), utf8

    async def _send(self, connections: Connections, envelope: Envelope, body: bytes) -> Receipt:
        deadline, timeout_s = self._deadline(), self._settings.timeout_s
        while True:
            try:
                async with connections.take(deadline) as session:
                    return await send(session, envelope, body, deadline=deadline, timeout_s=timeout_s)
            except SmtpFailed as failed:
                if not failed.stale:  # a server that ends a session after so many mails refused nothing
                    raise

    async def _taken(self, claim: Claim, wanted: _Wanted, receipt: Receipt) -> Delivered | Failure:
        """The mail is out. Whoever was refused keeps the message alive, for them alone."""
        if not receipt.refused:
            # The server's id of the mail is in it, which later events about it are matched by.
            sender = self._senders.of(claim.tenant).address
            answer = address.mask_these(receipt.answer, (*wanted.addresses, sender.addr_spec))
            return Delivered(str(receipt.code), answer)
        refused = {each.recipient for each in receipt.refused}
        accepted = [
            position
            for position, one in zip(wanted.positions, wanted.addresses, strict=True)
            if one not in refused
        ]
        log.warning(
            "email.partly_refused",
            message_id=str(claim.message_id),
            accepted=len(accepted),
            refused=len(refused),
        )
        try:
            async with transaction(self._pool) as conn:
                await store.insert_accepted(conn, claim.message_id, claim.n, accepted)
        except DATABASE_AWAY:
            return Unknown("some recipients were accepted, and the database was away to remember which")
        return _of_the_rest(outcome_of(SMTPRecipientsRefused(list(receipt.refused)), Phase.RECIPIENT))


def _via(route: Route, answer: Delivered | Failure) -> Delivered | Failure:
    """It says which route it took, if it has a name, and the server's id of the mail, before what it said:
    `find_route.sql` and `list_attempts.sql` read them."""
    known_as = mail_id(answer.detail or "") if isinstance(answer, Delivered) else None
    head = ", ".join(filter(None, (route.name and f"via {route.name}", known_as and f"id {known_as}")))
    detail = ": ".join(filter(None, (head, answer.detail)))[:DETAIL_CHARACTERS_MAX]
    if isinstance(answer, Delivered):
        return Delivered(answer.code, detail, answer.content_hash)
    return replace(answer, detail=detail or None)


def _of_the_rest(failure: Failure) -> Failure:
    return replace(failure, reason=f"some recipients of several: {failure.reason}")


def _left_out(everyone: Sequence[str], excluded: Sequence[Excluded]) -> str:
    """The first five by name, or fewer where they are long."""
    named = [
        f"{address.mask(everyone[each.recipient])} ({each.reason[:REASON_SHOWN]})"
        for each in excluded
        if each.reason is not None
    ]
    if not named:
        return ""
    shown = ", ".join(named[:NAMED_MAX]) + (
        f", and {len(named) - NAMED_MAX} more" if named[NAMED_MAX:] else ""
    )
    return address.mask(f"suppressed and left out, {len(named)} of {len(everyone)}: {shown}")


def _noting(left_out: str, made_from: bytes | None, answer: Delivered | Failure) -> Delivered | Failure:
    """The answer with what its attempt keeps beside it."""
    detail = answer.detail
    if left_out:
        said, note = detail or "", left_out[: DETAIL_CHARACTERS_MAX // 2]
        detail = f"{said[: DETAIL_CHARACTERS_MAX - len(note) - 2]}; {note}".removeprefix("; ")
    if isinstance(answer, Delivered):
        return Delivered(answer.code, detail, made_from)
    return replace(answer, detail=detail, content_hash=made_from)
