"""`postroom token`: access tokens of the HTTP API."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from postroom.admin import tokens as actions
from postroom.admin.scopes import ROLES, Scope, parse_scopes
from postroom.admin.tokens import Token
from postroom.base.errors import InvalidInput
from postroom.base.ids import parse_uuid
from postroom.base.settings import load_settings
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, each_ledger, in_session, in_transaction
from postroom.console.access.sign_in_link import create_sign_in_link
from postroom.outbox.model import Channel

group = typer.Typer(help="Access tokens of the HTTP API.", no_args_is_help=True)

_SCOPES = ", ".join(Scope)
_ROLES = ", ".join(ROLES)


@group.command(
    epilog=examples(
        "postroom token create --name billing --scope events:write --tenant acme --channel webhook",
        "postroom token create --name ada --role on-call --expires-days 30",
    )
)
def create(
    name: Annotated[str, typer.Option(help="Whose it is; the audit trail shows it.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What it may do; repeat it for more: {_SCOPES}.")
    ] = None,
    role: Annotated[list[str] | None, typer.Option(help=f"The scopes of a role: {_ROLES}.")] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="Only this tenant's messages and endpoints; repeat it for more.")
    ] = None,
    channel: Annotated[
        list[Channel] | None, typer.Option(help="Only this channel; repeat it for more.")
    ] = None,
    expires_days: Annotated[
        int | None,
        typer.Option(
            min=1, max=3_650, help="Ends after this many days; else POSTROOM_TOKEN_DAYS, which is 90 in prod."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a token. The secret is printed once, alone on standard output, and not stored.

    Of several ledgers all get it, unless one is chosen.
    """
    if not (scope or role):
        raise typer.BadParameter("give --scope or --role: what it may do")
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    ledgers, secret = each_ledger(load_settings()), actions.generate_token()

    async def make(session: Session) -> Token:
        _, token = await actions.create(
            session.conn,
            name=name,
            scopes=[*(scope or ()), *_scopes_of(role or ())],
            tenants=tenant,
            channels=channel,
            expires_at=expires_at,
            lifetime=session.settings.token_lifetime,
            keyring=session.keyring,
            actor=session.actor,
            secret=secret,
        )
        return token

    tokens = {each.ledger: in_transaction(make, each) for each in ledgers}
    made = next(iter(tokens.values()))
    if as_json:
        several = {"tokens": {ledger: _shown(each) for ledger, each in tokens.items()}}
        print_json({"secret": secret, **(several if len(tokens) > 1 else {"token": _shown(made)})})
        return
    print(secret)
    ends = f" It ends on {made.expires_at:%Y-%m-%d}." if made.expires_at else ""
    ids = ", ".join(f"{each.id} ({ledger})" if ledger else str(each.id) for ledger, each in tokens.items())
    print(
        f"Keep it safe: it is shown only now. Id {ids}, scopes {', '.join(sorted(made.scopes))}.{ends}",
        file=sys.stderr,
    )


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """All tokens, newest first; never their secrets."""
    tokens = in_session(lambda session: actions.list_tokens(session.conn))
    if as_json:
        print_json([_shown(token) for token in tokens])
        return
    print_table(
        ("ID", "NAME", "SCOPES", "LIMITED TO", "STATE", "CREATED", "LAST USED", "ENDS"),
        (
            (
                *(t.id, t.name, " ".join(sorted(t.scopes)), _limits(t), _state(t)),
                *(t.created_at, t.last_used_at, t.expires_at),
            )
            for t in tokens
        ),
        empty="There is no token yet. Make one: postroom token create --name N --scope admin:read",
    )


@group.command(epilog=examples("postroom token revoke 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10"))
def revoke(token_id: Annotated[str, typer.Argument(help="The id that `token list` shows.")]) -> None:
    """Revoke a token, and those that were made with it. Running processes refuse them within 5 s."""
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


def _scopes_of(roles: Iterable[str]) -> list[str]:
    """Errors: `InvalidInput` naming the roles."""
    if unknown := [role for role in roles if role not in ROLES]:
        raise InvalidInput(f"unknown role {unknown[0][:50]!r}; known: {', '.join(ROLES)}", field="role")
    return [scope for role in roles for scope in ROLES[role]]


def _shown(token: Token) -> dict[str, object]:
    """As the API shows it."""
    tenants, channels = token.reach.parameters()
    own = {name: getattr(token, name) for name in Token.__slots__ if name not in ("reach", "ancestors")}
    return {**own, "tenants": tenants, "channels": channels, "parent_id": token.parent_id}


def _limits(token: Token) -> str:
    return " ".join(name for names in token.reach.described().values() for name in names)


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return "expired"
    return "living" if token.living else "ended with its parent"
