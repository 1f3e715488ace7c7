"""The breakers: why they are open, and the hand that holds or releases one."""

from __future__ import annotations

from typing import Final, get_args

from starlette.responses import Response

from postroom.admin.circuits import Force, force
from postroom.admin.tokens import Scope
from postroom.base.cursor import decode_cursor, encode_cursor
from postroom.base.errors import InvalidInput
from postroom.channels.webhooks.receivers import fetch_receivers, list_circuits
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import PAGE_ROWS, choice
from postroom.resilience.breaker import CircuitState

ACTIONS: Final[dict[str, Force]] = {action: action for action in get_args(Force)}


async def circuits(request: PageRequest) -> Response:
    filters = {"state": choice(request.http, "state", [state.value for state in CircuitState])}
    after = decode_cursor(request.http.query_params.get("cursor"), str) or ""
    async with request.console.snapshot() as conn:
        found = await list_circuits(conn, state=filters["state"], after=after, limit=PAGE_ROWS + 1)
        receivers = await fetch_receivers(conn, [row["name"] for row in found])
    return request.page(
        "circuits.html",
        active="circuits",
        filters=filters,
        states=tuple(CircuitState),
        rows=found[:PAGE_ROWS],
        receivers=receivers,
        more=encode_cursor(found[PAGE_ROWS - 1]["name"]) if len(found) > PAGE_ROWS else None,
        may_write=request.may(Scope.CIRCUITS_WRITE),
    )


async def change(request: PageRequest, form: Form) -> Response:
    """Hold it open or closed until it is released; released it is closed."""
    name, action, reason = field(form, "name"), field(form, "action"), field(form, "reason")
    if action not in ACTIONS:
        raise InvalidInput(f"action is one of {', '.join(ACTIONS)}", field="action")
    async with request.console.transaction() as conn:
        await force(conn, name, ACTIONS[action], reason=reason, actor=request.actor)
    done = "released" if action == "release" else f"held {action}"
    return request.back("/console/circuits", f"{name} is {done}.")
