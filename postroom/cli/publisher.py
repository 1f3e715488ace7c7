"""`postroom publisher`: what the login roles of your applications may publish by SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import publishers as actions
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import in_session, in_transaction
from postroom.outbox.model import OUTBOUND, Channel

HELP = "What the login roles of your applications may publish by SQL."

group = typer.Typer(help=HELP, no_args_is_help=True)

Role = Annotated[str, typer.Argument(help="The role that your application logs in as.")]
Tenants = Annotated[
    list[str] | None, typer.Option(help="For this tenant; repeat it for more. All unless told.")
]
Channels = Annotated[
    list[Channel] | None,
    typer.Option(help=f"On this channel, of {', '.join(OUTBOUND)}; repeat it for more. All unless told."),
]


@group.command(
    epilog=examples(
        "postroom publisher allow shop --channel email --channel webhook",
        "postroom publisher allow acme_app --tenant acme",
    )
)
def allow(role: Role, tenant: Tenants = None, channel: Channels = None) -> None:
    """Let a role publish this and nothing else. What has no tenant is within no list of tenants."""
    in_transaction(lambda s: actions.allow(s.conn, role, tenants=tenant, channels=channel, actor=s.actor))
    print(f"{role} publishes within that from now on.")


@group.command(epilog=examples("postroom publisher allow-all shop"))
def allow_all(role: Role) -> None:
    """Let a role publish everything again."""
    in_transaction(lambda s: actions.allow_all(s.conn, role, actor=s.actor))
    print(f"{role} publishes everything from now on.")


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Roles with a limit. Every other one that may publish at all publishes everything."""
    limits = in_session(lambda session: actions.list_limits(session.conn))
    if as_json:
        print_json(limits)
        return
    print_table(
        ("ROLE", "TENANTS", "CHANNELS", "CHANGED"),
        (
            (
                each.role,
                " ".join(each.tenants or ["all"]),
                " ".join(each.channels or ["all"]),
                each.changed_at,
            )
            for each in limits
        ),
        empty="No role has a limit: whoever may publish publishes everything.",
    )
