"""`postroom token`: access tokens of the HTTP API."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from postroom.admin import tokens as actions
from postroom.admin.tokens import Scope, Token, list_tokens, parse_scopes
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction
from postroom.console.access.sign_in_link import create_sign_in_link

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
        int | None, typer.Option(min=1, max=3_650, help="Expires after this many days.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a token. The secret is printed once, alone on standard output, and not stored."""
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    secret, made = in_transaction(
        lambda s: actions.create(
            s.conn, name=name, scopes=scope, expires_at=expires_at, keyring=s.keyring, actor=s.actor
        )
    )
    if as_json:
        print_json({"secret": secret, "token": made})
        return
    print(secret)
    print(
        f"Keep it safe: it is shown only now. Id {made.id}, scopes {', '.join(sorted(made.scopes))}.",
        file=sys.stderr,
    )


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
    """Revoke a token. Running processes refuse it within 5 s."""
    identity = parse_uuid(token_id, field="TOKEN_ID")
    revoked = in_transaction(lambda s: actions.revoke(s.conn, identity, actor=s.actor))
    print(f"Revoked {revoked.name}.")


@group.command(
    epilog=examples(
        "postroom token sign-in-link",
        "postroom token sign-in-link --scope admin:read --url https://postroom.example.com",
    )
)
def sign_in_link(
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeat it for more. Everything unless told.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Where your browser finds the API; else localhost and POSTROOM_PORT.")
    ] = None,
) -> None:
    """Print a link that signs in to the console, once and within ten minutes: a way in when it is locked.

    In prod the console is signed in to over https, or on localhost (an ssh tunnel, `kubectl port-forward`).
    """
    scopes = parse_scopes(scope) if scope else tuple(Scope)

    async def work(session: Session) -> str:
        base_url = url or f"http://localhost:{session.settings.port}"
        return await create_sign_in_link(
            session.conn, base_url, scopes, keyring=session.keyring, actor=session.actor
        )

    print(in_transaction(work))


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return "expired"
    return "living"
