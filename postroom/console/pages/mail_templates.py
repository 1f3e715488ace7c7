"""The mail templates: what is wrong with each, how it looks with its sample, and a test to oneself."""

from __future__ import annotations

from typing import Any, Final

from markupsafe import escape
from starlette.responses import HTMLResponse, Response

from postroom.admin import templates as actions
from postroom.admin.scopes import Scope
from postroom.base.errors import InvalidInput, PostroomError
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.locales import LANGUAGES
from postroom.channels.email.template import TemplateFailed
from postroom.channels.email.template_check import read_sample
from postroom.console.access.security import PREVIEW_POLICY, Form, field, protect
from postroom.console.page_request import PageRequest
from postroom.console.view.filters import visible
from postroom.console.view.parameters import choice, text
from postroom.outbox.model import Channel

TEMPLATES_MAX: Final = 100
PREVIEW_CHARACTERS_MAX: Final = 1_000_000


async def mail_templates(request: PageRequest) -> Response:
    """All of them, tried with their samples."""
    adapter = _adapter(request)
    names = adapter.folders.begun()
    rows = [(name, await adapter.check_template(name)) for name in names[:TEMPLATES_MAX]]
    return request.page(
        "mail_templates.html",
        active="templates",
        rows=rows,
        cut=len(names) - len(rows),
        locale=choice(request.http, "locale", LANGUAGES),
        languages=sorted(LANGUAGES),
        may_send=request.may(Scope.EVENTS_WRITE),
    )


async def preview(request: PageRequest) -> Response:
    """A template with its sample, as a frame without scripts, forms and foreign images."""
    try:
        adapter, name = _adapter(request), text(request.http, "name") or ""
        locale = choice(request.http, "locale", LANGUAGES)
        done = await adapter.render(name, _sample(adapter, name), locale=locale)
    except (PostroomError, TemplateFailed) as error:
        body = f"<p>It cannot be shown: {escape(visible(error, 1_000))}</p>"
    else:
        as_text = text(request.http, "form") == "text"
        body = f"<pre>{escape(done.subject)}\n\n{escape(done.text)}</pre>" if as_text else done.html
    return protect(HTMLResponse(body[:PREVIEW_CHARACTERS_MAX]), policy=PREVIEW_POLICY)


async def send_test(request: PageRequest, form: Form) -> Response:
    """One mail with the sample, through the ledger."""
    name, adapter = field(form, "name"), _adapter(request)
    sample = _sample(adapter, name)
    async with request.console.transaction() as conn:
        sent = await actions.send_test(
            conn,
            template=name,
            data=sample,
            to=field(form, "to"),
            locale=field(form, "locale") or None,
            folders=adapter.folders,
            keyring=request.console.keyring,
            actor=request.actor,
        )
    return request.back(f"/console/messages/{sent}", "A test is on its way.")


def _sample(adapter: EmailAdapter, name: str) -> dict[str, Any]:
    sample = read_sample(adapter.folders, name)
    if sample is None:
        raise InvalidInput(f"{name} has no sample: write {name}.sample.json beside it", field="name")
    return sample


def _adapter(request: PageRequest) -> EmailAdapter:
    adapter = request.console.adapters[Channel.EMAIL]
    if not isinstance(adapter, EmailAdapter):
        raise TypeError("the email channel is served by another adapter")
    return adapter
