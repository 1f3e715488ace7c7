"""`postroom suppression`: addresses that are never mailed."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import suppressions as actions
from postroom.channels.email import suppressions
from postroom.channels.email.suppressions import Suppression
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction

group = typer.Typer(help="Addresses that are never emailed.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The email address.")]


@group.command("list")
def list_(
    after: Annotated[str | None, typer.Option(help="Continue after this address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number.")] = 200,
    as_json: JsonFlag = False,
) -> None:
    """Suppressed addresses, in alphabetical order."""

    async def work(session: Session) -> list[Suppression]:
        return await suppressions.list_suppressions(session.conn, above=after, limit=limit)

    found = in_session(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ADDRESS", "REASON", "SINCE"),
        ((each.address, each.reason, each.created_at) for each in found),
        empty="No address is suppressed.",
    )


@group.command(epilog=examples('postroom suppression add ada@example.com --reason "asked us to stop"'))
def add(
    address: Address,
    reason: Annotated[str, typer.Option(help="Why; the attempt that skips it shows this.")],
) -> None:
    """Never email this address again, from the next attempt on."""
    made = in_transaction(lambda s: actions.add(s.conn, address=address, reason=reason, actor=s.actor))
    print(f"Suppressed {made.address}.")


@group.command(epilog=examples("postroom suppression remove ada@example.com"))
def remove(address: Address) -> None:
    """Allow emails to this address again; what was skipped meanwhile is not sent."""
    released = in_transaction(lambda s: actions.remove(s.conn, address=address, actor=s.actor))
    print(f"{released} may be mailed again.")
