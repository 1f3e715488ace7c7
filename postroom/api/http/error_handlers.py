"""Every error becomes a problem document; clients never see a stack trace."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import asyncpg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from postroom.api.http.problem import problem_response
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY
from postroom.base.errors import InvalidInput, PostroomError, TooLarge, Unavailable
from postroom.base.log import get_logger

log = get_logger(__name__)

RETRY_AFTER_S: Final = 5


class UnprocessableInput(InvalidInput):
    """Well-formed, but a value is not what the field takes."""

    status = 422


class HttpProblem(PostroomError):
    """What the router itself refuses."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        phrase = HTTPStatus(status).phrase
        self.status = status
        self.title = phrase
        self.code = phrase.lower().replace(" ", "_").replace("-", "_")


async def on_expected(request: Request, error: Exception) -> Response:
    if not isinstance(error, PostroomError):
        raise error
    return _answer(request, error)


async def on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == TooLarge.status:
        return _answer(request, TooLarge(str(error.detail), field="body"))
    detail = {
        404: f"there is nothing at {request.url.path[:200]}",
        405: f"{request.method} is not possible here",
    }.get(error.status_code, str(error.detail))
    response = _answer(request, HttpProblem(error.status_code, detail))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def on_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [(_place(e["loc"]), str(e["msg"]).removeprefix("Value error, ")) for e in error.errors()[:10]]
    detail = "; ".join(f"{place}: {message}" for place, message in faults)
    return _answer(request, UnprocessableInput(detail, field=faults[0][0] if faults else None))


async def on_database_away(request: Request, error: Exception) -> Response:
    log.warning("http.database_away", error=type(error).__name__)
    return _answer(
        request, Unavailable("the database cannot be reached right now", retry_after_s=RETRY_AFTER_S)
    )


async def on_database_busy(request: Request, error: Exception) -> Response:
    log.warning("http.database_busy", error=type(error).__name__)
    return _answer(request, Unavailable("the database cannot do this right now", retry_after_s=RETRY_AFTER_S))


async def on_unusable_text(request: Request, _error: Exception) -> Response:
    return _answer(request, InvalidInput("a value holds what PostgreSQL cannot keep, such as NUL"))


def error_handlers() -> dict[Any, Any]:
    """For the `exception_handlers` of Starlette and FastAPI."""
    return {
        PostroomError: on_expected,
        HTTPException: on_http,
        RequestValidationError: on_validation,
        asyncpg.DataError: on_unusable_text,
        **dict.fromkeys(DATABASE_AWAY, on_database_away),
        **dict.fromkeys(DATABASE_BUSY, on_database_busy),
    }


def _place(location: tuple[int | str, ...]) -> str:
    named = [str(part) for part in location if part not in ("body", "query", "path")]
    return ".".join(named) or str(location[0])


def _answer(request: Request, error: PostroomError) -> Response:
    return problem_response(error, request_id=getattr(request.state, "request_id", None))
