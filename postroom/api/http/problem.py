"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from postroom.base.errors import PostroomError

MEDIA_TYPE: Final = "application/problem+json"
DETAIL_CHARACTERS_MAX: Final = 2_000
FIELD_CHARACTERS_MAX: Final = 300


def problem_response(error: PostroomError, *, request_id: str | None = None) -> Response:
    """The answer for an expected error. `detail` is safe to show by the error's own promise."""
    document: dict[str, object] = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": _cut(error.detail, DETAIL_CHARACTERS_MAX),
    }
    if error.field is not None:
        document["field"] = _cut(error.field, FIELD_CHARACTERS_MAX)
    if request_id is not None:
        document["request_id"] = request_id
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="postroom"'
    return Response(
        msgspec.json.encode(document), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


def _cut(text: str, characters_max: int) -> str:
    """A field is named by whoever sent it: a name of a megabyte must not become an answer of two."""
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
