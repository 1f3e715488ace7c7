"""What the adapter answers where it could not even begin."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.dev.mailbox import AfterData, Mailbox
from postroom.outbox.model import Claim, Deferred, Wait
from tests.factories.claims import make_claim
from tests.fixtures.roles import pool_as


def _claim(number: int) -> Claim:
    payload = json.encode({"to": "ann@example.com", "subject": "Hello", "text": "Good day"})
    return make_claim(message_id=UUID(int=number), destination="email", payload=payload)


async def test_a_mail_that_finds_no_connection_free_is_put_off(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an attempt nor a strike: the server never heard of it."""
    monkeypatch.setattr("postroom.channels.email.connections.PLACE_WITHIN_S", 0.05)
    mailbox = Mailbox()
    await mailbox.start()
    mailbox.faults.after_data = AfterData.HANG
    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "from": "shop@shop.example"}
    settings = EmailSettings.model_validate({**options, "connections_max": 1, "timeout_s": 60.0})
    adapter = EmailAdapter(settings=settings, pool=pool_as(pool, "runner"), clock=SystemClock())
    first = asyncio.create_task(adapter.deliver(_claim(1)))
    try:
        await mailbox.wait_for(1)
        answer = await adapter.deliver(_claim(2))
        assert isinstance(answer, Deferred)
        assert answer.wait is Wait.DESTINATION_FULL
        assert not first.done()
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await adapter.close()
        await mailbox.close()


async def test_the_return_path_is_the_same_on_each_attempt_and_another_one_after_a_replay(
    pool: Pool,
) -> None:
    """A server that greylists lets nobody pass whose sender is new each time."""
    mailbox = Mailbox()
    await mailbox.start()
    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "from": "shop@shop.example"}
    marked = {"bounces_address": "b+*@mail.shop.example", "bounces_secrets": "a secret"}
    settings = EmailSettings.model_validate({**options, **marked})
    adapter = EmailAdapter(settings=settings, pool=pool_as(pool, "runner"), clock=SystemClock())
    first = _claim(1)
    try:
        for each in (first, replace(first, attempts=3), replace(first, since_s=first.created_s + 0.5)):
            await adapter.deliver(each)
        senders = [mail.sender for mail in await mailbox.wait_for(3)]
    finally:
        await adapter.close()
        await mailbox.close()
    assert senders[0] == senders[1] != senders[2]
    assert all(len(each) == len("b+@mail.shop.example") + 48 for each in senders)
    assert {str(mail.message["From"]) for mail in mailbox.mails} == {"shop@shop.example"}
