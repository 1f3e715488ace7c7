"""`postroom endpoint`: where tenants get their webhooks."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated, Final
from uuid import UUID

import typer
from pydantic import SecretStr

from postroom.admin import endpoints as actions
from postroom.base.errors import InvalidInput
from postroom.base.ids import parse_uuid
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.model import Endpoint, EndpointSecret
from postroom.channels.webhooks.url import parse_url
from postroom.cli.input import read_input
from postroom.cli.output import JsonFlag, cell, confirm, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction
from postroom.cli.times import HINT, parse_moment, parse_since
from postroom.outbox.ledger.recovery import PACE_DEFAULT, PACE_MAX, Found, Only, Recovery

LISTED_MAX: Final = 100

group = typer.Typer(help="Tenants' endpoints for webhooks.", invoke_without_command=True)

EndpointId = Annotated[str, typer.Argument(help="The id that `endpoint list` shows.", metavar="ID")]
OverlapHours = Annotated[
    float, typer.Option(min=0, max=720, help="The old secret signs too for so long; 0 where it has leaked.")
]
SecretFile = Annotated[
    str | None,
    typer.Option(help="A file with the secret, or - for standard input; of a broker it is its login."),
]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="invoice.paid, invoice.* or *; repeat it for more.")
]


@group.callback()
def endpoint(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Tenants' endpoints for webhooks. Without a command of its own: list them."""
    if context.invoked_subcommand is None:
        list_(tenant=None, limit=LISTED_MAX, as_json=as_json)


