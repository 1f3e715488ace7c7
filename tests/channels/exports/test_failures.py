"""What a failed write means."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from postroom.channels.exports.failures import answer_failure
from postroom.outbox.model import Cause, Trip


@pytest.mark.parametrize(
    ("error", "cause", "trip", "code"),
    [
        (PermissionDeniedError("no"), Cause.OURS, Trip.NOW, "forbidden"),
        (UnauthenticatedError("no"), Cause.OURS, Trip.NOW, "forbidden"),
        (GenericError("cannot copy: No space left (os error 28)"), Cause.OURS, Trip.STRIKE, "ENOSPC"),
        (OSError(122, "quota"), Cause.OURS, Trip.STRIKE, "EDQUOT"),
        (GenericError("denied (os error 13)"), Cause.OURS, Trip.NOW, "EACCES"),
        (FileNotFoundError("no bucket"), Cause.OURS, Trip.STRIKE, "not_found"),
        (TimeoutError(), Cause.PASSING, Trip.STRIKE, "timeout"),
        (GenericError("HTTP error: operation timed out"), Cause.PASSING, Trip.STRIKE, "timeout"),
        (GenericError("503, retry_timeout:20s"), Cause.PASSING, Trip.STRIKE, "storage"),
        (OSError(5, "io"), Cause.PASSING, Trip.STRIKE, "EIO"),
    ],
)
def test_whose_fault_it_is(error: Exception, cause: Cause, trip: Trip, code: str) -> None:
    answer = answer_failure(error)
    assert (answer.cause, answer.trip, answer.code) == (cause, trip, code)


def test_the_reason_is_one_short_line_without_secrets() -> None:
    secret = "https://user:hunter2@host/"  # the form that a url in an error may have
    answer = answer_failure(GenericError(f"failed at {secret} {'x' * 9_000}\n\nDebug source: inside"))
    assert "hunter2" not in answer.reason
    assert "Debug" not in answer.reason
    assert len(answer.reason) < 400
