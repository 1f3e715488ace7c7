"""Endpoints and signing secrets in PostgreSQL. The caller owns every transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from pydantic import SecretStr

from postroom.base.db import Connection, Record, query
from postroom.channels.webhooks.encryption import DEPLOYMENT, PREVIOUS, SECRET, encrypt_secret, open_secret
from postroom.channels.webhooks.model import (
    ENDPOINTS_PER_TENANT_MAX,
    WAITING_COUNT_MAX,
    Endpoint,
    EndpointState,
    Target,
)
from postroom.encryption.keyring import NO_KEYS, Keyring, Unreadable
from postroom.outbox.model import Channel
from postroom.outbox.store import TALLY_SHARDS, wake

_INSERT = query(__package__, "insert_endpoint")
_NEXT_ID = query(__package__, "next_endpoint_id")
_LOCK_SECRET = query(__package__, "lock_endpoint_secret")
_LIST = query(__package__, "list_endpoints")
_FETCH = query(__package__, "fetch_endpoint")
_FETCH_TARGETS = query(__package__, "fetch_targets")
_LOCK = query(__package__, "lock_endpoint")
_UPDATE = query(__package__, "update_endpoint")
_ROTATE = query(__package__, "rotate_secret")
_PARK = query(__package__, "park_endpoint")
_DISABLE = query(__package__, "disable_endpoint")
_FAILING = query(__package__, "mark_endpoint_failing")
_ANSWERING = query(__package__, "mark_endpoint_answering")
_DISCARD = query(__package__, "discard_deliveries")
_ENABLE = query(__package__, "enable_endpoint")
_DELETE = query(__package__, "delete_endpoint")
_RELEASE = query(__package__, "release_deliveries")
_RELEASE_STRAGGLERS = query(__package__, "release_stragglers")
_PING = query(__package__, "insert_ping")
_INSERT_SIGNING_SECRET = query(__package__, "insert_signing_secret")
_FETCH_SIGNING_SECRETS = query(__package__, "fetch_signing_secrets")
_LIST_SIGNING_ORIGINS = query(__package__, "list_signing_origins")
_ROTATE_SIGNING_ORIGIN = query(__package__, "rotate_signing_origin")
_END_SHARED_SECRET = query(__package__, "end_shared_secret")


def _endpoint(row: Record) -> Endpoint:
    values = {**row, "types": tuple(row["types"]), "state": EndpointState(row["state"])}
    return Endpoint(**values)


async def insert_endpoint(
    conn: Connection,
    *,
    tenant: str,
    url: str,
    types: Sequence[str],
    description: str,
    secret: SecretStr,
    keyring: Keyring = NO_KEYS,
) -> UUID | None:
    """Returns: None when the tenant has as many as it may have."""
    endpoint_id: UUID = await conn.fetchval(_NEXT_ID)
    kept = encrypt_secret(secret, keyring, row=endpoint_id)
    made: UUID | None = await conn.fetchval(
        _INSERT, tenant, url, types, description, kept, ENDPOINTS_PER_TENANT_MAX, endpoint_id
    )
    return made


async def list_endpoints(
    conn: Connection, *, tenant: str | None, tenants: list[str] | None, after: UUID | None, limit: int
) -> list[Endpoint]:
    """In order of id, those behind `after`; only those of `tenants`, where they are given."""
    rows = await conn.fetch(_LIST, tenant, after, limit, WAITING_COUNT_MAX, tenants)
    return [_endpoint(row) for row in rows]


async def fetch_endpoint(conn: Connection, endpoint_id: UUID) -> Endpoint | None:
    row = await conn.fetchrow(_FETCH, endpoint_id, WAITING_COUNT_MAX)
    return None if row is None else _endpoint(row)


async def fetch_targets(
    conn: Connection, ids: Collection[UUID], keyring: Keyring = NO_KEYS
) -> dict[UUID, Target]:
    """What the adapter needs of each; deleted ones are absent."""
    return {row["id"]: _target(row, keyring) for row in await conn.fetch(_FETCH_TARGETS, list(ids))}


def _target(row: Record, keyring: Keyring) -> Target:
    signing: tuple[SecretStr, ...] | Unreadable
    try:
        signing = _secrets(row["secrets"], keyring, row["id"])
    except Unreadable as error:
        signing = error
    return Target(row["url"], signing, EndpointState(row["state"]), row["failing_since"])


async def lock_endpoint(conn: Connection, endpoint_id: UUID) -> None:
    """Nobody else changes it until the transaction ends."""
    await conn.execute(_LOCK, endpoint_id)


async def update_endpoint(
    conn: Connection,
    endpoint_id: UUID,
    *,
    url: str | None,
    types: Sequence[str] | None,
    description: str | None,
) -> bool:
    """None leaves a value as it is. Returns: whether there is such an endpoint."""
    return await conn.fetchval(_UPDATE, endpoint_id, url, types, description) is not None


async def rotate_secret(
    conn: Connection,
    endpoint_id: UUID,
    *,
    secret: SecretStr,
    overlap_s: float,
    keyring: Keyring = NO_KEYS,
) -> bool:
    """The present secret stays valid for `overlap_s`; at 0 it is not even kept.

    Returns: whether there is such an endpoint. Errors: `Unreadable` where the present one is kept and cannot
    be read.
    """
    present = await conn.fetchval(_LOCK_SECRET, endpoint_id)
    if present is None:
        return False
    previous = None
    if overlap_s > 0:
        opened = open_secret(present, keyring, row=endpoint_id)
        previous = encrypt_secret(opened, keyring, row=endpoint_id, column=PREVIOUS)
    kept = encrypt_secret(secret, keyring, row=endpoint_id)
    return await conn.fetchval(_ROTATE, endpoint_id, kept, previous, overlap_s) is not None


async def mark_parked(conn: Connection, *, endpoint_id: UUID, reason: str) -> bool:
    """Returns: whether this call parked it; the first reason is kept."""
    return await conn.fetchval(_PARK, endpoint_id, reason[:500]) is not None


async def mark_disabled(conn: Connection, *, endpoint_id: UUID, reason: str) -> bool:
    """Returns: whether this call disabled it."""
    return await conn.fetchval(_DISABLE, endpoint_id, reason[:500]) is not None


async def mark_failing(conn: Connection, *, endpoint_id: UUID, reason: str, disable_after_s: float) -> bool:
    """Note that it fails. Returns: whether it is disabled now, for it has only failed for so long."""
    return await conn.fetchval(_FAILING, endpoint_id, reason[:500], disable_after_s) is True


async def mark_answering(conn: Connection, *, endpoint_id: UUID) -> None:
    """Note that it has taken one."""
    await conn.execute(_ANSWERING, endpoint_id)


async def mark_enabled(conn: Connection, *, endpoint_id: UUID, pace_per_s: float | None = None) -> bool:
    """`pace_per_s`: at which stragglers are released. Returns: whether there is such an endpoint."""
    return await conn.fetchval(_ENABLE, endpoint_id, pace_per_s) is not None


async def delete_endpoint(conn: Connection, *, endpoint_id: UUID) -> bool:
    return await conn.fetchval(_DELETE, endpoint_id) is not None


async def insert_ping(conn: Connection, *, endpoint_id: UUID, type_: str, data: str) -> UUID | None:
    """A message to this endpoint alone; `data` is JSON text. Returns: None without such an endpoint."""
    message_id: UUID | None = await conn.fetchval(_PING, endpoint_id, type_, data)
    if message_id is not None:
        await wake(conn, Channel.WEBHOOK)
    return message_id


async def release_deliveries(conn: Connection, *, endpoint_id: UUID, batch_max: int) -> int:
    """Make due what waits for one endpoint, oldest first. Returns: how many."""
    return await _wake_for(conn, await conn.fetchval(_RELEASE, endpoint_id, batch_max))


async def release_stragglers(conn: Connection, *, batch_max: int, every_s: float) -> int:
    """Make due what waits though its endpoint is enabled or gone. Returns: how many.

    `every_s`: how often this is called, so that the pace of an endpoint is kept.
    """
    return await _wake_for(conn, await conn.fetchval(_RELEASE_STRAGGLERS, batch_max, every_s))


async def discard_deliveries(conn: Connection, *, endpoint_id: UUID, batch_max: int) -> int:
    """Give up what waits for an endpoint; counted as cancelled. Returns: how many."""
    count: int = await conn.fetchval(_DISCARD, endpoint_id, batch_max, endpoint_id.int % TALLY_SHARDS)
    return count


async def insert_signing_secret(conn: Connection, secret: SecretStr, keyring: Keyring = NO_KEYS) -> None:
    """Keep it as the deployment's own, unless there is one."""
    await conn.execute(_INSERT_SIGNING_SECRET, encrypt_secret(secret, keyring, row=DEPLOYMENT))


