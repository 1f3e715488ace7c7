"""POST /v1/email/events/{provider}: what providers tell of the mails that they took."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postroom.api.context import context_of
from postroom.api.http.problem import problem_response
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY
from postroom.base.errors import PostroomError, Unavailable
from postroom.channels.email.events.intake import note
from postroom.channels.email.events.model import Provider

PATH: Final = "/v1/email/events/{provider}"
BREVO_AGAIN: Final = 429
"""Brevo sends nothing again after 5xx: https://developers.brevo.com/docs/retry-mechanism"""


async def email_events(request: Request) -> Response:
    """200 only after the commit, for what was known before too. 401 where the provider has not signed it, 404
    where none is set up, 400 for another form, 413 too large, 503 while the database is away: providers then
    send it again."""
    name = request.path_params["provider"]
    try:
        return JSONResponse(await _take(request, name))
    except (Unavailable, TimeoutError, *DATABASE_AWAY, *DATABASE_BUSY) as error:
        if name != Provider.BREVO:
            raise
        return _brevo_again(request, error)


async def _take(request: Request, name: str) -> dict[str, int]:
    context, body = context_of(request), await request.body()
    provider, events = await context.email_events.read(name, request.headers, body)
    async with context.transaction() as conn:
        return await note(
            conn,
            provider,
            events,
            keyring=context.keyring,
            now=context.clock.now(),
            tells=context.settings.email.events_tenant,
        )


def _brevo_again(request: Request, error: BaseException) -> Response:
    away = (
        error if isinstance(error, PostroomError) else Unavailable("the database is away", retry_after_s=60)
    )
    answer = problem_response(away, request_id=getattr(request.state, "request_id", None))
    answer.status_code = BREVO_AGAIN
    return answer


EMAIL_EVENTS_ROUTE: Final = Route(PATH, email_events, methods=["POST"])
