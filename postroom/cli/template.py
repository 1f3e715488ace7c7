"""`postroom template`: see what a mail will look like, send one to yourself, check all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from postroom.admin import messages
from postroom.admin import templates as actions
from postroom.base.errors import InvalidInput
from postroom.base.foreign_text import visible
from postroom.base.settings import Settings, load_settings
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import OUTPUT_CHARACTERS_MAX, TemplateFailed, folders_of
from postroom.channels.email.template_check import Finding, check_template, parse_data, read_sample
from postroom.cli.input import read_input
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction

if TYPE_CHECKING:
    from postroom.outbox.ledger.story import MessageStory

T = TypeVar("T")

group = typer.Typer(help="Mail templates: preview, send a test, check.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The template's name.")]
DataOption = Annotated[
    str | None, typer.Option("--data", help="A file with the data as JSON; - is standard input.")
]
LocaleOption = Annotated[
    str | None, typer.Option("--locale", help="The language that is asked for, such as de or fr-CA.")
]
EventOption = Annotated[
    str | None, typer.Option("--event", help="A file with a Stripe event, as a route would give it.")
]
MessageOption = Annotated[
    UUID | None, typer.Option("--message", help="With the data of this message; the audit trail says so.")
]


@group.callback()
def _group() -> None:
    """Mail templates: preview, send a test, check."""


@group.command(
    epilog=examples(
        "postroom template preview receipt",
        "postroom template preview receipt --event invoice.paid.json --html receipt.html",
        "postroom template preview offer --data offer.json --json",
        "postroom template preview receipt --locale de",
    )
)
def preview(
    name: Name,
    *,
    data: DataOption = None,
    event: EventOption = None,
    message: MessageOption = None,
    locale: LocaleOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the HTML into this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Render a template as it is now, with its sample unless told otherwise. Nothing is sent.

    The text is printed. What a message said when it was sent: postroom messages show, or the console.
    """
    settings = load_settings()
    filled = _data(settings, name, data, event, message)
    done = asyncio.run(
        _with_renderer(settings, lambda renderer: renderer.render(name, filled, locale=locale))
    )
    if html is not None:
        html.write_text(done.html, encoding="utf-8")
    if as_json:
        print_json({"subject": done.subject, "text": done.text, "html": done.html})
        return
    print(f"Subject: {visible(done.subject)}\n")
    print(visible(done.text, OUTPUT_CHARACTERS_MAX))
    if html is not None:
        print(f"HTML: {html}")


@group.command(
    "send-test",
    epilog=examples(
        "postroom template send-test receipt --to me@example.com",
        "postroom template send-test receipt --to me@example.com --event invoice.paid.json",
    ),
)
def send_test(
    name: Name,
    *,
    to: Annotated[str, typer.Option("--to", help="Who gets it.")],
    data: DataOption = None,
    event: EventOption = None,
    message: MessageOption = None,
    locale: LocaleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Send one mail of a template through the ledger, with its sample unless told otherwise.

    It goes as any other would, suppressed addresses included; its type is template.test and it has the
    header X-Postroom-Test. Needs a runner.
    """
    settings = load_settings()
    filled = _data(settings, name, data, event, message)
    folders = folders_of(settings.email)
    sent = in_transaction(
        lambda s: actions.send_test(
            s.conn,
            template=name,
            data=filled,
            to=to,
            locale=locale,
            folders=folders,
            keyring=s.keyring,
            actor=s.actor,
        )
    )
    if as_json:
        print_json({"id": sent})
        return
    print(f"On its way: {sent}; see how it goes: postroom messages attempts {sent}")


@group.command(epilog=examples("postroom template check", "postroom template check receipt welcome --json"))
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; otherwise all.")] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Render templates with their samples (NAME.sample.json) and say what is wrong with them.

    A field that is missing, a long subject, links without https, no sample. Exit code 1: there is a fault.
    """
    settings = load_settings()
    folders = folders_of(settings.email)
    wanted = names or folders.begun()

    async def work(renderer: Renderer) -> list[Finding]:
        each = [await check_template(name, folders=folders, renderer=renderer) for name in wanted]
        return [finding for findings in each for finding in findings]

    found = asyncio.run(_with_renderer(settings, work))
    if as_json:
        print_json({"templates": wanted, "findings": found})
    else:
        rows = [(each.template, each.kind, each.text) for each in found]
        print_table(("TEMPLATE", "WHAT", "DETAIL"), rows, empty=f"{len(wanted)} templates, no fault.")
    if any(each.is_fault for each in found):
        raise typer.Exit(1)


async def _with_renderer(settings: Settings, work: Callable[[Renderer], Awaitable[T]]) -> T:
    renderer = Renderer(folders_of(settings.email))
    try:
        return await work(renderer)
    except TemplateFailed as failed:
        raise InvalidInput(str(failed), field="template") from None
    finally:
        await renderer.close()


def _data(
    settings: Settings, name: str, data: str | None, event: str | None, message: UUID | None
) -> dict[str, Any]:
    """What the template is filled with. Errors: `InvalidInput`, and those of a message that is asked for."""
    if sum(each is not None for each in (data, event, message)) > 1:
        raise InvalidInput("give one of --data, --event and --message")
    if data is not None:
        return parse_data(read_input(data), data)
    if event is not None:
        from postroom.channels.stripe.event import decode, parse

        parsed = parse(decode(read_input(event)))
        return {"object": parsed.object, "event": parsed.body}
    if message is not None:
        return _data_of(message)
    sample = read_sample(folders_of(settings.email), name)
    if sample is None:
        raise InvalidInput(f"{name} has no sample: write {name}.sample.json beside it, or give --data FILE")
    return sample


def _data_of(message_id: UUID) -> dict[str, Any]:
    async def work(session: Session) -> MessageStory:
        async with session.change() as conn:
            return await messages.show_payload(
                conn, message_id, keyring=session.keyring, how="preview", actor=session.actor
            )

    body = in_session(work).payload
    filled = body.get("data") if isinstance(body, dict) else None
    if not isinstance(filled, dict):
        raise InvalidInput(f"message {message_id} has no data for a template, or they were erased")
    return filled
