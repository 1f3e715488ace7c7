"""`postroom token`: access tokens of the HTTP API."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from postroom.admin import audit
from postroom.admin.token_store import create_token, list_tokens, revoke_token
from postroom.admin.tokens import Scope, Token, parse_scopes
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session

group = typer.Typer(help="Access tokens of the HTTP API.", no_args_is_help=True)

_SCOPES = ", ".join(Scope)


@group.command(
    epilog=examples(
        "postroom token create --name billing --scope events:write",
        "postroom token create --name on-call --scope admin:read --scope outbox:replay --expires-days 90",
    )
)
def create(
    name: Annotated[str, typer.Option(help="Whose it is; the audit trail shows it.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do; repeat it for more: {_SCOPES}.")],
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="Ends after so many days.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a token. The secret is printed once, alone on standard output, and kept nowhere."""
    scopes = parse_scopes(scope)
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None

    async def work(session: Session) -> tuple[str, Token]:
        async with session.change() as conn:
            made = await create_token(conn, name=name, scopes=scopes, expires_at=expires_at)
            await audit.record(
                conn,
                actor=session.actor,
                action="token.create",
                subject=str(made[1].id),
                detail={"name": name, "scopes": sorted(scopes)},
            )
            return made

    secret, made = in_session(work)
    if as_json:
        print_json({"secret": secret, "token": made})
        return
    print(secret)
    print(f"Keep it safe: it is shown only now. Id {made.id}, scopes {', '.join(scopes)}.", file=sys.stderr)


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """All tokens, newest first; never their secrets."""

    async def work(session: Session) -> list[Token]:
        return await list_tokens(session.conn)

    tokens = in_session(work)
    if as_json:
        print_json(tokens)
        return
    print_table(
        ("ID", "NAME", "SCOPES", "STATE", "CREATED", "LAST USED"),
        ((t.id, t.name, " ".join(sorted(t.scopes)), _state(t), t.created_at, t.last_used_at) for t in tokens),
        empty="There is no token yet. Make one: postroom token create --name N --scope admin:read",
    )


@group.command(epilog=examples("postroom token revoke 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10"))
def revoke(token_id: Annotated[str, typer.Argument(help="The id that `token list` shows.")]) -> None:
    """End a token. Running processes refuse it within 5 s."""
    identity = parse_uuid(token_id, field="TOKEN_ID")

    async def work(session: Session) -> Token:
        async with session.change() as conn:
            token = await revoke_token(conn, identity)
            await audit.record(
                conn,
                actor=session.actor,
                action="token.revoke",
                subject=str(identity),
                detail={"name": token.name},
            )
            return token

    print(f"Revoked {in_session(work).name}.")


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return "expired"
    return "living"
