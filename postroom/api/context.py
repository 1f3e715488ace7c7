"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from postroom.admin.request_context import RequestContext
from postroom.api.http.http_metrics import HttpMetrics
from postroom.api.intake.event_intake import EventIntake
from postroom.channels.email.events.intake import EmailEvents
from postroom.metrics.host import HostReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(RequestContext):
    """Kept in `app.state.context`."""

    host: HostReader
    intake: EventIntake
    email_events: EmailEvents
    started_s: float
    http_metrics: HttpMetrics

    def uptime_s(self) -> float:
        return self.clock.monotonic() - self.started_s


def context_of(connection: HTTPConnection) -> Context:
    return cast("Context", connection.app.state.context)


ContextDependency = Annotated[Context, Depends(context_of)]
