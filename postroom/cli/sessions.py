"""`postroom sessions`: who is signed in to the console."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import sessions as actions
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import in_session, in_transaction

group = typer.Typer(help="Who is signed in to the console; end a session.", invoke_without_command=True)


@group.callback()
def sessions(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Who is signed in to the console; end a session."""
    if context.invoked_subcommand is None:
        list_(as_json=as_json)


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Sessions that are not over, newest first: by a token, a link or OpenID Connect."""
    found = in_session(lambda session: actions.list_sessions(session.conn))
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "WHO", "SCOPES", "SIGNED IN", "SEEN"),
        (
            (each.id, each.actor, " ".join(sorted(each.scopes)), each.created_at, each.seen_at)
            for each in found
        ),
        empty="Nobody is signed in.",
    )


@group.command(epilog=examples("postroom sessions end 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10"))
def end(session_id: Annotated[str, typer.Argument(help="The id that `sessions list` shows.")]) -> None:
    """End a session. Shut its token or its person out, too, or they sign in again."""
    identity = parse_uuid(session_id, field="SESSION_ID")
    whose = in_transaction(lambda s: actions.end(s.conn, identity, actor=s.actor))
    print(f"Ended a session of {whose}.")