async def fetch_signing_secrets(
    conn: Connection, keyring: Keyring = NO_KEYS
) -> tuple[tuple[SecretStr, ...], bool] | None:
    """The deployment's own, current one first, and whether they sign themselves; None before first use.

    Errors: `Unreadable`.
    """
    row = await conn.fetchrow(_FETCH_SIGNING_SECRETS)
    return None if row is None else (_secrets(row["secrets"], keyring, DEPLOYMENT), row["shared"])


async def list_signing_origins(conn: Connection) -> dict[str, tuple[int, bool]]:
    """Whose secret was rotated: how often, and whether the one before signs, too."""
    rows = await conn.fetch(_LIST_SIGNING_ORIGINS)
    return {row["origin"]: (row["generation"], row["overlapping"]) for row in rows}


async def rotate_signing_origin(conn: Connection, origin: str, *, overlap_s: float) -> None:
    await conn.execute(_ROTATE_SIGNING_ORIGIN, origin, overlap_s)


async def end_shared_secret(conn: Connection) -> None:
    """From now on the deployment's own secret signs nothing itself."""
    await conn.execute(_END_SHARED_SECRET)


async def _wake_for(conn: Connection, released: int) -> int:
    if released:
        await wake(conn, Channel.WEBHOOK)
    return released


def _secrets(kept: Sequence[str], keyring: Keyring, row: UUID | None) -> tuple[SecretStr, ...]:
    """The present one, and the previous one behind it."""
    columns = (SECRET, PREVIOUS)[: len(kept)]
    return tuple(
        open_secret(text, keyring, row=row, column=column) for text, column in zip(kept, columns, strict=True)
    )
