"""One mail over one connection: MAIL, RCPT, DATA, and who was refused on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
)

from postroom.channels.email.outcomes import Phase
from postroom.channels.email.smtp import SmtpFailed, step
from postroom.overrides.aiosmtplib_body import send_body, start_body

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
    client: SMTP, envelope: Envelope, body: bytes, *, deadline: float, timeout_s: float
) -> Receipt:
    """Hand one mail over. Until the body goes out nobody has been mailed.

    `deadline` (running loop's time) bounds all before the body; the body gets `timeout_s` and what
    its size needs. Errors: `SmtpFailed` with the phase; `SMTPRecipientsRefused` inside it when
    nobody was accepted.
    """
    refused = await _address(client, envelope, len(body), deadline)
    async with step(Phase.DATA, deadline):
        protocol = await start_body(client)
    body_timeout_s = timeout_s + len(body) / BODY_BYTES_PER_S
    async with step(Phase.BODY, asyncio.get_running_loop().time() + body_timeout_s):
        answer = await send_body(protocol, body)
    if answer.code != 250:
        raise SmtpFailed(SMTPDataError(answer.code, answer.message), Phase.BODY)
    return Receipt(answer.code, answer.message, tuple(refused))


async def _address(
    client: SMTP, envelope: Envelope, size_bytes: int, deadline: float
) -> list[SMTPRecipientRefused]:
    options, encoding = [], "utf-8" if envelope.utf8 else "ascii"
    if client.supports_extension("size"):
        options.append(f"SIZE={size_bytes}")
    async with step(Phase.SENDER, deadline):
        if envelope.utf8:
            if not client.supports_extension("smtputf8"):
                raise SMTPNotSupported("the server does not offer SMTPUTF8")
            options.append("SMTPUTF8")
        await client.mail(envelope.sender, options=options, encoding=encoding)
    refused: list[SMTPRecipientRefused] = []
    async with step(Phase.RECIPIENT, deadline):
        for address in envelope.recipients:
            try:
                await client.rcpt(address, encoding=encoding)
            except SMTPRecipientRefused as error:
                if error.code == 421:
                    raise
                refused.append(error)
        if len(refused) == len(envelope.recipients):
            raise SMTPRecipientsRefused(refused)
    return refused
