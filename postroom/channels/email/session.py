"""An SMTP session after EHLO and login: commands need not wait for each other's replies (RFC 2920)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, cast

from aiosmtplib import SMTP, SMTPResponse, SMTPResponseException, SMTPServerDisconnected

REPLY_BYTES_MAX: Final = 32_768
INVALID: Final = -1
"""The code of what is no reply, as aiosmtplib has it."""


class SmtpSession(asyncio.Protocol):
    """Takes a connection over from a client, which reads one reply a command and loses what comes with it.

    `owed`: replies that were asked for and not yet taken. A server that says something unasked is hung up on:
    its words would be taken for the reply to the next command.
    """

    def __init__(self, client: SMTP) -> None:
        """Errors: `SMTPServerDisconnected`."""
        if client.transport is None or client.transport.is_closing():
            raise SMTPServerDisconnected("the connection was lost")
        self._transport = cast(asyncio.Transport, client.transport)
        self._replies: deque[SMTPResponse] = deque()
        self._buffer = bytearray()
        self._texts: list[str] = []
        self._arrived: asyncio.Future[None] | None = None
        self._error: Exception = SMTPServerDisconnected("the connection was lost")
        self.owed = 0
        self.pipelining = client.supports_extension("pipelining")
        self.size = client.supports_extension("size")
        self.utf8 = client.supports_extension("smtputf8")
        self._transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether another command would be answered by its own reply."""
        return not self.owed and not self._transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether the next reply is there already."""
        return bool(self._replies)

    def send(self, data: bytes, replies: int = 1) -> None:
        """Write commands, or a body, that will get so many replies. Errors: `SMTPServerDisconnected`."""
        if self._transport.is_closing():
            raise self._error
        self.owed += replies
        self._transport.write(data)

    async def reply(self) -> SMTPResponse:
        """The next reply, whatever its code. Errors: `SMTPServerDisconnected`, `SMTPResponseException`."""
        while not self._replies:
            if self._transport.is_closing():
                raise self._error
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        self.owed -= 1
        return self._replies.popleft()

    async def command(self, command: bytes) -> None:
        """One command that is to be answered with success. Errors: as `reply`."""
        self.send(command + b"\r\n")
        answer = await self.reply()
        if not 200 <= answer.code < 300:
            raise SMTPResponseException(answer.code, answer.message)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._read_line(line.decode("utf-8", "surrogateescape").rstrip())
        if len(self._buffer) + sum(map(len, self._texts)) > REPLY_BYTES_MAX:
            self._fail("the reply is too long")
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._error.__cause__ = error
        self._wake()

    def _read_line(self, line: str) -> None:
        if not (line[:3].isascii() and line[:3].isdecimal()):
            self._fail(f"no SMTP reply: {line}")
            return
        self._texts.append(line[4:].strip())
        if line[3:4] == "-":
            return
        if len(self._replies) >= self.owed:
            self._fail("a reply that was not asked for")
        else:
            self._replies.append(SMTPResponse(int(line[:3]), "\n".join(self._texts)))
        self._texts = []

    def _fail(self, what: str) -> None:
        self._error = SMTPResponseException(INVALID, what)
        self._transport.close()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
