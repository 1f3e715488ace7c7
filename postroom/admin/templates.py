"""What an operator does with mail templates."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.base.errors import InvalidPayload
from postroom.channels.email import payload
from postroom.channels.email.address import mask
from postroom.channels.email.template import TemplateFolders
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish

TEST_TYPE: Final = "template.test"
TEST_HEADER: Final = "X-Postroom-Test"


async def send_test(
    conn: Connection,
    *,
    template: str,
    data: dict[str, Any],
    to: str,
    locale: str | None = None,
    folders: TemplateFolders,
    keyring: Keyring,
    actor: Actor,
) -> UUID:
    """Publish one mail as any other, but of the type `template.test` and with a header that says so.

    Returns: the message's id; a runner sends it. Errors: `InvalidPayload`. Transaction: the caller's.
    """
    body = {"to": to, "template": template, "data": data, "headers": {TEST_HEADER: "yes"}}
    if locale:
        body["locale"] = locale
    payload.parse(body, attachments_bytes_max=0)
    if not folders.has(template):
        raise InvalidPayload(folders.fault_of(template), field="template")
    message = Message(channel=Channel.EMAIL, type=TEST_TYPE, payload=body)
    published = await publish(conn, message, keyring=keyring)
    await record(conn, actor, "template.send_test", published.id, template=template, to=mask(to))
    return published.id
