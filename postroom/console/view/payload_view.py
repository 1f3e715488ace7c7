"""A payload as an operator can use it: the mail as it looks, the webhook as a command."""

from __future__ import annotations

import shlex
from datetime import datetime
from uuid import UUID

from yarl import URL

from postroom.base import json
from postroom.base.db import Connection
from postroom.base.errors import InvalidPayload, NotFound
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.mime import Content
from postroom.channels.email.template_origin import TemplateOrigin, fetch_origin
from postroom.channels.webhooks import deployment_secret
from postroom.channels.webhooks.payload import build_body, read_payload
from postroom.channels.webhooks.signing import signed_headers
from postroom.channels.webhooks.store import fetch_targets
from postroom.encryption.keyring import Keyring
from postroom.outbox.encryption import UNREADABLE
from postroom.outbox.ledger.story import MessageStory
from postroom.outbox.model import Adapter


async def mail_content(adapter: Adapter, story: MessageStory) -> Content:
    """Subject, text and HTML of a mail as its receiver saw them, or as one would who had it now.

    Errors: `InvalidPayload`, what the template raises, the database's own.
    """
    payload = story.payload
    if not isinstance(adapter, EmailAdapter) or not isinstance(payload, dict):
        raise InvalidPayload("this is no mail", field="payload")
    if UNREADABLE in payload:
        raise InvalidPayload(payload[UNREADABLE], field="payload")
    return await adapter.preview(payload, content_hash=story.content_hash)


async def mail_origin(
    conn: Connection, adapter: Adapter, story: MessageStory, keyring: Keyring
) -> TemplateOrigin | None:
    """What a mail was rendered from, and whether that is its template still; None for what was not."""
    if not isinstance(adapter, EmailAdapter):
        return None
    return await fetch_origin(conn, story.content_hash, keyring=keyring, folders=adapter.folders)


async def curl_command(
    conn: Connection, story: MessageStory, *, endpoint_id: UUID | None, keyring: Keyring, now: datetime
) -> str:
    """The delivery as a command for a shell, signed for now: receivers take it for five minutes.

    Errors: `InvalidPayload` for what could never be sent, `NotFound` for a deleted endpoint, `Unreadable`.
    """
    message = story.message
    payload = read_payload(json.encode(story.payload), tenant=message.tenant, type_=message.type)
    if payload.url is not None:
        found = await deployment_secret.fetch_or_create_secrets(conn, keyring)
        url, secrets = payload.url, found.of(URL(payload.url))
    elif endpoint_id is not None:
        target = (await fetch_targets(conn, [endpoint_id], keyring)).get(endpoint_id)
        if target is None:
            raise NotFound("its endpoint was deleted")
        url, secrets = target.url, target.secrets
    else:
        raise NotFound("it has no receiver left to show")
    body = build_body(payload, type_=message.type, created_at=message.created_at)
    headers = {"content-type": "application/json", **signed_headers(message.id, body, at=now, keys=secrets)}
    parts = ["curl -sS -X POST " + shlex.quote(url)]
    parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    parts.append(f"--data-raw {shlex.quote(body.decode())}")
    return " \\\n  ".join(parts)
