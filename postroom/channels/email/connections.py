"""One set of SMTP connections a process: opened when needed, shared by all mails, closed when idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from aiosmtplib import SMTP, SMTPException, SMTPNotSupported, SMTPRecipientsRefused, SMTPResponseException

from postroom.channels.email.outcomes import Phase
from postroom.channels.email.session import SmtpSession
from postroom.channels.email.smtp import SmtpFailed, step
from postroom.channels.email.target import Target, Tls

IDLE_S = 30.0
MAILS_MAX = 100
CHECK_S = 5.0
RESTED_S = 1.0
"""A connection that has rested for longer may be gone, and is asked first."""
QUIT_S = 1.0
PLACE_WITHIN_S = 20.0


class NoPlace(Exception):
    """Every connection is taken. Nothing was begun."""


@dataclass(slots=True)
class _Line:
    session: SmtpSession
    mails: int = 0
    idle_since: float = 0.0
    unfinished: bool = False


class Connections:
    """At most `connections_max` open at once; the most recently used one is taken first.

    A connection is checked with RSET before it serves another mail where it has rested or the last mail was
    not taken. It ends after 100 mails, after 30 s without work, or with the first failure that leaves the
    session out of step. Each mail has a `place` first: a wait for the mails of others is never taken for
    silence of the server.
    """

    def __init__(self, target: Target, *, hostname: str, connections_max: int, timeout_s: float) -> None:
        self._target = target
        self._hostname = hostname
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(connections_max)
        self._next = asyncio.Semaphore(2 * connections_max)
        self._idle: list[_Line] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._quitting: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def place(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """One of the `connections_max` places. Only as many more are next in line, and what is urgent goes
        right behind those. Errors: `NoPlace` if none is free within `PLACE_WITHIN_S`."""
        gates = (self._places,) if urgent else (self._next, self._places)
        waits = any(gate.locked() for gate in gates)
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(PLACE_WITHIN_S if waits else None):
                    for gate in gates:
                        await held.enter_async_context(gate)
            except TimeoutError:
                raise NoPlace from None
            yield

    @asynccontextmanager
    async def take(self, deadline: float) -> AsyncIterator[SmtpSession]:
        """Lend a session that has said EHLO and logged in, to who has a place.

        `deadline` (running loop's time) bounds connecting. Errors: `SmtpFailed`.
        """
        line = await self._ready(deadline)
        try:
            yield line.session
        except SmtpFailed as failed:
            line.unfinished = True
            in_step = _in_step(failed.error)
            failed.stale = line.mails > 0 and failed.phase is Phase.SENDER and not in_step
            self._end_mail(line, clean=in_step)
            raise
        except BaseException:
            self._end_mail(line, clean=False)
            raise
        line.unfinished = False
        self._end_mail(line, clean=True)

    async def open(self, deadline: float) -> SmtpSession:
        """A new session outside the set; the caller closes it. Errors: `SmtpFailed`."""
        target = self._target
        client = SMTP(
            hostname=target.host,
            port=target.port,
            local_hostname=self._hostname,
            timeout=self._timeout_s,
            use_tls=target.tls is Tls.IMPLICIT,
            start_tls=target.tls is Tls.STARTTLS,
            tls_context=target.context,
        )
        try:
            async with step(Phase.CONNECT, deadline):
                await client.connect()
                await client.ehlo()
            if target.username is not None and target.password is not None:
                async with step(Phase.LOGIN, deadline):
                    await client.login(target.username, target.password.get_secret_value())
            async with step(Phase.CONNECT, deadline):
                return SmtpSession(client)
        except BaseException:
            client.close()
            raise

    async def close(self) -> None:
        """Say QUIT on every idle connection; those still lent out are closed by their borrowers."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self._quit(self._idle.pop())
        if self._quitting:
            await asyncio.wait(self._quitting, timeout=QUIT_S * 2)

    async def _ready(self, deadline: float) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if not line.session.usable:
                line.session.close()
                continue
            if not line.unfinished and asyncio.get_running_loop().time() - line.idle_since < RESTED_S:
                return line
            try:
                async with asyncio.timeout(CHECK_S):
                    await line.session.command(b"RSET")
            except (SMTPException, OSError):
                line.session.close()  # the server closed it meanwhile: no failure, only the end of a rest
            except BaseException:
                line.session.close()
                raise
            else:
                return line
        return _Line(await self.open(deadline))

    def _end_mail(self, line: _Line, *, clean: bool) -> None:
        line.mails += 1
        if not clean or not line.session.usable:
            line.session.close()
            return
        if line.mails >= MAILS_MAX:
            self._quit(line)
            return
        line.idle_since = asyncio.get_running_loop().time()
        self._idle.append(line)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_S
        for line in [each for each in self._idle if each.idle_since <= oldest]:
            self._idle.remove(line)
            self._quit(line)
        self._sweeper = loop.call_later(IDLE_S / 2, self._sweep) if self._idle else None

    def _quit(self, line: _Line) -> None:
        task = asyncio.create_task(_say_quit(line.session), name="smtp-quit")
        self._quitting.add(task)
        task.add_done_callback(self._quitting.discard)


def _in_step(error: Exception) -> bool:
    """Whether the server answered properly and goes on listening: RSET will then do."""
    match error:
        case SMTPRecipientsRefused() | SMTPNotSupported():
            return True
        case SMTPResponseException():
            return 400 <= error.code <= 599 and error.code != 421
    return False


async def _say_quit(session: SmtpSession) -> None:
    """Part politely; a server that is gone already has nothing to be told."""
    try:
        with suppress(SMTPException, OSError):
            async with asyncio.timeout(QUIT_S):
                await session.command(b"QUIT")
    finally:
        session.close()
