"""What a failed write means: whose fault it is, and whether the storage is shut."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from postroom.base.log import remove_secrets
from postroom.channels.exports.destinations import DestinationUnknown, PlaceEmpty
from postroom.outbox.model import Cause, RetryLater, Trip

STORAGE_ERRORS: Final = (BaseError, OSError)
"""What a write raises where failure is expected; `TimeoutError` is an `OSError`."""


class StorageFailed(Exception):
    """One of `STORAGE_ERRORS`, and from the storage: the database raises such, too. See `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def from_storage() -> Iterator[None]:
    """Errors: `StorageFailed`."""
    try:
        yield
    except STORAGE_ERRORS as error:
        raise StorageFailed(error) from error


_OURS: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EXDEV}
)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_TOKEN_REFUSED: Final = re.compile(
    r"<Code>(ExpiredToken(?:Exception)?|InvalidToken|TokenRefreshRequired)</Code>"
)
"""Refusals that AWS answers with 400: obstore tells only 401 and 403 apart, and keeps these as text."""
_TIMED_OUT = "timed out"
_REASON_MAX: Final = 300


def answer_failure(error: BaseException) -> RetryLater:
    """The outcome for one of `STORAGE_ERRORS`.

    Ours: login refused or expired (the breaker opens at once), bucket missing, disk full, no right to write.
    Everything else may pass by itself.
    """
    text = _first_line(error)
    number = _os_error(error)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return _ours(f"the storage refuses our credentials: {text}", "forbidden", Trip.NOW)
    if token := _TOKEN_REFUSED.search(str(error)):
        return _ours(f"the storage refuses our credentials ({token[1]}): {text}", "forbidden", Trip.NOW)
    if number in _FULL:
        return _ours(f"no room left for exports: {text}", errno.errorcode[number])
    if number in _OURS:
        return _ours(f"exports may not be written there: {text}", errno.errorcode[number], Trip.NOW)
    if isinstance(error, TimeoutError) or _TIMED_OUT in text:
        return RetryLater("the storage did not answer in time", code="timeout")
    if isinstance(error, DestinationUnknown):
        return _ours(text, "destination_unknown", Trip.NOW)
    if isinstance(error, PlaceEmpty):
        return _ours(text, "place_empty", Trip.NOW)
    if isinstance(error, FileNotFoundError):
        return _ours(f"the bucket or folder for exports does not exist: {text}", "not_found")
    return RetryLater(f"the storage failed: {text}", code=_code(number))


def _ours(reason: str, code: str, trip: Trip = Trip.STRIKE) -> RetryLater:
    return RetryLater(reason, code=code, cause=Cause.OURS, trip=trip)


def _code(number: int | None) -> str:
    return "storage" if number is None else errno.errorcode.get(number, f"errno_{number}")


def _os_error(error: BaseException) -> int | None:
    """obstore passes on the local file system's errors as text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found else None


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return remove_secrets(lines[0])[:_REASON_MAX]
