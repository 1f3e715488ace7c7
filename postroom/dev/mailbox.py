"""A mail server that keeps what it gets: for `postroom up`, demos, drills and tests. It sends nothing on.

`python -m postroom.dev.mailbox --port 2525 [--user U --password P] [--faults FILE]` prints one JSON line
a mail on standard output; SIGTERM stops it. FILE holds `Faults` as JSON and is read again for
each connection, so that a drill can break and mend a running server.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import signal
import ssl
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SIZE_BYTES_MAX = 33_554_432


class AfterData(StrEnum):
    """What the server does with the end of a mail. Taken means that it keeps the mail all the same."""

    ANSWER = "answer"
    CLOSE = "close"  # takes it, then hangs up without a word
    HANG = "hang"  # takes it, then says nothing
    TWICE = "twice"  # takes it, and says so twice


@dataclass(slots=True)
class Faults:
    """How it misbehaves; change it while it runs. Values of `refuse` and the others are SMTP answers."""

    busy: bool = False
    refuse: dict[str, str] = field(default_factory=dict)
    greylist: bool = False
    login_answer: str | None = None
    sender_answer: str | None = None
    data_answer: str | None = None
    after_data: AfterData = AfterData.ANSWER
    mails_max: int | None = None
    """It ends a session after so many mails, at the next MAIL."""


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail: the envelope, and the message parsed."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    content: bytes

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str | None:
        return self._part("plain")

    @property
    def html(self) -> str | None:
        return self._part("html")

    def headers(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.message.items()}

    def _part(self, kind: str) -> str | None:
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part is not None else None


class Mailbox:
    """Runs in the caller's loop. Keeps the last `kept_max` mails; `connections` counts all ever made."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        pipelining: bool = True,
        kept_max: int = 1_000,
        on_mail: Callable[[ReceivedMail], None] | None = None,
        faults: Callable[[], Faults] | None = None,
    ) -> None:
        """`tls` is offered as STARTTLS, or spoken from the first byte with `implicit_tls`."""
        self.host, self.port, self.login = host, port, login
        self.pipelining = pipelining
        self.faults = Faults()
        self.connections = 0
        self.mails: deque[ReceivedMail] = deque(maxlen=kept_max)
        self._tls, self._implicit_tls = tls, implicit_tls
        self._on_mail, self._read_faults = on_mail, faults
        self._arrived = asyncio.Condition()
        self._seen: set[str] = set()
        self._open: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; with port 0 the system chooses, and `port` says which. Errors: `OSError`."""
        context = self._tls if self._implicit_tls else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and hang up on everybody."""
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()

    def hang_up(self) -> None:
        """Drop every open connection without a word."""
        for transport in tuple(self._open):
            if not transport.is_closing():  # aborting TLS that is on its way out raises
                transport.abort()  # type: ignore[attr-defined]  # every stream transport has it

    async def wait_for(self, count: int, *, timeout_s: float = 10.0) -> list[ReceivedMail]:
        """The mails, once there are `count` of them. Errors: `TimeoutError`."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.mails) >= count)
        return list(self.mails)

    def _protocol(self) -> asyncio.Protocol:
        self.connections += 1
        if self._read_faults is not None:
            self.faults = self._read_faults()
        if self.faults.busy:
            return _Busy()
        tls = None if self._implicit_tls else self._tls
        return _Connection(
            _Handler(self),
            self._open,
            tls_context=tls,
            hostname="mailbox.localhost",
            data_size_limit=SIZE_BYTES_MAX,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any
    ) -> Any:
        if self.faults.login_answer:
            return AuthResult(success=False, handled=False, message=self.faults.login_answer)
        expected = self.login or ("", "")
        given = (data.login, data.password) if isinstance(data, LoginPassword) else (b"", b"")
        right = [hmac.compare_digest(a.encode(), b) for a, b in zip(expected, given, strict=True)]
        return AuthResult(success=self.login is None or all(right), handled=False)

    def refusal_of_recipient(self, address: str) -> str | None:
        """The answer to RCPT, where it is not yes."""
        refusal = self.faults.refuse.get(address.lower())
        if refusal is None and self.faults.greylist and address not in self._seen:
            self._seen.add(address)
            return "451 4.7.1 Greylisted, come back later"
        return refusal

    async def keep(self, mail: ReceivedMail) -> None:
        async with self._arrived:
            self.mails.append(mail)
            self._arrived.notify_all()
        if self._on_mail is not None:
            self._on_mail(mail)


class _Busy(asyncio.Protocol):
    """Turns every caller away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"421 4.3.2 Too busy, come back later\r\n")  # type: ignore[attr-defined]
        transport.close()


