"""One step of an SMTP session: bounded in time, its failure marked with how far it had come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def step(phase: Phase, deadline: float) -> AsyncIterator[None]:
    """Run a step until `deadline`, in the running loop's time. Errors: `SmtpFailed`."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except (SMTPException, OSError) as error:  # TimeoutError and ssl.SSLError are OSErrors
        raise SmtpFailed(error, phase) from error
