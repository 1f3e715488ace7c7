"""`postroom suppression`: addresses that are never mailed."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import suppressions as actions
from postroom.channels.email import suppressions
from postroom.channels.email.suppressions import Suppression
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction

group = typer.Typer(help="Addresses that are never mailed.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The mail address.")]


@group.command("list")
def list_(
    after: Annotated[str | None, typer.Option(help="Continue after this address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    as_json: JsonFlag = False,
) -> None:
    """Suppressed addresses, in the order of the alphabet."""

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
    reason: Annotated[str, typer.Option(help="Why; the attempt that leaves it out shows this.")],
) -> None:
    """Never mail this address again, from the next attempt on."""
    made = in_transaction(lambda s: actions.add(s.conn, address=address, reason=reason, actor=s.actor))
    print(f"Suppressed {made.address}.")


@group.command(epilog=examples("postroom suppression remove ada@example.com"))
def remove(address: Address) -> None:
    """Mail may go there again; what was left out meanwhile is not sent after all."""
    released = in_transaction(lambda s: actions.remove(s.conn, address=address, actor=s.actor))
    print(f"{released} may be mailed again.")
