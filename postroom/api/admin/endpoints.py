"""/v1/admin/endpoints: where the operator's customers get their webhooks."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from postroom.admin import endpoints as actions
from postroom.api.admin.callers import (
    KEEPS_TO_REACH,
    EndpointId,
    EndpointWriter,
    GuardedRoute,
    Reader,
    Replayer,
)
from postroom.api.context import ContextDependency
from postroom.api.http.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.model import Endpoint, EndpointSecret
from postroom.outbox.ledger.recovery import PACE_DEFAULT, PACE_MAX, Only, Recovery

router = APIRouter(prefix="/v1/admin/endpoints", tags=["endpoints"], route_class=GuardedRoute)

Types = Annotated[list[str], Field(min_length=1, max_length=100)]


class NewEndpoint(BaseModel):
    """Without `secret` one is made. That of a broker is its login: `user:password` or a token."""

    model_config = ConfigDict(extra="forbid")

    tenant: str
    url: str
    types: Types = ["*"]
    description: str = ""
    secret: SecretStr | None = None


class EndpointChange(BaseModel):
    """What is given is changed."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = None
    types: Types | None = None
    description: str | None = None


class Parking(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500)


class Resuming(BaseModel):
    """Without `pace_per_s`, all that waited is due at once."""

    model_config = ConfigDict(extra="forbid")

    pace_per_s: Annotated[float | None, Field(gt=0, le=endpoints.PACE_MAX)] = None


class Discarded(BaseModel):
    """`endpoint.waiting` tells whether there are more: ask again."""

    discarded: int
    endpoint: Endpoint


class Recovering(BaseModel):
    """What died, and what was published and never went to the endpoint, from `since` until before `until`.

    Without `only` both are sent; without `until` it ends now.
    """

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime
    until: AwareDatetime | None = None
    only: Only | None = None
    dry_run: bool = False
    pace_per_s: Annotated[float, Field(gt=0, le=PACE_MAX)] = PACE_DEFAULT


class Recovered(BaseModel):
    """What there was before anything was done. `emptied`: missing too, but the payload is gone.

    `truncated`: counted among the first 100,000 dead letters and 20,000 messages; there may be more.
    `run_id`: the replay, which can be watched, paused and taken back (console, `postroom replays`).
    """

    dry_run: bool
    failed: int
    missing: int
    emptied: int
    truncated: bool
    run_id: UUID | None = None


