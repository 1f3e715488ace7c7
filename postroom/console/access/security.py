"""What every answer says to the browser, and what is asked of a request that changes something."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from postroom.base.errors import InvalidInput, NotAllowed

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
# A mail brings its own styles. `sandbox` takes scripts, forms, links to the top and our origin from it.
PREVIEW_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
)
FIELDS_MAX: Final = 1_100
VALUE_LENGTH_MAX: Final = 300_000

Form = dict[str, list[str]]


def protect(response: Response, *, policy: str = POLICY) -> Response:
    """Nothing of ours is kept by a cache, framed by others, or loads anything from elsewhere."""
    headers = response.headers
    headers.setdefault("Cache-Control", "no-store")
    headers["Content-Security-Policy"] = policy
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    headers["Referrer-Policy"] = "same-origin"
    headers["X-Content-Type-Options"] = "nosniff"
    return response


def check_origin(request: Request) -> None:
    """Refuse a form that another site sent. Errors: `NotAllowed`."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site in ("same-origin", "none"):
            return
        raise NotAllowed("this form was sent from another site")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowed("this form was sent from another site")


async def read_form(request: Request) -> Form:
    """The fields of a form as browsers send it without files. Errors: `InvalidInput`."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise InvalidInput("a form is sent as application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidInput(f"no form of at most {FIELDS_MAX} fields in UTF-8") from None
    form: Form = {}
    for name, value in pairs:
        if len(value) > VALUE_LENGTH_MAX:
            raise InvalidInput("a field is too long", field=name[:50])
        form.setdefault(name, []).append(value)
    return form


def field(form: Form, name: str, default: str = "") -> str:
    """The first value of a field, without the spaces around it."""
    return form.get(name, [default])[0].strip()
