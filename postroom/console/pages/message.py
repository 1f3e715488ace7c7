"""One message: its whole chain on a timeline, and what can be done about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from uuid import UUID

from markupsafe import escape
from starlette.responses import HTMLResponse, Response

from postroom.admin import messages as actions
from postroom.admin import replay as replays
from postroom.admin import stripe
from postroom.admin.replay import replay_one
from postroom.admin.tokens import Scope
from postroom.base.db import Connection
from postroom.base.errors import PostroomError
from postroom.channels.email.template import TemplateFailed
from postroom.channels.exports.upkeep import find_file
from postroom.channels.stripe.reading import fetch_event
from postroom.channels.webhooks.receivers import fetch_receivers
from postroom.console.access.security import PREVIEW_POLICY, Form, field, protect
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import visible
from postroom.console.view.parameters import path_id
from postroom.console.view.payload_view import curl_command, mail_content, mail_origin
from postroom.console.view.timeline import moments
from postroom.outbox.ledger.messages import Status, fetch_topics
from postroom.outbox.ledger.resend import RESENDABLE
from postroom.outbox.ledger.story import CHAIN_MAX, ROWS_MAX, MessageStory, fetch_happenings, fetch_message
from postroom.outbox.model import Channel

LETTER_HTML_MAX = 1_000_000


async def message(request: PageRequest) -> Response:
    """The payload stays hidden until somebody asks for it."""
    async with request.console.snapshot() as conn:
        message_id, reach = path_id(request.http), request.actor.reach
        story = await fetch_message(conn, message_id, keyring=None, reach=reach)
        return await _page(request, conn, story)


async def reveal(request: PageRequest, _form: Form) -> Response:
    """The same page with the payload; the audit trail says who looked."""
    async with request.console.transaction() as conn:
        story = await _shown(request, conn, "reveal")
        curl = await _curl(request, conn, story) if story.message.channel == Channel.WEBHOOK else None
        return await _page(request, conn, story, revealed=True, curl=curl)


async def preview(request: PageRequest) -> Response:
    """A mail as its receiver sees it, for a frame without scripts, forms and foreign images; audited."""
    async with request.console.transaction() as conn:
        story = await _shown(request, conn, "preview")
    try:
        content = await mail_content(request.console.adapters[Channel.EMAIL], story)
    except (PostroomError, TemplateFailed) as error:
        body = f"<p>It cannot be shown: {escape(visible(error, 1_000))}</p>"
    else:
        body = content.html[:LETTER_HTML_MAX] if content.html else f"<pre>{escape(content.text or '')}</pre>"
    response = protect(HTMLResponse(body), policy=PREVIEW_POLICY)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


async def replay(request: PageRequest, form: Form) -> Response:
    """Every dead letter of the message lives again."""
    message_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count = await replay_one(conn, message_id, fresh=bool(field(form, "fresh")), actor=request.actor)
    return request.back(f"/console/messages/{message_id}", f"Replayed: {count} on the way.")


async def resend(request: PageRequest, form: Form) -> Response:
    """Everybody who has it gets it once more, under the same id."""
    message_id = path_id(request.http)
    async with request.console.transaction() as conn:
        fresh = bool(field(form, "fresh"))
        count = await replays.resend(conn, message_id, fresh=fresh, actor=request.actor)
    return request.back(f"/console/messages/{message_id}", f"Sent again: {count} on the way.")


async def looked_up(request: PageRequest, form: Form) -> Response:
    """Somebody has looked whether Stripe has done what a dead call wanted."""
    message_id, done = path_id(request.http), field(form, "done") == "yes"
    async with request.console.transaction() as conn:
        await stripe.looked_up(conn, message_id, done=done, actor=request.actor)
    said = "It counts as done." if done else "It is on its way, under a new key."
    return request.back(f"/console/messages/{message_id}", said)


async def cancel(request: PageRequest, _form: Form) -> Response:
    """What has not been sent is not sent any more."""
    message_id = path_id(request.http)
    async with request.console.transaction() as conn:
        done = await actions.cancel(conn, message_id, actor=request.actor)
    return request.back(f"/console/messages/{message_id}", done.sentence)


async def deliver_now(request: PageRequest, _form: Form) -> Response:
    """Do not wait for the next try."""
    message_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count = await actions.deliver_now(conn, message_id, actor=request.actor)
    return request.back(f"/console/messages/{message_id}", f"Due now: {count}.")


async def _shown(request: PageRequest, conn: Connection, how: Literal["reveal", "preview"]) -> MessageStory:
    keyring, message_id = request.console.keyring, path_id(request.http)
    return await actions.show_payload(conn, message_id, keyring=keyring, how=how, actor=request.actor)


async def _page(
    request: PageRequest,
    conn: Connection,
    story: MessageStory,
    *,
    revealed: bool = False,
    curl: str | None = None,
) -> Response:
    chain = sorted([story.message, *story.chain], key=lambda entry: entry.id)
    happened = await fetch_happenings(conn, chain)
    own = story.message.id
    still = [each for each in story.open_deliveries if each.worker is None]
    runs = story.message.channel == Channel.TASK and story.open_deliveries
    named = [each.destination for each in happened.open_deliveries]
    named += [each.destination for each in happened.dead_letters]
    named += [each.destination for each in happened.attempts if each.destination]
    receivers = await fetch_receivers(conn, set(named))
    origin = await mail_origin(conn, request.console.adapters[Channel.EMAIL], story, request.console.keyring)
    topics = await fetch_topics(conn, [entry.id for entry in chain])
    return request.page(
        "message.html",
        active="messages",
        story=story,
        message=story.message,
        event=await fetch_event(conn, own) if story.message.channel == Channel.STRIPE else None,
        file=await find_file(conn, message_id=own) if story.message.channel == Channel.EXPORT else None,
        one_day=timedelta(days=1),
        chain=chain,
        chain_cut=len(story.chain) >= CHAIN_MAX,
        rows_cut=happened.truncated,
        rows_max=ROWS_MAX,
        moments=moments(chain, happened, topics),
        open_deliveries=happened.open_deliveries,
        dead_letters=story.dead_letters,
        receivers=receivers,
        origin=origin,
        topic=story.message.type or topics.get(own, "message"),
        may_deliver_now=any(not (each.parked or each.awaits_batch) for each in still)
        and request.may(Scope.OUTBOX_REPLAY),
        may_cancel=bool(still or runs) and request.may(Scope.OUTBOX_CANCEL),
        place=f"/console/messages/{own}",
        revealed=revealed,
        may_reveal=request.may(Scope.PAYLOAD_READ),
        subject=_subject(story) if revealed else None,
        curl=curl,
        may_resend=request.may(Scope.OUTBOX_REPLAY)
        and story.message.channel in RESENDABLE
        and any(each.outcome == "delivered" for each in story.attempts),
        may_replay=request.may(Scope.OUTBOX_REPLAY) and story.message.status is Status.DEAD,
        is_call=story.message.channel == Channel.STRIPE_API,
    )


async def _curl(request: PageRequest, conn: Connection, story: MessageStory) -> str | None:
    """None when it has no receiver that could be named."""
    known = [each.endpoint_id for each in story.open_deliveries]
    known += [each.endpoint_id for each in story.dead_letters]
    endpoint_ids: list[UUID] = [each for each in known if each is not None]
    try:
        return await curl_command(
            conn,
            story,
            endpoint_id=endpoint_ids[0] if endpoint_ids else None,
            keyring=request.console.keyring,
            now=request.console.clock.now(),
        )
    except PostroomError:
        return None


def _subject(story: MessageStory) -> str | None:
    payload = story.payload
    subject = payload.get("subject") if isinstance(payload, dict) else None
    return subject if isinstance(subject, str) else None