@group.command(
    epilog=examples(
        "postroom endpoint create --tenant acme --url https://acme.example/hooks --type 'invoice.*'",
        "postroom endpoint create --tenant acme --url nats://n1.example.com:4222/orders --secret-file login",
    )
)
def create(
    *,
    tenant: Annotated[str, typer.Option(help="Whose endpoint it is.")],
    url: Annotated[str, typer.Option(help="Where to post to, or a broker.")],
    type_: Types = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    secret_file: SecretFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Register an endpoint. Its signing secret is printed once, alone on standard output; a login is not."""
    secret = _secret_in(secret_file)
    made = in_transaction(
        lambda s: actions.create(
            s.conn,
            tenant=tenant,
            url=url,
            types=tuple(type_ or ("*",)),
            description=description,
            secret=secret,
            allow_private=s.settings.webhook.private,
            allow_http=s.settings.webhook.http,
            brokers=s.settings.webhook.brokers,
            keyring=s.keyring,
            actor=s.actor,
        )
    )
    _show_secret(made, as_json)


@group.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Maximum number.")] = LISTED_MAX,
    as_json: JsonFlag = False,
) -> None:
    """Endpoints, oldest first; never their secrets."""

    async def work(session: Session) -> list[Endpoint]:
        return await endpoints.list_endpoints(session.conn, tenant=tenant, limit=limit)

    found = in_session(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "TENANT", "URL", "TYPES", "STATE", "WAITING"),
        ((e.id, e.tenant, e.url, " ".join(e.types), e.state, e.waiting) for e in found),
        empty="There is no endpoint yet. Make one: postroom endpoint create --tenant T --url https://…",
    )


@group.command()
def show(endpoint_id: EndpointId, as_json: JsonFlag = False) -> None:
    """One endpoint, with everything but its secret."""
    identity = _identity(endpoint_id)
    _show(in_session(lambda session: endpoints.fetch_endpoint(session.conn, identity)), as_json)


@group.command(epilog=examples("postroom endpoint update ID --url https://acme.example/v2/hooks"))
def update(
    endpoint_id: EndpointId,
    url: Annotated[str | None, typer.Option(help="Post here from now on.")] = None,
    type_: Types = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change the given fields."""
    if url is None and type_ is None and description is None:
        raise typer.BadParameter("give at least one of --url, --type, --description")
    identity = _identity(endpoint_id)
    updated = in_transaction(
        lambda s: actions.update(
            s.conn,
            identity,
            url=url,
            types=type_,
            description=description,
            allow_private=s.settings.webhook.private,
            allow_http=s.settings.webhook.http,
            brokers=s.settings.webhook.brokers,
            actor=s.actor,
        )
    )
    _show(updated, as_json)


@group.command()
def rotate(
    endpoint_id: EndpointId,
    overlap_hours: OverlapHours = 24.0,
    secret_file: SecretFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign with a new secret; the old one signs too for 24 h unless told. The new one is printed once.

    The login of a broker is replaced by the one in the file.
    """
    identity, overlap_s, secret = _identity(endpoint_id), overlap_hours * 3_600, _secret_in(secret_file)
    made = in_transaction(
        lambda s: actions.rotate_secret(
            s.conn, identity, secret=secret, overlap_s=overlap_s, keyring=s.keyring, actor=s.actor
        )
    )
    _show_secret(made, as_json)


@group.command(
    epilog=examples("postroom endpoint url-secret https://hooks.example.com --rotate --overlap-hours 0")
)
def url_secret(
    url: Annotated[str, typer.Argument(help="A url that payloads name; its origin counts.")],
    rotate_: Annotated[bool, typer.Option("--rotate", help="Make a new one first.")] = False,
    overlap_hours: OverlapHours = 24.0,
) -> None:
    """Print the secret that signs webhooks to urls of this origin, which belong to no endpoint."""

    async def work(session: Session) -> SecretStr:
        webhook = session.settings.webhook
        parsed = parse_url(url, allow_private=webhook.private, allow_http=webhook.http)
        if not rotate_:
            return await actions.show_url_secret(
                session.conn, parsed, keyring=session.keyring, actor=session.actor
            )
        overlap_s = overlap_hours * 3_600
        return await actions.rotate_url_secret(
            session.conn, parsed, overlap_s=overlap_s, keyring=session.keyring, actor=session.actor
        )

    print(in_transaction(work).get_secret_value())


@group.command()
def end_shared_secret(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop signing webhooks to urls with the one secret that all their receivers knew before the upgrade."""
    confirm("Receivers that have not taken their own secret will refuse what is sent. End it?", yes=yes)
    in_transaction(lambda s: actions.end_shared_secret(s.conn, actor=s.actor))
    print("Ended.")


@group.command(epilog=examples("postroom endpoint park ID --reason 'migration until Monday'"))
def park(
    endpoint_id: EndpointId,
    reason: Annotated[str, typer.Option(help="For people.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Hold everything for it back; nothing is lost."""
    identity = _identity(endpoint_id)
    parked = in_transaction(lambda s: actions.park(s.conn, identity, reason=reason, actor=s.actor))
    _show(parked, as_json)


@group.command(epilog=examples("postroom endpoint resume ID --pace 20"))
def resume(
    endpoint_id: EndpointId,
    pace: Annotated[
        float | None, typer.Option(help="What waited goes at so many a second; all at once without it.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Deliver to it again, what waited included."""
    identity = _identity(endpoint_id)
    resumed = in_transaction(lambda s: actions.resume(s.conn, identity, pace_per_s=pace, actor=s.actor))
    _show(resumed, as_json)


@group.command()
def discard(
    endpoint_id: EndpointId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Give up what waits for a parked or disabled endpoint: it is never sent, and counts as cancelled."""
    confirm(f"Discard what waits for endpoint {endpoint_id}?", yes=yes)
    identity, total = _identity(endpoint_id), 0
    while True:  # batch by batch, each its own transaction
        count, left = in_transaction(lambda s: actions.discard(s.conn, identity, actor=s.actor))
        total += count
        if not count or not left.waiting:
            break
    print(f"Discarded: {total}.")


@group.command(
    epilog=examples(
        "postroom endpoint recover ID --since 2d --dry-run",
        "postroom endpoint recover ID --since 2026-11-01T00:00:00Z --only missing --per-second 20 --yes",
    )
)
def recover(
    endpoint_id: EndpointId,
    *,
    since: Annotated[str, typer.Option(help=f"Died or published since: {HINT}.")],
    until: Annotated[str | None, typer.Option(help="And before, written the same way.")] = None,
    only: Annotated[Only | None, typer.Option(help="What died for it, or what never went to it.")] = None,
    per_second: Annotated[
        float, typer.Option("--per-second", "--pace", max=PACE_MAX, help="So many deliveries a second.")
    ] = PACE_DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send what died for it, and what was published and never went to it; under the same webhook-ids."""
    identity, begin, end = _identity(endpoint_id), parse_moment(since), parse_since(until)

    def act(dry: bool) -> tuple[Found, UUID | None]:
        wanted = Recovery(identity, begin, end, only)
        return in_transaction(
            lambda s: actions.recover(s.conn, wanted, pace_per_s=per_second, dry_run=dry, actor=s.actor)
        )

    if not (dry_run or yes):
        print(act(True)[0].told())
        confirm("Send it?", yes=False, otherwise="add --yes, or look first with --dry-run")
    found, run_id = act(dry_run)
    if as_json:
        print_json({**dataclasses.asdict(found), "run_id": run_id})
        return
    print(found.told())
    if run_id:
        print(f"Progress, pause, undo: postroom replays show {run_id}")


@group.command()
def delete(
    endpoint_id: EndpointId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete it permanently. What waited for it becomes dead letters that say so."""
    confirm(f"Delete endpoint {endpoint_id}?", yes=yes)
    identity = _identity(endpoint_id)
    in_transaction(lambda s: actions.delete(s.conn, identity, actor=s.actor))
    print("Deleted.")


def _identity(text: str) -> UUID:
    return parse_uuid(text, field="ID")


def _secret_in(name: str | None) -> SecretStr | None:
    if name is None:
        return None
    try:
        return SecretStr(read_input(name).decode().strip())
    except UnicodeDecodeError:
        raise InvalidInput("the secret is no UTF-8 text", field="--secret-file") from None


def _show(endpoint: Endpoint, as_json: bool) -> None:
    if as_json:
        print_json(endpoint)
        return
    out = console()
    for name in endpoint.__slots__:
        value = getattr(endpoint, name)
        shown = cell(" ".join(value) if isinstance(value, tuple) else value)
        out.print(f"{name.replace('_', ' '):22} {shown}", markup=False)


def _show_secret(made: EndpointSecret, as_json: bool) -> None:
    secret = made.secret.get_secret_value()
    if as_json:
        print_json({"endpoint": made.endpoint, "secret": secret})
        return
    if not secret:  # a login is never shown
        print(f"Endpoint {made.endpoint.id}.")
        return
    print(secret)
    print(f"Endpoint {made.endpoint.id}. The secret is shown only now.", file=sys.stderr)
