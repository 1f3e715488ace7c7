"""`postroom channel`: which channels are paused, and the switch."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import channels as actions
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import in_session, in_transaction
from postroom.outbox.model import Channel
from postroom.outbox.pauses import list_channels

group = typer.Typer(help="Channels: pause one, resume it.", no_args_is_help=True)

ChannelName = Annotated[Channel, typer.Argument(help="Which one.")]


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Every channel, and why it is paused, if it is."""

    found = in_session(lambda session: list_channels(session.conn))
    if as_json:
        print_json(found)
        return
    print_table(
        ("CHANNEL", "STATE", "SINCE", "BY", "REASON"),
        ((c.channel, "paused" if c.paused else "on", c.paused_at, c.paused_by, c.reason) for c in found),
        empty="There is no channel.",
    )


@group.command(epilog=examples('postroom channel pause email --reason "wrong template"'))
def pause(
    channel: ChannelName,
    reason: Annotated[str, typer.Option(help="Why; `doctor` and the console show it.")] = "",
) -> None:
    """Deliver nothing of a channel until it is resumed. Publishing goes on; what waits keeps its attempts."""
    in_transaction(lambda s: actions.pause(s.conn, channel, reason=reason, actor=s.actor))
    print(f"{channel}: paused. To go on: postroom channel resume {channel}")


@group.command(epilog=examples("postroom channel resume email"))
def resume(channel: ChannelName) -> None:
    """Deliver again what waited, the oldest first."""
    in_transaction(lambda s: actions.resume(s.conn, channel, actor=s.actor))
    print(f"{channel}: goes on.")
