"""One step of an SMTP session: bounded in time, its failure marked with how far it had come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiosmtplib import SMTPException

from postroom.channels.email.outcomes import Phase


class SmtpFailed(Exception):
    """A step failed. `outcome_of(error, phase)` says what that means.

    `stale`: a connection that had served before ended before anything of this mail was taken.
    """

    stale = False

    def __init__(self, error: Exception, phase: Phase) -> None:
        super().__init__(f"{phase}: {type(error).__name__}")
        self.error = error
        self.phase = phase


@contextmanager
def phase(of: Phase) -> Iterator[None]:
    """What goes wrong in here does so in that phase. Errors: `SmtpFailed`."""
    try:
        yield
    except (SMTPException, OSError) as error:  # TimeoutError and ssl.SSLError are OSErrors
        raise SmtpFailed(error, of) from error


@asynccontextmanager
async def step(of: Phase, deadline: float) -> AsyncIterator[None]:
    """What waits in here does so until `deadline`, in the running loop's time. Errors: `SmtpFailed`."""
    with phase(of):
        async with asyncio.timeout_at(deadline):
            yield
