"""/unsubscribe: where the link in a mail leads. GET asks, POST acts (RFC 8058), whoever calls."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Final

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from postroom.api.context import Context, context_of
from postroom.base.errors import InvalidInput
from postroom.base.log import get_logger
from postroom.channels.email.address import mask
from postroom.channels.email.unsubscribe_link import PATH, Unsubscribe, read_token
from postroom.channels.email.unsubscribes import unsubscribe

# Nothing is loaded, nothing may frame it, and the link is told to nobody: it is the key.
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto 0; padding: 0 1rem; }
button { font: inherit; padding: 0.5rem 1.5rem; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$text</p>
$form
</main>
</body>
</html>
""")
_FORM: Final = '<form method="post"><button>Unsubscribe</button></form>'

log = get_logger(__name__)


async def unsubscribe_page(request: Request) -> Response:
    """A look changes nothing, for mail scanners follow every link. A second click says what the first did."""
    context = context_of(request)
    secrets = context.settings.email.unsubscribe_secrets or SecretStr("")
    try:
        wish = read_token(secrets, request.query_params.get("t", ""))
    except InvalidInput:
        text = "The link is incomplete or no longer valid. Open it from the mail again, or answer that mail."
        return _page("This link does not work", text, status=404)
    who, what = escape(mask(wish.address)), escape(wish.category)
    if request.method != "POST":
        return _page("Unsubscribe?", f"{who} will get no more mail of the kind “{what}”.", form=_FORM)
    await _note(context, wish)
    return _page("Unsubscribed", f"{who} gets no more mail of the kind “{what}”.")


async def _note(context: Context, wish: Unsubscribe) -> None:
    async with context.transaction() as conn:
        _, is_new = await unsubscribe(
            conn,
            address=wish.address,
            tenant=wish.tenant,
            category=wish.category,
            message_id=wish.message_id,
        )
    log.info("email.unsubscribed", message_id=str(wish.message_id), category=wish.category, is_new=is_new)


def _page(title: str, text: str, *, form: str = "", status: int = 200) -> Response:
    return HTMLResponse(_PAGE.substitute(title=title, text=text, form=form), status, headers=_HEADERS)


UNSUBSCRIBE_ROUTE: Final = Route(PATH, unsubscribe_page, methods=["GET", "POST"])
