"""What an operator does to an endpoint. Every row of the trail says whose it is and where it points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from yarl import URL

from postroom.admin.audit import Actor, record
from postroom.admin.reach import check_covered
from postroom.base.db import Connection
from postroom.base.errors import Conflict
from postroom.channels.webhooks import deployment_secret, endpoints, store
from postroom.channels.webhooks.address import Private
from postroom.channels.webhooks.brokers.url import NONE_ALLOWED, Allowed
from postroom.channels.webhooks.model import Endpoint, EndpointSecret, EndpointState
from postroom.channels.webhooks.payload import check_payload
from postroom.encryption.keyring import Keyring
from postroom.outbox.ledger import recovery
from postroom.outbox.ledger.recovery import Found, Recovery
from postroom.outbox.model import Channel

PING_TYPE: Final = "postroom.ping"


async def create(
    conn: Connection,
    *,
    tenant: str,
    url: str,
    types: Sequence[str] = ("*",),
    description: str = "",
    secret: SecretStr | None = None,
    allow_private: Private = False,
    allow_http: bool = True,
    brokers: Allowed = NONE_ALLOWED,
    keyring: Keyring,
    actor: Actor,
) -> EndpointSecret:
    """See `endpoints.create_endpoint`. Errors: also `NotAllowed` for a tenant beyond the actor's reach."""
    check_covered(actor, tenant=tenant, channel=Channel.WEBHOOK)
    made = await endpoints.create_endpoint(
        conn,
        tenant=tenant,
        url=url,
        types=types,
        description=description,
        secret=secret,
        allow_private=allow_private,
        allow_http=allow_http,
        brokers=brokers,
        keyring=keyring,
    )
    new = {name: getattr(made.endpoint, name) for name in ("types", "description")}
    await _record(conn, actor, "create", made.endpoint, new=new)
    return made


async def update(
    conn: Connection,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
    allow_private: Private = False,
    allow_http: bool = True,
    brokers: Allowed = NONE_ALLOWED,
    actor: Actor,
) -> Endpoint:
    """See `endpoints.update_endpoint`."""
    before = await _before(conn, endpoint_id)
    updated = await endpoints.update_endpoint(
        conn,
        endpoint_id,
        url=url,
        types=types,
        description=description,
        allow_private=allow_private,
        allow_http=allow_http,
        brokers=brokers,
    )
    given = {"url": url, "types": types, "description": description}
    changed = [name for name, value in given.items() if value is not None]
    old, new = ({name: getattr(each, name) for name in changed} for each in (before, updated))
    await _record(conn, actor, "update", updated, changed=changed, old=old, new=new)
    return updated


async def rotate_secret(
    conn: Connection,
    endpoint_id: UUID,
    *,
    secret: SecretStr | None = None,
    overlap_s: float = endpoints.OVERLAP_S,
    keyring: Keyring,
    actor: Actor,
) -> EndpointSecret:
    """See `endpoints.rotate_secret`."""
    made = await endpoints.rotate_secret(
        conn, endpoint_id, secret=secret, overlap_s=overlap_s, keyring=keyring
    )
    chosen = {} if overlap_s == endpoints.OVERLAP_S else {"overlap_s": overlap_s}
    await _record(conn, actor, "rotate", made.endpoint, **chosen)
    return made


async def park(conn: Connection, endpoint_id: UUID, *, reason: str = "", actor: Actor) -> Endpoint:
    """See `endpoints.park`. The trail has the reason that was given now, the endpoint keeps its first one."""
    reason = reason.strip() or f"parked by {actor.name}"
    before = await _before(conn, endpoint_id)
    parked = await endpoints.park(conn, endpoint_id, reason=reason)
    await _record(conn, actor, "park", parked, reason=reason, old=_state(before))
    return parked


async def resume(
    conn: Connection, endpoint_id: UUID, *, pace_per_s: float | None = None, actor: Actor
) -> Endpoint:
    """See `endpoints.resume`."""
    before = await _before(conn, endpoint_id)
    resumed = await endpoints.resume(conn, endpoint_id, pace_per_s=pace_per_s)
    chosen = {} if pace_per_s is None else {"pace_per_s": pace_per_s}
    await _record(conn, actor, "resume", resumed, **chosen, old=_state(before))
    return resumed


