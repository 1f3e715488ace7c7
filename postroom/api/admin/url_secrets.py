"""/v1/admin/url-secrets: what a receiver verifies with whose url stands in payloads, in no endpoint."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, SecretStr
from yarl import URL

from postroom.admin import endpoints as actions
from postroom.api.admin.callers import EndpointWriter, GuardedRoute
from postroom.api.context import Context, ContextDependency
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.deployment_secret import origin_of
from postroom.channels.webhooks.url import parse_url

router = APIRouter(prefix="/v1/admin/url-secrets", tags=["endpoints"], route_class=GuardedRoute)


class ReceiverUrl(BaseModel):
    """Its origin counts: scheme, host and port."""

    model_config = ConfigDict(extra="forbid")

    url: str


class UrlRotation(ReceiverUrl):
    """`overlap_s`: for so long the present secret signs too; 0 where it has leaked."""

    overlap_s: float = endpoints.OVERLAP_S


class UrlSecret(BaseModel):
    origin: str
    secret: str


@router.post("/show")
async def show_url_secret(body: ReceiverUrl, context: ContextDependency, caller: EndpointWriter) -> UrlSecret:
    """The secret that signs webhooks to urls of this origin. Who has looked is in the trail."""
    url = _parsed(context, body.url)
    async with context.transaction() as conn:
        secret = await actions.show_url_secret(conn, url, keyring=context.keyring, actor=caller)
    return _answer(url, secret)


@router.post("/rotate")
async def rotate_url_secret(
    body: UrlRotation, context: ContextDependency, caller: EndpointWriter
) -> UrlSecret:
    """A new secret for this origin; for `overlap_s` (24 h unless told) the old one signs too."""
    url = _parsed(context, body.url)
    async with context.transaction() as conn:
        secret = await actions.rotate_url_secret(
            conn, url, overlap_s=body.overlap_s, keyring=context.keyring, actor=caller
        )
    return _answer(url, secret)


def _parsed(context: Context, url: str) -> URL:
    webhook = context.settings.webhook
    return parse_url(url, allow_private=webhook.private, allow_http=webhook.http)


def _answer(url: URL, secret: SecretStr) -> UrlSecret:
    return UrlSecret(origin=origin_of(url), secret=secret.get_secret_value())
