"""Errors a person or a caller may see: each with a code, an HTTP status and what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Self


class PostroomError(Exception):
    """Base of all expected errors. `detail` is safe to show: it holds no secret and no payload."""

    code = "internal"
    status = 500
    title = "Something went wrong inside Postroom"

    def __init__(self, detail: str, *, retry_after_s: int | None = None, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.field = field


class SettingsInvalid(PostroomError):
    """The environment does not make a working service; `faults` lists everything wrong at once."""

    code = "settings_invalid"
    title = "The settings are not usable"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class InvalidInput(PostroomError):
    """What was sent cannot be used; `field` names the place."""

    code = "invalid_input"
    status = 400
    title = "The request cannot be used"

    @property
    def message(self) -> str:
        """Field and fault in one line; the field once, where the fault begins with it anyway."""
        if self.field is None or self.detail.startswith(f"{self.field} "):
            return self.detail
        return f"{self.field}: {self.detail}"


class InvalidPayload(InvalidInput):
    """A payload that its channel cannot send."""

    code = "invalid_payload"
    status = 422
    title = "The payload cannot be sent on this channel"


class PublishRefused(InvalidInput):
    """Nothing was published; `field` is what of the call is at fault, where it is that. Roll back."""

    code = "publish_refused"
    status = 422
    title = "The message cannot be published"

    def __str__(self) -> str:
        return self.message


class NotAuthenticated(PostroomError):
    code = "not_authenticated"
    status = 401
    title = "A valid token is needed"


class NotAllowed(PostroomError):
    code = "not_allowed"
    status = 403
    title = "The token lacks the scope for this"


class TooManyFailures(PostroomError):
    code = "too_many_failures"
    status = 429
    title = "Too many failed attempts from this address"


class NotFound(PostroomError):
    code = "not_found"
    status = 404
    title = "There is no such thing"


class Conflict(PostroomError):
    code = "conflict"
    status = 409
    title = "The state of things does not allow this"


class TooLarge(PostroomError):
    code = "too_large"
    status = 413
    title = "The request is too large"


class Unavailable(PostroomError):
    """Something this request needs is away for now; trying again later is right."""

    code = "unavailable"
    status = 503
    title = "Not available right now"


class TenantElsewhere(Unavailable):
    """Nothing was published: the tenant is at another ledger, or on its way there. Publish it there.

    While it moves no ledger takes it, for less than a second as a rule.
    """

    code = "tenant_elsewhere"
    title = "The tenant is at another ledger"
    SQLSTATE: Final = "PE001"

    def __init__(self, *, tenant: str, ledger: str, epoch: int) -> None:
        where = f"the tenant {tenant!r} is at the ledger {ledger}: publish it there"
        super().__init__(where, retry_after_s=1)
        self.tenant = tenant
        self.ledger = ledger
        self.epoch = epoch

    @classmethod
    def of(cls, detail: str) -> Self:
        """What PostgreSQL tells of it: the detail of an error with this SQLSTATE."""
        return cls(**json.loads(detail))
