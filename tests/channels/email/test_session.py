"""One mail over a real server, whether commands go out together or one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiosmtplib import SMTPRecipientsRefused, SMTPResponseException, SMTPSenderRefused, SMTPServerDisconnected
from pydantic import SecretStr

from postroom.channels.email import session as sessions
from postroom.channels.email.connections import Connections, NoPlace
from postroom.channels.email.outcomes import Phase
from postroom.channels.email.session import SmtpSession
from postroom.channels.email.smtp import SmtpFailed
from postroom.channels.email.target import Target, parse_target
from postroom.channels.email.transaction import Envelope, Receipt, send
from postroom.dev.mailbox import Mailbox

BODY = b".first\r\n\r\n.\r\n..dots\r\nlast\r\n"
KEPT = BODY.decode()


@pytest.fixture(params=[True, False], ids=["together", "one by one"])
async def mailbox(request: pytest.FixtureRequest) -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(pipelining=request.param)
    await mailbox.start()
    yield mailbox
    await mailbox.close()


def deadline() -> float:
    return asyncio.get_running_loop().time() + 5.0


def target(port: int) -> Target:
    return parse_target(SecretStr(f"smtp://127.0.0.1:{port}"), tls_ca=None)


@asynccontextmanager
async def open_session(port: int) -> AsyncIterator[SmtpSession]:
    connections = Connections(target(port), hostname="shop.example", connections_max=1, timeout_s=5.0)
    session = await connections.open(deadline())
    try:
        yield session
    finally:
        session.close()


async def mail(session: SmtpSession, *to: str) -> Receipt:
    envelope = Envelope("shop@shop.example", to)
    return await send(session, envelope, BODY, deadline=deadline(), timeout_s=5.0)


async def fails(session: SmtpSession, *to: str) -> SmtpFailed:
    with pytest.raises(SmtpFailed) as failed:
        await mail(session, *to)
    return failed.value


async def test_a_wait_for_a_place_is_no_failure_of_the_server(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(target(mailbox.port), hostname="shop.example", connections_max=1, timeout_s=5.0)
    monkeypatch.setattr("postroom.channels.email.connections.PLACE_WITHIN_S", 0.05)
    async with connections.place():
        with pytest.raises(NoPlace):
            async with connections.place():
                pass
    async with connections.place(), connections.take(deadline()) as session:
        assert session.usable
    await connections.close()


async def test_what_is_urgent_waits_for_those_that_are_next_and_no_others(mailbox: Mailbox) -> None:
    connections = Connections(target(mailbox.port), hostname="shop.example", connections_max=2, timeout_s=5.0)
    went: list[int | str] = []
    all_wait = asyncio.Event()

    async def goes(name: int | str, *, urgent: bool = False) -> None:
        async with connections.place(urgent=urgent):
            went.append(name)
            await all_wait.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(goes(number))
            await asyncio.sleep(0)
        group.create_task(goes("urgent", urgent=True))
        await asyncio.sleep(0)
        all_wait.set()
    assert went == [0, 1, 2, 3, "urgent", 4, 5, 6, 7, 8, 9]


async def test_mails_follow_each_other_and_dots_arrive(mailbox: Mailbox) -> None:
    async with open_session(mailbox.port) as session:
        assert session.pipelining is mailbox.pipelining
        for _ in range(3):
            assert (await mail(session, "ann@example.com", "bob@example.com")).refused == ()
            assert session.usable
    mails = await mailbox.wait_for(3)
    assert [each.content.decode() for each in mails] == [KEPT] * 3
    assert {each.recipients for each in mails} == {("ann@example.com", "bob@example.com")}
    assert mailbox.connections == 1


@pytest.mark.parametrize("body", [b"one", b".", b"", b"a\r\n.", b"a\r\n.\r\n", b"\r\n"])
async def test_a_body_ends_where_it_ends(mailbox: Mailbox, body: bytes) -> None:
    async with open_session(mailbox.port) as session:
        envelope = Envelope("shop@shop.example", ["ann@example.com"])
        await send(session, envelope, body, deadline=deadline(), timeout_s=5.0)
    [mail] = await mailbox.wait_for(1)
    assert mail.content == (body if body.endswith(b"\r\n") else body + b"\r\n")


async def test_who_is_refused_is_named_and_the_others_get_it(mailbox: Mailbox) -> None:
    mailbox.faults.refuse = {"bob@example.com": "550 5.1.1 nobody"}
    async with open_session(mailbox.port) as session:
        [refused] = (await mail(session, "ann@example.com", "bob@example.com")).refused
        assert (refused.code, refused.recipient) == (550, "bob@example.com")
    assert [each.recipients for each in await mailbox.wait_for(1)] == [("ann@example.com",)]


async def test_a_refusal_leaves_a_session_that_can_be_used_again(mailbox: Mailbox) -> None:
    mailbox.faults.refuse = {"bob@example.com": "550 5.1.1 nobody"}
    async with open_session(mailbox.port) as session:
        failed = await fails(session, "bob@example.com")
        assert (type(failed.error), failed.phase) == (SMTPRecipientsRefused, Phase.RECIPIENT)
        mailbox.faults.sender_answer = "450 4.7.1 later"
        await session.command(b"RSET")
        failed = await fails(session, "ann@example.com")
        assert (type(failed.error), failed.phase) == (SMTPSenderRefused, Phase.SENDER)
        mailbox.faults.sender_answer = None
        await session.command(b"RSET")
        await mail(session, "ann@example.com")
    assert len(await mailbox.wait_for(1)) == 1


async def test_a_server_that_hangs_up_says_at_which_step(mailbox: Mailbox) -> None:
    async with open_session(mailbox.port) as session:
        mailbox.hang_up()
        failed = await fails(session, "ann@example.com")
        assert (type(failed.error), failed.phase) == (SMTPServerDisconnected, Phase.SENDER)


async def test_a_command_is_one_line(mailbox: Mailbox) -> None:
    async with open_session(mailbox.port) as session:
        with pytest.raises(ValueError, match="control character"):
            await mail(session, "ann@example.com>\r\nRCPT TO:<eve@example.com")
    assert not mailbox.mails


@asynccontextmanager
async def odd_server(say: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[int]:
    """Greets, takes EHLO, and then says what it is told to."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 odd\r\n")
        await reader.readline()
        writer.write(b"250-odd\r\n250 PIPELINING\r\n")
        await reader.readline()
        say(writer)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(5):
            await ended.wait()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"what?\r\n", "no SMTP reply: what?"),
        (b"250-more\r\n" * 10_000, "the reply is too long"),
        (b"2" * 100_000, "the reply is too long"),
        (b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n", "a reply that was not asked for"),
    ],
)
async def test_a_server_that_does_not_speak_smtp_is_left(said: bytes, expected: str) -> None:
    async with odd_server(lambda writer: writer.write(said)) as port, open_session(port) as session:
        failed = await fails(session, "ann@example.com")
        assert isinstance(failed.error, SMTPResponseException)
        assert expected in str(failed.error)
        assert failed.phase is not Phase.BODY, "nothing of the mail was written"
        assert not session.usable
    assert sessions.REPLY_BYTES_MAX < 100_000


async def test_a_server_that_waits_for_a_body_nobody_gets_is_left() -> None:
    replies = b"250 ok\r\n550 no\r\n354 go ahead\r\n"
    async with odd_server(lambda writer: writer.write(replies)) as port, open_session(port) as session:
        failed = await fails(session, "ann@example.com")
        assert isinstance(failed.error, SMTPRecipientsRefused)
        assert not session.usable
