"""Setting and removing limits, from the page of the channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response

from postroom.admin import limits
from postroom.base.errors import InvalidInput
from postroom.console.access.security import Form, field
from postroom.console.page_request import PageRequest
from postroom.console.pages.channels import PLACE
from postroom.outbox.limits import LimitKey

Number = TypeVar("Number", int, float)


async def set_limit(request: PageRequest, form: Form) -> Response:
    key = _key(form)
    per_second, in_flight = _number(form, "per_second", float), _number(form, "in_flight", int)
    async with request.console.transaction() as conn:
        await limits.set_limit(
            conn,
            key,
            per_second=per_second,
            in_flight=in_flight,
            reason=field(form, "reason"),
            actor=request.actor,
        )
    return request.back(PLACE, f"{key.channel} is limited.")


async def remove_limit(request: PageRequest, form: Form) -> Response:
    key = _key(form)
    async with request.console.transaction() as conn:
        await limits.remove_limit(conn, key, actor=request.actor)
    return request.back(PLACE, f"That limit of {key.channel} is gone.")


def _key(form: Form) -> LimitKey:
    return LimitKey(field(form, "channel"), field(form, "tenant") or None, field(form, "destination") or None)


def _number(form: Form, name: str, kind: Callable[[str], Number]) -> Number | None:
    """Errors: `InvalidInput` for what is not of this kind; the action knows the bounds."""
    value = field(form, name)
    try:
        return kind(value) if value else None
    except ValueError:
        whole = "a whole number" if kind is int else "a number"
        raise InvalidInput(f"{name} is {whole}", field=name) from None
