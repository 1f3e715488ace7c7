"""One mail over one connection: MAIL, RCPT, DATA, and who was refused on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiosmtplib import (
    SMTPDataError,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponse,
    SMTPSenderRefused,
)

from postroom.channels.email.outcomes import Phase
from postroom.channels.email.session import SmtpSession
from postroom.channels.email.smtp import SmtpFailed, phase, step

_DATA: Final = b"DATA\r\n"
BODY_BYTES_PER_S = 131_072
"""The slowest connection we plan for: it stretches the wait for the answer to a large mail."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """`recipients` are addresses; `utf8` asks the server for SMTPUTF8."""

    sender: str
    recipients: Sequence[str]
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server took the mail for everyone who is not in `refused`."""

    code: int
    answer: str
    refused: tuple[SMTPRecipientRefused, ...]


async def send(
    session: SmtpSession, envelope: Envelope, body: bytes, *, deadline: float, timeout_s: float
) -> Receipt:
    """Hand one mail over, its lines ended by CRLF. Until the body goes out nobody has been mailed.

    `deadline` (running loop's time) bounds all before the body; the body gets `timeout_s` and what
    its size needs. Errors: `SmtpFailed` with the phase; `SMTPRecipientsRefused` inside it when
    nobody was accepted.
    """
    refused = await _address(session, envelope, len(body), deadline)
    body_timeout_s = timeout_s + len(body) / BODY_BYTES_PER_S
    with phase(Phase.DATA):
        session.send(_stuffed(body))  # what is lost by now has had nothing of it
    async with step(Phase.BODY, asyncio.get_running_loop().time() + body_timeout_s):
        answer = await session.reply()
    if answer.code != 250:
        raise SmtpFailed(SMTPDataError(answer.code, answer.message), Phase.BODY)
    return Receipt(answer.code, answer.message, tuple(refused))


def _stuffed(body: bytes) -> bytes:
    """The body and the line that ends it; none of its own looks like that one (RFC 5321, 4.5.2)."""
    dot = b"." if body.startswith(b".") else b""
    end = b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"
    return dot + body.replace(b"\r\n.", b"\r\n..") + end


async def _address(
    session: SmtpSession, envelope: Envelope, size_bytes: int, deadline: float
) -> list[SMTPRecipientRefused]:
    """MAIL, RCPT and DATA, in one write where the server allows it. Returns: who was refused."""
    if envelope.utf8 and not session.utf8:
        raise SmtpFailed(SMTPNotSupported("the server does not offer SMTPUTF8"), Phase.SENDER)
    mail = _command("MAIL FROM:<%s>%s", envelope.sender, _options(session, envelope, size_bytes))
    rcpts = [_command("RCPT TO:<%s>", address) for address in envelope.recipients]
    if session.pipelining:
        with phase(Phase.SENDER):
            session.send(b"".join([mail, *rcpts, _DATA]), len(rcpts) + 2)
    answer = await _ask(session, mail, Phase.SENDER, deadline)
    if answer.code != 250:
        await _skip(session, deadline)
        raise SmtpFailed(SMTPSenderRefused(answer.code, answer.message, envelope.sender), Phase.SENDER)
    refused: list[SMTPRecipientRefused] = []
    for address, rcpt in zip(envelope.recipients, rcpts, strict=True):
        answer = await _ask(session, rcpt, Phase.RECIPIENT, deadline)
        if answer.code not in (250, 251):
            refused.append(SMTPRecipientRefused(answer.code, answer.message, address))
        if answer.code == 421:
            raise SmtpFailed(refused[-1], Phase.RECIPIENT)
    if len(refused) == len(rcpts):
        await _skip(session, deadline)
        raise SmtpFailed(SMTPRecipientsRefused(refused), Phase.RECIPIENT)
    answer = await _ask(session, _DATA, Phase.DATA, deadline)
    if answer.code != 354:
        raise SmtpFailed(SMTPDataError(answer.code, answer.message), Phase.DATA)
    return refused


def _command(form: str, *words: str) -> bytes:
    """Errors: `ValueError` for what would end the line early."""
    line = form % words
    if not line.isprintable():
        raise ValueError("a control character in an SMTP command")
    return line.encode() + b"\r\n"


def _options(session: SmtpSession, envelope: Envelope, size_bytes: int) -> str:
    return (f" SIZE={size_bytes}" if session.size else "") + (" SMTPUTF8" if envelope.utf8 else "")


async def _ask(session: SmtpSession, command: bytes, phase: Phase, deadline: float) -> SMTPResponse:
    """The reply to a command, which is sent now unless it went out with the others."""
    if session.answered:
        return await session.reply()
    async with step(phase, deadline):
        if not session.pipelining:
            session.send(command)
        return await session.reply()


async def _skip(session: SmtpSession, deadline: float) -> None:
    """Read what else was asked, so that the session can be used again. One that waits for a body cannot."""
    with suppress(SmtpFailed):
        async with step(Phase.DATA, deadline):
            while session.owed:
                if (await session.reply()).code == 354:
                    session.close()
