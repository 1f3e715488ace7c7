"""`postroom publish`: messages into the ledger, by hand or from a script."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import typer

from postroom.base import json
from postroom.cli.input import read_input
from postroom.cli.output import JsonFlag, examples, print_json
from postroom.cli.session import Session, in_session
from postroom.outbox.lanes import Urgency
from postroom.outbox.publish import Published, answer_of, count_receivers, publish_batch, publish_many

_EXAMPLES: Final = examples(
    'postroom publish email --key welcome:42 --payload \'{"to":"a@example.com","subject":"Hi","text":"…"}\'',
    'postroom publish webhook --tenant acme --type order.paid --payload \'{"data":{"id":7}}\'',
    "postroom publish export --payload @record.json",
    "postroom publish --batch messages.json    (a list, as POST /v1/events takes it; - is standard input)",
    """postroom publish --batch messages.json --then '{"channel":"task","payload":{"task":"report"}}'""",
)

Text = str | None


class Follows(StrEnum):
    END = "end"
    SUCCESS = "success"


def register(application: typer.Typer) -> None:
    @application.command(epilog=_EXAMPLES)
    def publish(
        channel: Annotated[Text, typer.Argument(help="email, webhook, export, stripe_api or task.")] = None,
        *,
        payload: Annotated[Text, typer.Option(help="JSON, or @FILE, or - for standard input.")] = None,
        key: Annotated[Text, typer.Option(help="Idempotency key: a known one returns the first id.")] = None,
        tenant: Annotated[
            Text, typer.Option(help="The tenant; for webhooks, whose endpoints get it.")
        ] = None,
        type_: Annotated[Text, typer.Option("--type", help="The event's type, such as order.paid.")] = None,
        correlation_id: Annotated[Text, typer.Option(help="Groups what belongs together.")] = None,
        ordering_key: Annotated[
            Text, typer.Option(help="Messages with the same one are delivered in order.")
        ] = None,
        deliver_at: Annotated[Text, typer.Option(help="Not before this time: RFC 3339 with a zone.")] = None,
        expires_at: Annotated[
            Text, typer.Option(help="Not after this time: a dead letter then, with the cause expired.")
        ] = None,
        urgency: Annotated[
            Urgency | None, typer.Option(help="What goes first where much waits; bulk has a tenth.")
        ] = None,
        unique_for_s: Annotated[
            float | None, typer.Option(help="Not again with this key for so many seconds.")
        ] = None,
        replace: Annotated[bool, typer.Option("--replace", help="In place of one that still waits.")] = False,
        throttle_s: Annotated[
            float | None, typer.Option(help="One with this key in so many seconds; the last one wins.")
        ] = None,
        batch: Annotated[Text, typer.Option(help="A file with one message or a list of up to 1,000.")] = None,
        then: Annotated[
            Text, typer.Option(help="Of --batch: the task that follows once all has ended; JSON or @FILE.")
        ] = None,
        on: Annotated[
            Follows, typer.Option(help="success: it is cancelled unless all were delivered.")
        ] = Follows.END,
        as_json: JsonFlag = False,
    ) -> None:
        """Publish a message and print its id."""
        if (channel is None) == (batch is None) or (channel is not None and payload is None):
            raise typer.BadParameter("give CHANNEL with --payload, or --batch FILE")
        if then is not None or on is not Follows.END:
            if batch is None or then is None:
                raise typer.BadParameter("--then and --on are of --batch, and --on of --then")
            return _publish_batch(read_input(batch), _read_payload(then), on, as_json=as_json)
        if batch is not None:
            body = read_input(batch)
        else:
            fields = {
                "channel": channel,
                "payload": json.decode(_read_payload(payload or "")),
                "key": key,
                "tenant": tenant,
                "type": type_,
                "correlation_id": correlation_id,
                "ordering_key": ordering_key,
                "deliver_at": deliver_at,
                "expires_at": expires_at,
                "urgency": urgency,
                "unique_for_s": unique_for_s,
                "replace": replace or None,
                "throttle_s": throttle_s,
            }
            body = json.encode({name: value for name, value in fields.items() if value is not None}).encode()
        stored = _publish(body)
        if as_json:
            answers = [answer_of(published) for published in stored]
            return print_json(answers if batch is not None else answers[0])
        return _tell(stored)


def _tell(stored: list[Published]) -> None:
    for published in stored:
        print(published.id)
    for published in stored:
        if published.result in ("replaced", "skipped"):
            print(f"{published.id}: {published.result}", file=sys.stderr)
    known = sum(not published.new and published.result is None for published in stored)
    if known:
        print(f"{known} had a known key: nothing new was published for them.", file=sys.stderr)
    different = sum(published.payload_differs for published in stored)
    if different:
        print(
            f"{different} of them had another payload: what was published first stays. "
            "A new message needs a new key.",
            file=sys.stderr,
        )
    unheard = sum(published.receivers == 0 for published in stored)
    if unheard:
        print(
            f"{unheard} had no receiver: no endpoint of that tenant listens to that type "
            "(postroom endpoint list).",
            file=sys.stderr,
        )


def _publish(body: bytes) -> list[Published]:
    # Imported late: putting the adapters together costs half a second that no other command should pay.
    from postroom.api.intake.event_model import check_events, parse_events
    from postroom.wiring import open_services

    events, many = parse_events(body)

    async def work(session: Session) -> list[Published]:
        async with open_services(session.settings, session.dsn) as services:
            check_events(events, services.adapters, many=many)
        keyring = session.keyring
        async with session.change() as conn:
            published = await publish_many(conn, events, keyring=keyring)
            return await count_receivers(conn, events, published, keyring=keyring)

    return in_session(work)


def _publish_batch(messages: bytes, then: bytes, on: Follows, *, as_json: bool) -> None:
    # Imported late, as above.
    from postroom.api.intake.batches import batch_answer, check_batch, parse_batch
    from postroom.wiring import open_services

    given = {"events": json.decode(messages), "then": json.decode(then), "on": on}
    batch = parse_batch(json.encode(given).encode())

    async def work(session: Session) -> tuple[list[Published], UUID | None]:
        async with open_services(session.settings, session.dsn) as services:
            check_batch(batch, services.adapters)
        keyring = session.keyring
        async with session.change() as conn:
            published, follower = await publish_batch(
                conn, batch.events, batch.then, on=batch.on, keyring=keyring
            )
            return await count_receivers(conn, batch.events, published, keyring=keyring), follower

    published, follower = in_session(work)
    if as_json:
        return print_json(batch_answer(published, follower))
    _tell(published)
    told = f"{follower} follows: postroom messages show {follower}" if follower else "nothing follows."
    return print(told, file=sys.stderr)


def _read_payload(text: str) -> bytes:
    if text == "-":
        return read_input("-")
    return read_input(text[1:]) if text.startswith("@") else text.encode("utf-8", "surrogatepass")
