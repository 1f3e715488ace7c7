"""Routes, templates and schedules tried without a database, with the settings of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from postroom.base.settings import load_settings
from postroom.channels.email.mime import Content
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import folders_of
from postroom.channels.email.template_check import read_sample
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.rehearsal import Caused, rehearse
from postroom.channels.tasks.schedules import schedules_in
from postroom.client.task import Task
from postroom.testing.blocking import blocking
from postroom.testing.stripe_events import StripeEvent
from postroom.wiring import open_effects

if TYPE_CHECKING:
    from postroom.testing.published import Published


def route(
    event: StripeEvent | Mapping[str, Any], *, customer: Mapping[str, Any] | None = None
) -> list[Caused]:
    """The messages that an event would cause by POSTROOM_ROUTES and the handlers of POSTROOM_HANDLERS.

    `customer`: for routes that look at it. Errors: `AssertionError` where the event would fail, or a message
    could never be sent.
    """
    body = event.event if isinstance(event, StripeEvent) else dict(event)

    async def rehearsed() -> list[Caused]:
        parsed = parse(body)
        if customer is not None:
            parsed = msgspec.structs.replace(parsed, buyer=dict(customer))
        async with open_effects(load_settings()) as (effects, checks):
            told = await rehearse(effects, parsed, checks)
        if told.faults:
            raise AssertionError("; ".join(told.faults))
        return told.messages

    return blocking(rehearsed())


def render(
    mail: str | Published | Caused, data: Mapping[str, Any] | None = None, *, locale: str | None = None
) -> Content:
    """Subject, text and HTML of a template, or of a mail that was published or caused.

    Without `data` a template has its sample. Errors: `TemplateFailed`.
    """
    given = {"template": mail, "data": data, "locale": locale}
    payload: Mapping[str, Any] = given if isinstance(mail, str) else mail.payload
    name = payload.get("template")
    if name is None:
        return Content(payload.get("subject", ""), payload.get("text"), payload.get("html"))
    folders = folders_of(load_settings().email)
    filled = payload.get("data")
    if filled is None:
        filled = read_sample(folders, name) or {}

    async def rendered() -> Content:
        renderer = Renderer(folders)
        try:
            done = await renderer.render(name, dict(filled), locale=payload.get("locale"))
        finally:
            await renderer.close()
        return Content(done.subject, done.text, done.html)

    return blocking(rendered())


def times(task: Task[..., Any], *, after: datetime, count: int = 1) -> list[datetime]:
    """When the schedules of a task publish it next, after a moment; each time in the zone of its schedule."""
    planned = schedules_in({task.name: task}).values()
    return sorted(each for one in planned for each in islice(one.after(after), count))[:count]