async def discard(conn: Connection, endpoint_id: UUID, *, actor: Actor) -> tuple[int, Endpoint]:
    """See `endpoints.discard`."""
    count, endpoint = await endpoints.discard(conn, endpoint_id)
    await _record(conn, actor, "discard", endpoint, deliveries=count)
    return count, endpoint


async def recover(
    conn: Connection, wanted: Recovery, *, pace_per_s: float, dry_run: bool, actor: Actor
) -> tuple[Found, UUID | None]:
    """Send what died for an endpoint, and what never went to it; see `recovery.start_recovery`.

    Returns: what there is, and the run that sends it, unless it is a dry run.
    Errors: `NotFound`, `InvalidInput`, `Conflict` while it is parked or disabled.
    """
    endpoint = await endpoints.fetch_endpoint(conn, wanted.endpoint_id)
    found = await recovery.look(conn, wanted)
    if dry_run:
        return found, None
    if endpoint.state is not EndpointState.ENABLED:
        raise Conflict(f"the endpoint is {endpoint.state}: resume it first")
    wanted = replace(wanted, tenant=endpoint.tenant)
    run_id = await recovery.start_recovery(conn, wanted, actor=actor.name, pace_per_s=pace_per_s)
    asked = {name: value for name, value in wanted.described().items() if name != "endpoint"}
    await _record(conn, actor, "recover", endpoint, run=str(run_id), pace_per_s=pace_per_s, **asked)
    return found, run_id


async def delete(conn: Connection, endpoint_id: UUID, *, actor: Actor) -> None:
    """See `endpoints.delete_endpoint`."""
    gone = await _before(conn, endpoint_id)
    await endpoints.delete_endpoint(conn, endpoint_id)
    old = {"types": gone.types, "description": gone.description, **_state(gone)}
    await _record(conn, actor, "delete", gone, old=old)


async def ping(
    conn: Connection,
    endpoint_id: UUID,
    *,
    data: dict[str, Any],
    event_type: str = PING_TYPE,
    keyring: Keyring,
    actor: Actor,
) -> UUID:
    """Send a webhook to this endpoint alone, whatever types it listens to. Returns: the message's id.

    A parked endpoint gets it once it is resumed. Errors: `NotFound`, `InvalidPayload` naming the field.
    Transaction: the caller's; it is on its way once that commits.
    """
    endpoint = await endpoints.fetch_endpoint(conn, endpoint_id)
    check_payload({"tenant": endpoint.tenant, "type": event_type, "data": data}, allow_private=False)
    message_id = await endpoints.insert_ping(conn, endpoint, type_=event_type, data=data, keyring=keyring)
    await _record(conn, actor, "ping", endpoint, type=event_type, message=str(message_id))
    return message_id


async def show_url_secret(conn: Connection, url: URL, *, keyring: Keyring, actor: Actor) -> SecretStr:
    """What a receiver verifies with that is named by urls of payloads. Who has looked is in the trail."""
    secrets = await deployment_secret.fetch_or_create_secrets(conn, keyring)
    await record(conn, actor, "url_secret.show", deployment_secret.origin_of(url))
    return secrets.of(url)[0]


async def rotate_url_secret(
    conn: Connection, url: URL, *, overlap_s: float, keyring: Keyring, actor: Actor
) -> SecretStr:
    """See `deployment_secret.rotate`."""
    secret = await deployment_secret.rotate(conn, url, overlap_s=overlap_s, keyring=keyring)
    await record(conn, actor, "url_secret.rotate", deployment_secret.origin_of(url), overlap_s=overlap_s)
    return secret


async def end_shared_secret(conn: Connection, *, actor: Actor) -> None:
    """Webhooks to urls are signed by their origin's own secrets only, from now on."""
    await store.end_shared_secret(conn)
    await record(conn, actor, "url_secret.end_shared")


async def _before(conn: Connection, endpoint_id: UUID) -> Endpoint:
    """An endpoint that is to be changed, as nobody else changes it meanwhile. Errors: `NotFound`."""
    await store.lock_endpoint(conn, endpoint_id)
    return await endpoints.fetch_endpoint(conn, endpoint_id)


def _state(endpoint: Endpoint) -> dict[str, str | None]:
    return {"state": endpoint.state, "parked_reason": endpoint.parked_reason}


async def _record(conn: Connection, actor: Actor, done: str, endpoint: Endpoint, **detail: object) -> None:
    known = {"tenant": endpoint.tenant, "url": endpoint.url, **detail}
    await record(conn, actor, f"endpoint.{done}", endpoint.id, **known)