class _Connection(SMTP):
    """aiosmtpd's connection, remembered so that the mailbox can hang up on it."""

    def __init__(
        self, handler: _Handler, open_transports: set[asyncio.BaseTransport], **options: Any
    ) -> None:
        super().__init__(handler, **options)
        self._open = open_transports
        self._first: asyncio.BaseTransport | None = None
        self.mails = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._first is None:  # STARTTLS calls this once more with a transport on top of the first
            self._first = transport
            self._open.add(transport)
        super().connection_made(transport)

    def hang_up(self) -> None:
        if self._first is not None:
            self._first.abort()  # type: ignore[attr-defined]  # every stream transport has it

    def connection_lost(self, error: Exception | None) -> None:
        if self._first is not None:
            self._open.discard(self._first)
        super().connection_lost(error)


class _Handler:
    """The hooks that aiosmtpd calls, by their fixed names."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*replies[:-1], "250-PIPELINING", replies[-1]] if self._mailbox.pipelining else replies

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._mailbox.login is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        faults = self._mailbox.faults
        if faults.sender_answer:
            return faults.sender_answer
        if isinstance(server, _Connection) and server.mails >= (faults.mails_max or 1_000_000):
            await server.push("421 4.7.0 Too many mails in this connection")
            server.hang_up()
            await asyncio.Event().wait()  # ends when the connection does
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self._mailbox.refusal_of_recipient(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        faults = self._mailbox.faults
        if faults.data_answer:
            return faults.data_answer
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=default_policy)
        recipients = tuple(envelope.rcpt_tos)
        if isinstance(server, _Connection):
            server.mails += 1
        await self._mailbox.keep(ReceivedMail(envelope.mail_from or "", recipients, message, content))
        if faults.after_data is AfterData.TWICE:
            await server.push("250 2.0.0 OK, kept")
        elif faults.after_data is not AfterData.ANSWER:
            if faults.after_data is AfterData.CLOSE and isinstance(server, _Connection):
                server.hang_up()
            await asyncio.Event().wait()  # ends when the connection does
        return f"250 2.0.0 OK: queued as {len(self._mailbox.mails)}"


def describe(mail: ReceivedMail) -> bytes:
    """A mail as one line of JSON."""
    return msgspec.json.encode(
        {
            "sender": mail.sender,
            "recipients": mail.recipients,
            "headers": mail.headers(),
            "text": mail.text,
            "html": mail.html,
        }
    )


def _print(mail: ReceivedMail) -> None:
    sys.stdout.buffer.write(describe(mail) + b"\n")
    sys.stdout.buffer.flush()


def _faults_in(path: Path) -> Faults:
    """What the file says now; no file, no faults."""
    return msgspec.json.decode(path.read_bytes(), type=Faults) if path.exists() else Faults()


async def _serve(options: argparse.Namespace) -> None:
    mailbox = Mailbox(
        host=options.host,
        port=options.port,
        login=(options.user, options.password) if options.user else None,
        on_mail=_print,
        faults=(lambda: _faults_in(options.faults)) if options.faults else None,
    )
    await mailbox.start()
    print(f"mailbox on {mailbox.host}:{mailbox.port}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await mailbox.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m postroom.dev.mailbox", description="A local mail catcher."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2525)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--faults", type=Path)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
