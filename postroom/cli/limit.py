"""`postroom limit`: how much of a channel may go out, all runners together."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import limits as actions
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import in_session, in_transaction
from postroom.outbox.limits import LimitKey, list_limits
from postroom.outbox.model import Channel

group = typer.Typer(
    help="Limits: starts a second and deliveries in flight, of all runners together.", no_args_is_help=True
)

ChannelName = Annotated[Channel, typer.Option("--channel", help="Which channel.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
Destination = Annotated[
    str | None,
    typer.Option(
        help="Only to this one: an endpoint's id, the host of a webhook's url, an export's dataset, "
        "the domain of a mail's first recipient, a task's name."
    ),
]


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Every limit, whether something waits for it now, who set it and why."""
    found = in_session(lambda session: list_limits(session.conn))
    if as_json:
        print_json(found)
        return
    print_table(
        ("CHANNEL", "FOR", "A SECOND", "IN FLIGHT", "REACHED", "SINCE", "BY", "REASON"),
        (
            (
                each.channel,
                each.scope,
                each.per_second,
                f"{each.in_flight_now} of {each.in_flight}" if each.in_flight else None,
                each.reached_at,
                each.set_at,
                each.set_by,
                each.why,
            )
            for each in found
        ),
        empty="There is no limit.",
    )


@group.command(
    "set",
    epilog=examples(
        'postroom limit set --channel email --per-second 50 --reason "our provider\'s limit"',
        "postroom limit set --channel email --destination gmail.com --per-second 20 --in-flight 5",
        "postroom limit set --channel webhook --tenant acme --per-second 20 --in-flight 5",
        "postroom limit set --channel export --destination invoices --in-flight 1",
    ),
)
def set_(
    *,
    channel: ChannelName,
    tenant: Tenant = None,
    destination: Destination = None,
    per_second: Annotated[float | None, typer.Option(help="How many may start in a second.")] = None,
    in_flight: Annotated[int | None, typer.Option(help="How many may be under way at once.")] = None,
    reason: Annotated[str, typer.Option(help="Why; `limit list` and the console show it.")] = "",
) -> None:
    """Limit a channel, a tenant or a destination, in place of a limit for the same. What exceeds it waits."""
    in_transaction(
        lambda s: actions.set_limit(
            s.conn,
            LimitKey(channel, tenant, destination),
            per_second=per_second,
            in_flight=in_flight,
            reason=reason,
            actor=s.actor,
        )
    )
    print(f"{channel}: limited. What waits for it: postroom limit list")


@group.command(epilog=examples("postroom limit remove --channel webhook --tenant acme"))
def remove(channel: ChannelName, tenant: Tenant = None, destination: Destination = None) -> None:
    """End a limit; what waited for it goes out. What the code of a task declares holds again then."""
    key = LimitKey(channel, tenant, destination)
    in_transaction(lambda s: actions.remove_limit(s.conn, key, actor=s.actor))
    print(f"{channel}: that limit is gone.")
