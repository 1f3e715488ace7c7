"""Endpoints of customers: how they are, and what can be done for them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from starlette.responses import Response

from postroom.admin import endpoints as actions
from postroom.admin.endpoints import PING_TYPE
from postroom.admin.tokens import Scope
from postroom.base import json
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.db import plan_for_values
from postroom.base.errors import InvalidInput
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.brokers.kinds import is_broker
from postroom.channels.webhooks.deployment_secret import origin_of
from postroom.channels.webhooks.endpoints import OVERLAP_MAX_S, OVERLAP_S
from postroom.channels.webhooks.model import WAITING_COUNT_MAX, EndpointSecret
from postroom.channels.webhooks.receivers import fetch_breakers, fetch_last_answer
from postroom.channels.webhooks.url import parse_url
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import PAGE_ROWS, number, parse_moment, path_id, text
from postroom.outbox.ledger.dead_letters import DeadLetterFilter, count_of_endpoints, list_dead_letters
from postroom.outbox.ledger.messages import LedgerFilter, list_messages
from postroom.outbox.ledger.recovery import PACE_DEFAULT, PACE_MAX, Only, Recovery
from postroom.outbox.model import Channel

DEAD_CAP: Final = 1_000
RECENT_SHOWN: Final = 8
PLACE: Final = "/console/webhooks"
HOUR_S: Final = 3_600


async def webhooks(request: PageRequest) -> Response:
    return await _list_page(request)


async def url_secret(request: PageRequest, form: Form) -> Response:
    """The secret of a url's origin, which is shown here; a new one where that is asked for."""
    webhook, text = request.console.settings.webhook, field(form, "url")
    url = parse_url(text, allow_private=webhook.private, allow_http=webhook.http)
    keyring, actor = request.console.keyring, request.actor
    async with request.console.transaction() as conn:
        if field(form, "rotate"):
            hours = number(
                form, "overlap_hours", low=0, high=OVERLAP_MAX_S / HOUR_S, default=OVERLAP_S / HOUR_S
            )
            secret = await actions.rotate_url_secret(
                conn, url, overlap_s=hours * HOUR_S, keyring=keyring, actor=actor
            )
        else:
            secret = await actions.show_url_secret(conn, url, keyring=keyring, actor=actor)
    return await _list_page(request, origin=origin_of(url), secret=secret.get_secret_value())


async def _list_page(request: PageRequest, *, origin: str = "", secret: str = "") -> Response:
    tenant = text(request.http, "tenant")
    after = decode_cursor(request.http.query_params.get("cursor"), UUID)
    async with request.console.snapshot() as conn:
        await plan_for_values(conn)
        found = await endpoints.list_endpoints(
            conn, tenant=tenant, reach=request.session.reach, after=after, limit=PAGE_ROWS + 1
        )
        dead = await count_of_endpoints(conn, [each.id for each in found], cap=DEAD_CAP)
        breakers = await fetch_breakers(conn, [each.id for each in found])
    more = encode_cursor(found[PAGE_ROWS - 1].id) if len(found) > PAGE_ROWS else None
    return request.page(
        "webhooks.html", active="webhooks", filters={"tenant": tenant}, rows=found[:PAGE_ROWS], dead=dead,
        dead_cap=DEAD_CAP, waiting_cap=WAITING_COUNT_MAX, breakers=breakers, more=more,
        may_write=request.may(Scope.ENDPOINTS_WRITE), origin=origin, secret=secret,
    )  # fmt: skip


async def webhook(request: PageRequest) -> Response:
    return await _endpoint_page(request, path_id(request.http))


async def create(request: PageRequest, form: Form) -> Response:
    """The new endpoint's page with its secret, which is shown this once."""
    async with request.console.transaction() as conn:
        made = await actions.create(
            conn,
            tenant=field(form, "tenant"),
            url=field(form, "url"),
            types=field(form, "types", "*").replace(",", " ").split() or ["*"],
            description=field(form, "description"),
            secret=_login(form),
            allow_private=request.console.settings.webhook.private,
            allow_http=request.console.settings.webhook.http,
            brokers=request.console.settings.webhook.brokers,
            keyring=request.console.keyring,
            actor=request.actor,
        )
    return await _endpoint_page(request, made.endpoint.id, made=made)


async def rotate(request: PageRequest, form: Form) -> Response:
    """A new secret; the present one signs too for 24 h. Of a broker, the login that is given."""
    endpoint_id = path_id(request.http)
    async with request.console.transaction() as conn:
        made = await actions.rotate_secret(
            conn, endpoint_id, secret=_login(form), keyring=request.console.keyring, actor=request.actor
        )
    return await _endpoint_page(request, endpoint_id, made=made)


