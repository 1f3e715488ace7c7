"""The doctor logs in at each mail server, and says which one does not let it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from postroom.base.email_settings import EmailSettings
from postroom.dev.mailbox import Mailbox
from postroom.health.findings import Level
from postroom.health.mail_servers import check_mail_servers

LOGIN = ("shop", "a password")


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(login=LOGIN)
    await mailbox.start()
    yield mailbox
    await mailbox.close()


def url(mailbox: Mailbox, password: str = LOGIN[1]) -> str:
    return f"smtp://{LOGIN[0]}:{password.replace(' ', '%20')}@127.0.0.1:{mailbox.port}"


async def test_a_server_that_lets_us_in_is_well(mailbox: Mailbox) -> None:
    [finding] = await check_mail_servers(EmailSettings.model_validate({"url": url(mailbox)}))
    assert (finding.level, finding.text) == (Level.OK, "logged in at the mail server")
    assert not mailbox.mails


async def test_a_wrong_password_is_an_error_with_the_servers_words(mailbox: Mailbox) -> None:
    [finding] = await check_mail_servers(EmailSettings.model_validate({"url": url(mailbox, "wrong")}))
    assert finding.level is Level.ERROR
    assert "535" in finding.text
    assert "wrong" not in finding.text


async def test_of_several_the_one_that_is_away_is_named(mailbox: Mailbox) -> None:
    routes = {"ses": {"url": url(mailbox)}, "spare": {"url": "smtp://127.0.0.1:1"}}
    [finding] = await check_mail_servers(EmailSettings.model_validate({"routes": routes}))
    assert finding.level is Level.WARNING
    assert finding.text.startswith("spare: ")
    assert finding.command == "postroom work --job email-dlq --once"


async def test_where_none_is_set_nothing_is_said() -> None:
    assert await check_mail_servers(EmailSettings()) == []
