"""`postroom unsubscribe`: who wants no more mail of a category."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import unsubscribes as actions
from postroom.channels.email import unsubscribes
from postroom.channels.email.unsubscribes import Unsubscribed
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction

group = typer.Typer(help="Who has unsubscribed from a category of mail.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The email address.")]
Category = Annotated[str, typer.Option(help="The category, as the payload names it.")]
Tenant = Annotated[str, typer.Option(help="The tenant; none by default.")]


@group.command("list", epilog=examples("postroom unsubscribe list --address ada@example.com"))
def list_(
    address: Annotated[str | None, typer.Option(help="Only this address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number.")] = 200,
    as_json: JsonFlag = False,
) -> None:
    """Who has unsubscribed from what, in alphabetical order."""

    async def work(session: Session) -> list[Unsubscribed]:
        return await unsubscribes.list_unsubscribed(session.conn, address=address, limit=limit)

    found = in_session(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ADDRESS", "TENANT", "CATEGORY", "SINCE", "BY THE LINK OF"),
        ((each.address, each.tenant, each.category, each.created_at, each.message_id) for each in found),
        empty="Nobody has unsubscribed.",
    )


@group.command(epilog=examples("postroom unsubscribe add ada@example.com --category offers --tenant acme"))
def add(address: Address, category: Category, tenant: Tenant = "") -> None:
    """Note the wish of somebody who asked by other ways than the link in a mail."""
    kept = in_transaction(
        lambda s: actions.add(s.conn, address=address, tenant=tenant, category=category, actor=s.actor)
    )
    print(f"{kept} gets no more {category} mail.")


@group.command(epilog=examples("postroom unsubscribe remove ada@example.com --category offers --tenant acme"))
def remove(address: Address, category: Category, tenant: Tenant = "") -> None:
    """Mail of this category may go there again, because the person asked for it."""
    kept = in_transaction(
        lambda s: actions.remove(s.conn, address=address, tenant=tenant, category=category, actor=s.actor)
    )
    print(f"{kept} may get {category} mail again.")