async def park(request: PageRequest, form: Form) -> Response:
    endpoint_id = path_id(request.http)
    async with request.console.transaction() as conn:
        await actions.park(conn, endpoint_id, reason=field(form, "reason"), actor=request.actor)
    return request.back(f"{PLACE}/{endpoint_id}", "Parked: what is published for it waits.")


async def resume(request: PageRequest, form: Form) -> Response:
    endpoint_id = path_id(request.http)
    async with request.console.transaction() as conn:
        await actions.resume(conn, endpoint_id, pace_per_s=_pace(field(form, "pace")), actor=request.actor)
    return request.back(f"{PLACE}/{endpoint_id}", "Resumed: what waited is on its way.")


async def discard(request: PageRequest, _form: Form) -> Response:
    endpoint_id = path_id(request.http)
    async with request.console.transaction() as conn:
        count, left = await actions.discard(conn, endpoint_id, actor=request.actor)
    more = " There are more: discard again." if left.waiting else ""
    return request.back(f"{PLACE}/{endpoint_id}", f"Discarded: {count:,}.{more}")


async def recover(request: PageRequest, form: Form) -> Response:
    """Send what died for it and what never went to it, or only count that."""
    endpoint_id = path_id(request.http)
    since, only = parse_moment(field(form, "since"), "since"), field(form, "only") or None
    if since is None or only not in (None, *Only):
        raise InvalidInput("since is a time, and only is failed or missing", field="since")
    until = parse_moment(field(form, "until"), "until")
    wanted = Recovery(endpoint_id, since, until, Only(only) if only else None)
    async with request.console.transaction() as conn:
        found, run_id = await actions.recover(
            conn,
            wanted,
            pace_per_s=number(form, "pace", low=0.1, high=PACE_MAX, default=PACE_DEFAULT),
            dry_run=bool(field(form, "dry_run")),
            actor=request.actor,
        )
    if run_id:
        return request.back(f"/console/replays/{run_id}", "It is on its way.")
    return request.back(f"{PLACE}/{endpoint_id}", found.told())


async def ping(request: PageRequest, form: Form) -> Response:
    """A webhook to this endpoint alone: a ping, or an example of any type."""
    endpoint_id = path_id(request.http)
    event_type, data = field(form, "type") or PING_TYPE, _data(field(form, "data"))
    async with request.console.transaction() as conn:
        message_id = await actions.ping(
            conn,
            endpoint_id,
            data=data,
            event_type=event_type,
            keyring=request.console.keyring,
            actor=request.actor,
        )
    return request.back(f"/console/messages/{message_id}", f"{event_type} is on its way to this endpoint.")


def _login(form: Form) -> SecretStr | None:
    text = field(form, "login")
    return SecretStr(text) if text else None


def _pace(value: str) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        raise InvalidInput("pace is a number of deliveries a second", field="pace") from None


def _data(value: str) -> dict[str, Any]:
    data = json.decode(value) if value else {"hello": "from Postroom"}
    if not isinstance(data, dict):
        raise InvalidInput("data is a JSON object", field="data")
    return data


async def _endpoint_page(
    request: PageRequest, endpoint_id: UUID, *, made: EndpointSecret | None = None
) -> Response:
    async with request.console.snapshot() as conn:
        endpoint = await endpoints.fetch_endpoint(conn, endpoint_id)
        dead = await count_of_endpoints(conn, [endpoint_id], cap=DEAD_CAP)
        breakers = await fetch_breakers(conn, [endpoint_id])
        answer = await fetch_last_answer(conn, endpoint_id, tenant=endpoint.tenant)
        letters = await list_dead_letters(conn, DeadLetterFilter(destination=str(endpoint_id)), limit=1)
        wanted = LedgerFilter(channel=Channel.WEBHOOK, tenant=endpoint.tenant)
        recent = await list_messages(conn, wanted, limit=RECENT_SHOWN)
    return request.page(
        "webhook.html",
        active="webhooks",
        place=f"{PLACE}/{endpoint_id}",
        endpoint=endpoint,
        dead=dead.get(str(endpoint_id), 0),
        dead_cap=DEAD_CAP,
        waiting_cap=WAITING_COUNT_MAX,
        circuit=breakers.get(endpoint_id),
        broker=is_broker(endpoint.url),
        answer=answer,
        letter=letters.rows[0] if letters.rows else None,
        recent=recent.rows,
        types=[each for each in endpoint.types if "*" not in each],
        secret=made.secret.get_secret_value() if made else None,
        ping_type=PING_TYPE,
        may_write=request.may(Scope.ENDPOINTS_WRITE),
        may_replay=request.may(Scope.OUTBOX_REPLAY),
    )
