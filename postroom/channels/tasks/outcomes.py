"""What became of a call, as the engine is told."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

from postroom.base.log import remove_secrets
from postroom.client.task import Reject, Retry, Task
from postroom.outbox.model import Cause, Claim, Delivered, Rejected, RetryLater, Trip

FRAMES_MAX: Final = 20
DETAIL_CHARACTERS_MAX: Final = 8_000
HERE: Final = str(Path(__file__).parent)

Ended = Delivered | RetryLater | Rejected
DONE: Final = Delivered()  # made once: this is a hot path


def of_error(error: BaseException) -> Ended:
    """Of what a task raised. Its traceback is kept with the attempt; secrets are masked."""
    match error:
        case Reject():
            return Rejected(remove_secrets(str(error)) or "the task rejected it", code="rejected")
        case Retry(after_s=after_s):
            return RetryLater(remove_secrets(str(error)), after_s=after_s, code="retry", trip=Trip.NO)
    frames = [
        each
        for each in traceback.extract_tb(error.__traceback__)
        if not each.filename.startswith(HERE)  # who calls it: nobody looks for its fault there
    ][-FRAMES_MAX:]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    said = "".join(traceback.format_exception_only(error)).strip()
    told = "".join([*traceback.format_list(frames), said])
    return failed(f"{said}{where}", code=type(error).__name__[:50], detail=told)


def failed(reason: str, *, code: str, detail: str | None = None) -> RetryLater:
    return RetryLater(
        remove_secrets(reason),
        code=code,
        detail=remove_secrets(detail)[-DETAIL_CHARACTERS_MAX:] if detail else None,
        cause=Cause.OURS,
        trip=Trip.NO,
    )


def overdue(task: Task[..., Any]) -> RetryLater:
    return failed(f"it took longer than {task.timeout_s:g} s", code="timeout")


def within_attempts(ended: Ended, task: Task[..., Any], claim: Claim) -> Ended:
    """Dead once the task's own number of attempts is spent, which is below the channel's."""
    if not isinstance(ended, RetryLater) or claim.attempts + 1 < task.attempts:
        return ended
    return Rejected(ended.reason, code=ended.code, detail=ended.detail, cause=ended.cause)


def spent(task: Task[..., Any], claim: Claim) -> Rejected | None:
    """Dead before it is called: its last attempt ended with its runner, and who rescued it knows no tasks."""
    if claim.attempts < task.attempts:
        return None
    return Rejected(f"its attempts are spent: {claim.attempts}", code="attempts_spent", cause=Cause.OURS)
