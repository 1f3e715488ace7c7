"""`postroom routes`: what the routes file and the handlers say, tried without a database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from postroom.base import json
from postroom.base.errors import InvalidInput
from postroom.base.foreign_text import visible
from postroom.base.settings import load_settings
from postroom.cli.input import read_input
from postroom.cli.output import JsonFlag, examples, print_json, print_table

if TYPE_CHECKING:  # all channels are behind them, which no other command should pay for
    from postroom.channels.stripe.effects import Effects
    from postroom.channels.stripe.event import Event
    from postroom.channels.stripe.rehearsal import Rehearsal
    from postroom.channels.stripe.routes_file import Checks

T = TypeVar("T")

group = typer.Typer(help="The routes file and the handlers, tried without a database.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--file", help="Instead of POSTROOM_ROUTES.")]
HandlersOption = Annotated[Path | None, typer.Option("--handlers", help="Instead of POSTROOM_HANDLERS.")]

_CHECK_EXAMPLES: Final = examples("postroom routes check", "postroom routes check --file routes.toml")
_TEST_EXAMPLES: Final = examples(
    "postroom routes test --event invoice.paid.json",
    "postroom routes test --event trial_will_end.json --customer customer.json",
    "stripe events retrieve evt_1Q… | postroom routes test --file routes.toml --event - --json",
)


@group.callback()
def _group() -> None:
    """The routes file and the handlers, tried without a database."""


@group.command(epilog=_CHECK_EXAMPLES)
def check(file: FileOption = None, handlers: HandlersOption = None, as_json: JsonFlag = False) -> None:
    """List every route with the key of its messages and what it sends. Exit code 2: faults, with lines."""

    from postroom.channels.stripe.rehearsal import list_effects

    async def work(effects: Effects, _checks: Checks) -> Effects:
        return effects

    listed = list(list_effects(_with_effects(file, handlers, work)))
    if as_json:
        print_json(listed)
        return
    print_table(
        ("ON", "KEY", "SENDS", "FLAGS"),
        ((each.on, each.key, each.sends, each.flags or None) for each in listed),
        empty="There is no route and no handler.",
    )


@group.command("test", epilog=_TEST_EXAMPLES)
def rehearse_event(
    event: Annotated[str, typer.Option(help="A file with a Stripe event as JSON; - is standard input.")],
    customer: Annotated[
        str | None, typer.Option(help="A file with the customer as JSON, for routes that look at it.")
    ] = None,
    file: FileOption = None,
    handlers: HandlersOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the messages that an event would cause. Nothing is stored or sent.

    Exit code 1: the event would fail, or a message would end as a dead letter.
    """
    from postroom.channels.stripe.rehearsal import rehearse

    parsed = _read_event(event, customer)

    async def work(effects: Effects, checks: Checks) -> Rehearsal:
        return await rehearse(effects, parsed, checks)

    told = _with_effects(file, handlers, work)
    if as_json:
        print_json(told)
    else:
        _print(parsed, told)
    if told.faults:
        raise typer.Exit(1)


def _with_effects(
    file: Path | None, handlers: Path | None, work: Callable[[Effects, Checks], Awaitable[T]]
) -> T:
    """Load both files as every process does, with the environment's settings. Errors: `SettingsInvalid`."""
    from postroom.wiring import open_effects

    settings = load_settings()
    named = {
        "routes": file or settings.routes,
        "handlers": (str(handlers),) if handlers else settings.handlers,
    }
    if not any(named.values()):
        raise InvalidInput(
            "there is nothing to read: give --file, or set POSTROOM_ROUTES or POSTROOM_HANDLERS"
        )

    async def opened() -> T:
        async with open_effects(settings.model_copy(update=named)) as (effects, checks):
            return await work(effects, checks)

    return asyncio.run(opened())


def _read_event(name: str, customer: str | None) -> Event:
    from msgspec.structs import replace

    from postroom.channels.stripe.event import decode, parse

    event = parse(decode(read_input(name)))
    return event if customer is None else replace(event, buyer=decode(read_input(customer)))


def _print(event: Event, told: Rehearsal) -> None:
    if not told.messages and not told.faults:
        print(f"{visible(event.type or 'An event without a type')} causes no message here.")
    for message in told.messages:
        print(f"{visible(message.channel)}  {visible(message.key)}")
        beside = {name: getattr(message, name) for name in ("tenant", "type", "ordering_key", "deliver_at")}
        for name, value in beside.items():
            if value is not None:
                print(f"    {name}: {visible(value)}")
        print(f"    {visible(json.encode(message.payload))}")
    for note in told.notes:
        print(f"Note: {visible(note)}.")
    for fault in told.faults:
        print(visible(fault), file=sys.stderr)
