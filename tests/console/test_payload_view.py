"""The command beside a webhook is what the receiver would have got: it verifies."""

from __future__ import annotations

import html
import re
import shlex
import time
from pathlib import Path

from postroom.base.db import transaction
from postroom.base.settings import Settings
from postroom.channels.webhooks import endpoints
from postroom.dev.standard_webhooks import find_fault
from tests.console.http import visitor
from tests.fixtures.api import running_api

PUBLISH = """
select postroom.publish('webhook',
    '{"tenant": "acme", "type": "order.paid", "data": {"by": "O''Hara"}}')::text
"""


async def test_the_command_of_a_webhook_is_signed_as_its_receiver_expects(dsn: str, tmp_path: Path) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        async with transaction(api.pool) as conn:
            made = await endpoints.create_endpoint(conn, tenant="acme", url="https://acme.example/hooks")
        message_id = await api.pool.fetchval(PUBLISH)
        await guest.sign_in(api.token)
        page = await guest.post(f"/console/messages/{message_id}/reveal")
        [shown] = re.findall(r"<code>(curl .*?)</code>", page.text, re.DOTALL)
        words = shlex.split(html.unescape(shown))
        assert words[4] == made.endpoint.url
        headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
        body = words[words.index("--data-raw") + 1].encode()
        secrets = [made.secret.get_secret_value()]
        assert find_fault(headers, body, secrets=secrets, now_s=time.time()) is None
        assert find_fault(headers, body + b" ", secrets=secrets, now_s=time.time()) is not None
        assert headers["webhook-id"] == message_id
        assert b'"data":{"by":"O\'Hara"}' in body