class Rotation(BaseModel):
    """`overlap_s`: for so long the present secret signs too; 0 where it has leaked."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr | None = None
    overlap_s: float = endpoints.OVERLAP_S


class EndpointWithSecret(BaseModel):
    """The secret is shown here and never again; it is empty where it is the login of a broker."""

    endpoint: Endpoint
    secret: str


class Deleted(BaseModel):
    id: UUID
    deleted: bool = True


class EndpointQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str | None, Field(max_length=200)] = None
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor = None


@router.get("", dependencies=[KEEPS_TO_REACH])
async def list_endpoints(
    query: Annotated[EndpointQuery, Query()], context: ContextDependency, caller: Reader
) -> Page[Endpoint]:
    """Endpoints, oldest first."""
    after = decode_cursor(query.cursor, UUID)
    async with context.snapshot() as conn:
        found = await endpoints.list_endpoints(
            conn, tenant=query.tenant, reach=caller.reach, after=after, limit=query.limit + 1
        )
    return page_of(found, query.limit, lambda endpoint: endpoint.id)


@router.post("", status_code=201, dependencies=[KEEPS_TO_REACH])
async def create_endpoint(
    body: NewEndpoint, context: ContextDependency, caller: EndpointWriter
) -> EndpointWithSecret:
    """Register an endpoint. Its signing secret is in this answer and in no later one."""
    async with context.transaction() as conn:
        created = await actions.create(
            conn,
            tenant=body.tenant,
            url=body.url,
            types=body.types,
            description=body.description,
            secret=body.secret,
            allow_private=context.settings.webhook.private,
            allow_http=context.settings.webhook.http,
            brokers=context.settings.webhook.brokers,
            keyring=context.keyring,
            actor=caller,
        )
    return _with_secret(created)


@router.get("/{endpoint_id}")
async def fetch_endpoint(endpoint_id: EndpointId, context: ContextDependency, _: Reader) -> Endpoint:
    """One endpoint, without its secret."""
    async with context.snapshot() as conn:
        return await endpoints.fetch_endpoint(conn, endpoint_id)


@router.patch("/{endpoint_id}")
async def update_endpoint(
    endpoint_id: EndpointId,
    body: EndpointChange,
    context: ContextDependency,
    caller: EndpointWriter,
) -> Endpoint:
    """Change the given fields."""
    async with context.transaction() as conn:
        return await actions.update(
            conn,
            endpoint_id,
            url=body.url,
            types=body.types,
            description=body.description,
            allow_private=context.settings.webhook.private,
            allow_http=context.settings.webhook.http,
            brokers=context.settings.webhook.brokers,
            actor=caller,
        )


@router.delete("/{endpoint_id}")
async def delete_endpoint(
    endpoint_id: EndpointId, context: ContextDependency, caller: EndpointWriter
) -> Deleted:
    """Delete it. What waited for it becomes dead letters that say why."""
    async with context.transaction() as conn:
        await actions.delete(conn, endpoint_id, actor=caller)
    return Deleted(id=endpoint_id)


@router.post("/{endpoint_id}/park")
async def park_endpoint(
    endpoint_id: EndpointId,
    body: Parking,
    context: ContextDependency,
    caller: EndpointWriter,
) -> Endpoint:
    """Hold everything for it back until it is resumed."""
    async with context.transaction() as conn:
        return await actions.park(conn, endpoint_id, reason=body.reason, actor=caller)


@router.post("/{endpoint_id}/resume")
async def resume_endpoint(
    endpoint_id: EndpointId,
    context: ContextDependency,
    caller: EndpointWriter,
    body: Resuming | None = None,
) -> Endpoint:
    """Deliver to it again, what waited included."""
    async with context.transaction() as conn:
        pace_per_s = None if body is None else body.pace_per_s
        return await actions.resume(conn, endpoint_id, pace_per_s=pace_per_s, actor=caller)


@router.post("/{endpoint_id}/discard")
async def discard_waiting(
    endpoint_id: EndpointId, context: ContextDependency, caller: EndpointWriter
) -> Discarded:
    """Give up what waits for it, 10,000 at a time: it is never sent, and counts as cancelled."""
    async with context.transaction() as conn:
        count, endpoint = await actions.discard(conn, endpoint_id, actor=caller)
    return Discarded(discarded=count, endpoint=endpoint)


@router.post("/{endpoint_id}/recover")
async def recover_endpoint(
    endpoint_id: EndpointId, body: Recovering, context: ContextDependency, caller: Replayer
) -> Recovered:
    """Send what died for it and what never went to it, under the same ids, and nothing that it has."""
    wanted = Recovery(endpoint_id, body.since, body.until, body.only)
    async with context.transaction() as conn:
        found, run_id = await actions.recover(
            conn, wanted, pace_per_s=body.pace_per_s, dry_run=body.dry_run, actor=caller
        )
    return Recovered(
        dry_run=body.dry_run,
        failed=found.failed,
        missing=found.missing,
        emptied=found.emptied,
        truncated=found.truncated,
        run_id=run_id,
    )


@router.post("/{endpoint_id}/rotate")
async def rotate_secret(
    endpoint_id: EndpointId,
    body: Rotation,
    context: ContextDependency,
    caller: EndpointWriter,
) -> EndpointWithSecret:
    """A new signing secret; for `overlap_s` (24 h unless told) the old one signs too."""
    async with context.transaction() as conn:
        rotated = await actions.rotate_secret(
            conn,
            endpoint_id,
            secret=body.secret,
            overlap_s=body.overlap_s,
            keyring=context.keyring,
            actor=caller,
        )
    return _with_secret(rotated)


def _with_secret(made: EndpointSecret) -> EndpointWithSecret:
    return EndpointWithSecret(endpoint=made.endpoint, secret=made.secret.get_secret_value())
