"""The body reaches a real server as it is, and what the server says stands for the right step."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiosmtplib import SMTP, SMTPDataError, SMTPServerDisconnected

from postroom.dev.mailbox import Mailbox
from postroom.overrides.aiosmtplib_body import send_body, start_body

BODY = b"Subject: s\r\n\r\n.\r\n..dots\nbare line feed\r\n"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    await mailbox.start()
    yield mailbox
    await mailbox.close()


@pytest.fixture
async def client(mailbox: Mailbox) -> AsyncIterator[SMTP]:
    client = SMTP(hostname="127.0.0.1", port=mailbox.port, start_tls=False, timeout=5.0)
    await client.connect()
    await client.ehlo()
    yield client
    client.close()


async def address(client: SMTP) -> None:
    await client.mail("shop@example.com")
    await client.rcpt("ann@example.com")


async def test_dots_and_bare_line_feeds_arrive_and_the_connection_goes_on(
    client: SMTP, mailbox: Mailbox
) -> None:
    for _ in range(2):
        await address(client)
        answer = await send_body(await start_body(client), BODY)
        assert answer.code == 250
    assert [mail.text for mail in await mailbox.wait_for(2)] == [".\r\n..dots\r\nbare line feed\r\n"] * 2


async def test_a_server_that_wants_no_body_is_not_sent_one(client: SMTP, mailbox: Mailbox) -> None:
    with pytest.raises(SMTPDataError):
        await start_body(client)
    assert not mailbox.mails


async def test_a_refused_body_is_an_answer(client: SMTP, mailbox: Mailbox) -> None:
    mailbox.faults.data_answer = "554 5.6.0 no"
    await address(client)
    assert (await send_body(await start_body(client), BODY)).code == 554


async def test_a_connection_lost_before_the_body_says_so(client: SMTP, mailbox: Mailbox) -> None:
    await address(client)
    mailbox.hang_up()
    with pytest.raises(SMTPServerDisconnected):
        await start_body(client)
