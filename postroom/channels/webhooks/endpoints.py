"""Endpoints of tenants: their rules and rows. What an operator does to them is in `postroom.admin.endpoints`.

Every function takes a connection; the caller owns the transaction. Secrets are in the answer at creation
and rotation and nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from postroom.base import json
from postroom.base.db import Connection
from postroom.base.errors import Conflict, InvalidInput, NotFound
from postroom.channels.webhooks import store
from postroom.channels.webhooks.address import Private
from postroom.channels.webhooks.brokers.kinds import is_broker, parse_allowed, parse_broker_url
from postroom.channels.webhooks.brokers.login import check_login
from postroom.channels.webhooks.brokers.url import NONE_ALLOWED, Allowed
from postroom.channels.webhooks.model import ENDPOINTS_PER_TENANT_MAX, Endpoint, EndpointSecret
from postroom.channels.webhooks.payload import TENANT_CHARACTERS_MAX
from postroom.channels.webhooks.signing import decode_secret, generate_secret
from postroom.channels.webhooks.url import parse_url
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.encryption import store_payloads
from postroom.outbox.model import Channel
from postroom.outbox.reach import EVERYTHING, Reach

OVERLAP_S = 24 * 3_600.0
OVERLAP_MAX_S = 30 * 24 * 3_600.0
PAGE_MAX = 1_000
RELEASE_BATCH_MAX = 10_000
STRAGGLERS_EVERY_S = 2.0
"""How often the job `lease-rescue` runs."""
PACE_MAX = 5_000
TYPES_MAX = 100
DESCRIPTION_CHARACTERS_MAX = 1_000
_TYPE = re.compile(r"\*|[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,197}(\.\*)?")


async def create_endpoint(
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
    keyring: Keyring = NO_KEYS,
) -> EndpointSecret:
    """Register a receiver; without `secret` a new one is made.

    That of a broker is its login, `user:password` or a token, and is in no answer.

    Errors: `InvalidInput` naming the field; `Conflict` when the tenant has 100 already (two
    creations at once may exceed that by one).
    """
    if not 1 <= len(tenant) <= TENANT_CHARACTERS_MAX:
        raise InvalidInput("tenant must have 1 to 200 characters", field="tenant")
    url = _check_url(url, tenant=tenant, allow_private=allow_private, allow_http=allow_http, brokers=brokers)
    secret, shown = _secrets_for(url, secret)
    endpoint_id = await store.insert_endpoint(
        conn,
        tenant=tenant,
        url=url,
        types=check_types(types),
        description=_check_description(description),
        secret=secret,
        keyring=keyring,
    )
    if endpoint_id is None:
        raise Conflict(f"the tenant has {ENDPOINTS_PER_TENANT_MAX} endpoints, which is the most it may have")
    return EndpointSecret(await fetch_endpoint(conn, endpoint_id), shown)


async def list_endpoints(
    conn: Connection,
    *,
    tenant: str | None = None,
    reach: Reach = EVERYTHING,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Endpoint]:
    """A page in order of id; the last one's id is the next page's `after`. At most 1,000."""
    tenants, channels = reach.parameters()
    if channels is not None and Channel.WEBHOOK not in channels:
        return []
    limit = min(limit, PAGE_MAX)
    return await store.list_endpoints(conn, tenant=tenant, tenants=tenants, after=after, limit=limit)


async def fetch_endpoint(conn: Connection, endpoint_id: UUID) -> Endpoint:
    """Errors: `NotFound`."""
    found = await store.fetch_endpoint(conn, endpoint_id)
    if found is None:
        raise NotFound("there is no such endpoint", field="endpoint_id")
    return found


async def update_endpoint(
    conn: Connection,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    description: str | None = None,
    allow_private: Private = False,
    allow_http: bool = True,
    brokers: Allowed = NONE_ALLOWED,
) -> Endpoint:
    """Change what is given. What was published before keeps its fan-out, but goes to the new url.

    A login stays where it is: a url of another broker is refused. Errors: `InvalidInput` naming the field,
    `NotFound`.
    """
    if url is not None:
        before = await fetch_endpoint(conn, endpoint_id)
        url = _check_url(
            url, tenant=before.tenant, allow_private=allow_private, allow_http=allow_http, brokers=brokers
        )
        if _broker_of(before.url) != _broker_of(url):
            raise InvalidInput("another broker has another login: make an endpoint for it", field="url")
    await store.update_endpoint(
        conn,
        endpoint_id,
        url=url,
        types=None if types is None else check_types(types),
        description=None if description is None else _check_description(description),
    )
    return await fetch_endpoint(conn, endpoint_id)


async def rotate_secret(
    conn: Connection,
    endpoint_id: UUID,
    *,
    secret: SecretStr | None = None,
    overlap_s: float = OVERLAP_S,
    keyring: Keyring = NO_KEYS,
) -> EndpointSecret:
    """Sign with a new secret and, for `overlap_s`, with the present one too: 0 where that one has leaked.

    The secret of a broker has to be given, and replaces the present one at once.
    A secret that was still in its own overlap ends at once: only two sign at a time.
    Errors: `InvalidInput` for an imported secret or an overlap of more than 30 days, `NotFound`; `Unreadable`
    where the present one cannot be read: then only an overlap of 0 is left.
    """
    check_overlap(overlap_s)
    url = (await fetch_endpoint(conn, endpoint_id)).url
    if is_broker(url):
        if secret is None:
            raise InvalidInput("the new login of a broker has to be given", field="secret")
        overlap_s = 0
    secret, shown = _secrets_for(url, secret)
    await store.rotate_secret(conn, endpoint_id, secret=secret, overlap_s=overlap_s, keyring=keyring)
    return EndpointSecret(await fetch_endpoint(conn, endpoint_id), shown)


async def park(conn: Connection, endpoint_id: UUID, *, reason: str) -> Endpoint:
    """Hold everything for this endpoint back, what is published later included. Errors: `NotFound`."""
    await store.mark_parked(conn, endpoint_id=endpoint_id, reason=reason)
    return await fetch_endpoint(conn, endpoint_id)


async def resume(conn: Connection, endpoint_id: UUID, *, pace_per_s: float | None = None) -> Endpoint:
    """Let deliveries go again: the first 10,000 that waited are due now, or what `pace_per_s` allows.

    `unpark_stragglers` releases the rest in paced batches; `waiting` tells how many there are.
    Errors: `NotFound`, `InvalidInput` for a pace that is none.
    """
    if pace_per_s is not None and not 0 < pace_per_s <= PACE_MAX:
        raise InvalidInput(f"pace must be above 0 and at most {PACE_MAX:,} a second", field="pace_per_s")
    if await store.mark_enabled(conn, endpoint_id=endpoint_id, pace_per_s=pace_per_s):
        batch_max = RELEASE_BATCH_MAX if pace_per_s is None else math.ceil(pace_per_s * STRAGGLERS_EVERY_S)
        await store.release_deliveries(conn, endpoint_id=endpoint_id, batch_max=batch_max)
    return await fetch_endpoint(conn, endpoint_id)


async def discard(conn: Connection, endpoint_id: UUID) -> tuple[int, Endpoint]:
    """Give up the first 10,000 that wait for an endpoint, which is final: they count as cancelled.

    Returns: how many, and the endpoint; its `waiting` tells whether there are more. Errors: `NotFound`.
    """
    count = await store.discard_deliveries(conn, endpoint_id=endpoint_id, batch_max=RELEASE_BATCH_MAX)
    return count, await fetch_endpoint(conn, endpoint_id)


async def delete_endpoint(conn: Connection, endpoint_id: UUID) -> None:
    """Delete it for good. What waited becomes due, and ends as dead letters that say why.

    Errors: `NotFound`.
    """
    if not await store.delete_endpoint(conn, endpoint_id=endpoint_id):
        raise NotFound("there is no such endpoint", field="endpoint_id")
    await store.release_deliveries(conn, endpoint_id=endpoint_id, batch_max=RELEASE_BATCH_MAX)


async def insert_ping(
    conn: Connection, endpoint: Endpoint, *, type_: str, data: dict[str, Any], keyring: Keyring = NO_KEYS
) -> UUID:
    """A message to this endpoint alone. Returns: its id. Errors: `NotFound` where it was just deleted."""
    encrypts = keyring.current is not None
    text = json.encode({} if encrypts else data)
    message_id = await store.insert_ping(conn, endpoint_id=endpoint.id, type_=type_, data=text)
    if message_id is None:
        raise NotFound("there is no such endpoint", field="endpoint_id")
    if encrypts:
        payload = json.encode({"tenant": endpoint.tenant, "type": type_, "data": data})
        await store_payloads(conn, [(message_id, payload)], keyring)
    return message_id


async def unpark_stragglers(conn: Connection, *, batch_max: int = RELEASE_BATCH_MAX) -> int:
    """Make due what waits though its endpoint is enabled or gone; `lease-rescue` calls it.

    Such a delivery was left over by a paced resume, or published by a transaction that saw the
    endpoint parked and committed after the resume. Returns: how many.
    """
    return await store.release_stragglers(conn, batch_max=batch_max, every_s=STRAGGLERS_EVERY_S)


def check_overlap(overlap_s: float) -> None:
    """How long a secret that was rotated goes on signing. Errors: `InvalidInput`."""
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise InvalidInput("the overlap has 0 to 2,592,000 seconds (30 days)", field="overlap_s")


def check_types(types: Sequence[str]) -> list[str]:
    """Event types to listen to: exact, `*`, or a prefix like `invoice.*`.

    Errors: `InvalidInput` for field `types`.
    """
    if isinstance(types, str) or not 1 <= len(types) <= TYPES_MAX:
        raise InvalidInput(f"types must be a list of 1 to {TYPES_MAX}", field="types")
    for position, pattern in enumerate(types):
        if not _TYPE.fullmatch(pattern):
            raise InvalidInput(
                "a type is exact like invoice.paid, a prefix like invoice.*, or *", field=f"types[{position}]"
            )
    return list(dict.fromkeys(types))


def _check_url(url: str, *, tenant: str, allow_private: Private, allow_http: bool, brokers: Allowed) -> str:
    if is_broker(url):
        return parse_allowed(url, tenant=tenant, allowed=brokers, private=allow_private).text
    return str(parse_url(url, allow_private=allow_private, allow_http=allow_http))


def _broker_of(url: str) -> tuple[str, ...]:
    """Its nodes; none of an HTTP receiver."""
    return parse_broker_url(url).origins if is_broker(url) else ()


def _secrets_for(url: str, given: SecretStr | None) -> tuple[SecretStr, SecretStr]:
    """What is kept, and what is shown of it. Errors: `InvalidInput` for field `secret`."""
    if is_broker(url):
        login = given or SecretStr("")
        check_login(login)
        return login, SecretStr("")
    secret = generate_secret() if given is None else given
    decode_secret(secret)
    return secret, secret


def _check_description(text: str) -> str:
    if len(text) > DESCRIPTION_CHARACTERS_MAX:
        raise InvalidInput("description must have at most 1,000 characters", field="description")
    return text
