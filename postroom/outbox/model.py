"""What the ledger holds and what an adapter may answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import msgspec

from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.outbox.lanes import Urgency
from postroom.resilience.breaker import Trip as Trip


class Channel(StrEnum):
    STRIPE = "stripe"
    EMAIL = "email"
    WEBHOOK = "webhook"
    EXPORT = "export"
    STRIPE_API = "stripe_api"
    TASK = "task"


NAME_CHARACTERS_MAX = 200
"""Of what a payload may name as its tenant or type."""
OUTBOUND = (Channel.EMAIL, Channel.WEBHOOK, Channel.EXPORT, Channel.STRIPE_API, Channel.TASK)


class Cause(StrEnum):
    """Why something died: it can pass, it never will, it is our own fault, or its time was over."""

    PASSING = "passing"
    PERMANENT = "permanent"
    OURS = "ours"
    EXPIRED = "expired"


class Wait(StrEnum):
    """Why a delivery is put off without spending an attempt."""

    CIRCUIT_OPEN = "circuit_open"
    DESTINATION_FULL = "destination_full"
    PARKED = "parked"
    NOT_CONFIGURED = "not_configured"
    DATABASE_AWAY = "database_away"
    KEY_MISSING = "key_missing"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message to publish. `payload` must be what JSON and PostgreSQL can hold.

    What is not delivered by `expires_at` dies with the cause `expired`. `unique_for_s`, `replace` and
    `throttle_s`: at most once in a while, or the last one only; see the SQL function `publish_unique`.
    """

    channel: str
    payload: dict[str, Any]
    key: str | None = None
    tenant: str | None = None
    type: str | None = None
    correlation_id: str | None = None
    ordering_key: str | None = None
    deliver_at: datetime | None = None
    traceparent: str | None = None
    expires_at: datetime | None = None
    urgency: Urgency | None = None
    unique_for_s: float | None = None
    replace: bool = False
    throttle_s: float | None = None

    @property
    def is_unique(self) -> bool:
        return self.replace or self.unique_for_s is not None or self.throttle_s is not None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One delivery, leased to one worker. `worker` and `claim_no` are the fence: every claim changes them.

    `message_id` is the stable id that receivers deduplicate on; `n` tells the deliveries of
    one message apart. `attempts` were spent before this one. `payload` is JSON text.
    Times are seconds since the epoch by the database's clock. `claimed_s` is None in a claim that is only
    settled; `since_s`: when its greatest age began, if not `created_s`; `expires_s`: its publisher's limit.
    `started_no` is None unless a worker has died holding it: then its starts are written down, and it is 0,
    or the number of the claim under which it was started last. `batch_id`: the ledger's note of what was
    claimed together with it. `content_hash`: what its adapter made its content from at an earlier attempt.
    `crowds`: its tenant has so much waiting that others go first; `limit_name`: what limits of a destination
    call it by its payload (`NamingAdapter`). No query tells these.
    The order of the other fields is that of the columns in the claiming queries.
    """

    message_id: UUID
    n: int
    worker: int
    claim_no: int
    channel: str
    destination: str
    endpoint_id: UUID | None
    ordering_key: str | None
    state: str
    attempts: int
    due_s: float
    seq: int
    type: str
    tenant: str
    key: str | None
    correlation_id: str
    traceparent: str | None
    payload: str
    created_s: float
    claimed_s: float | None = None
    since_s: float | None = None
    expires_s: float | None = None
    started_no: int | None = None
    batch_id: int | None = None
    content_hash: bytes | None = None
    crowds: bool = False
    limit_name: str | None = None

    @property
    def limited_as(self) -> str:
        """The destination whose limit it falls under, if there is one."""
        return self.limit_name or self.destination

    def body(self) -> dict[str, Any]:
        """As `read_body`."""
        return read_body(self.payload)


def check_same(name: str, value: object, published: str) -> None:
    """Errors: `InvalidPayload` where a payload names another tenant or type than its message: it may be meant
    for somebody else.

    What is no text or too long was never taken for a name (`postroom.short`).
    """
    if isinstance(value, str) and value != published and len(value) <= NAME_CHARACTERS_MAX:
        raise InvalidPayload(f"the payload names another {name} than its message", field=name)


def read_body(payload: str) -> dict[str, Any]:
    """The payload as an object. Errors: `InvalidPayload` when it is none."""
    # As PostgreSQL gave it: what JSON may hold and it may not has been refused before.
    value = msgspec.json.decode(payload)
    if not isinstance(value, dict):
        raise InvalidPayload("the payload is no JSON object", field="payload")
    return value


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A delivery that nobody has claimed, locked by a transaction. Fields as in `Claim`."""

    message_id: UUID
    n: int
    claim_no: int
    due_s: float
    seq: int
    worker: None = None


class Delivered(msgspec.Struct, frozen=True, gc=False):  # made thousands of times a second
    """The receiver took it. `code` and `detail` (its answer) are kept with the attempt.

    `content_hash` here and in what follows: what the content was made from, where the adapter makes it. The
    next attempt, and a replay, have it in their claim.
    """

    code: str | None = None
    detail: str | None = None
    content_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It failed in a way that may pass. `after_s` is the receiver's own wish, if it named one."""

    reason: str
    after_s: float | None = None
    code: str | None = None
    detail: str | None = None
    cause: Cause = Cause.PASSING
    trip: Trip = Trip.STRIKE
    content_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It failed for good; trying again cannot help until somebody mends something."""

    reason: str
    code: str | None = None
    detail: str | None = None
    cause: Cause = Cause.PERMANENT
    content_hash: bytes | None = None


def rejected_payload(error: InvalidInput) -> Rejected:
    """What became of a payload that could never be sent, and that nobody checked: SQL published it."""
    return Rejected(error.message, code=InvalidPayload.code)


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been accepted. It is tried again with the same id, so receivers can tell."""

    reason: str
    code: str | None = None
    detail: str | None = None
    content_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Not sent on purpose: the address asked not to be written to, or bounced for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not tried: no attempt is spent. Without `after_s` the engine chooses; PARKED waits for a resume."""

    wait: Wait
    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Its worker died after a watched start. One attempt is spent: a poison message ends as a dead letter."""

    reason: str = "the worker that held it died"


@dataclass(frozen=True, slots=True)
class Settled:
    """The adapter handled it and settled it in its own transaction; nothing is left to do."""


Outcome = Delivered | RetryLater | Rejected | Unknown | Suppressed | Deferred | Abandoned
Answer = Outcome | Settled
Try = Callable[[Sequence[Claim]], Awaitable[Sequence[Answer]]]
"""Tries claims together: one answer each, in order."""


def database_away(error: Exception) -> Deferred:
    return Deferred(Wait.DATABASE_AWAY, f"{type(error).__name__} from the database")


class Adapter(Protocol):
    """Delivers one channel.

    `circuit` names the breaker shared by all destinations of the channel; None gives each
    destination one of its own; an empty string means that the engine keeps none.
    `concurrency_max` and `per_destination_max` count deliveries in flight; the former is asked at each claim.
    """

    channel: Channel
    circuit: str | None
    per_destination_max: int
    timeout_s: float

    @property
    def concurrency_max(self) -> int: ...

    async def deliver(self, claim: Claim) -> Answer:
        """Try once. Promises an answer for every failure it foresees; never settles by itself,
        unless it returns `Settled`. No database transaction is open while the network is used."""
        ...

    def check(self, payload: dict[str, Any]) -> None:
        """Refuse at publish time what could never be sent. Errors: `InvalidPayload` naming the field."""
        ...

    async def start(self) -> None:
        """Open what is needed; called once inside the running loop."""
        ...

    async def close(self) -> None:
        """Close connections; called once, after the last delivery."""
        ...


@runtime_checkable
class BatchAdapter(Adapter, Protocol):
    """An adapter that gathers: one call takes many claims of one destination and answers for each, in order.

    Several calls may be under way to a destination where `batch_max` is less than `per_destination_max`.
    """

    batch_max: int

    def batch_of(self, claim: Claim) -> int:
        """How many of its destination may go with this one; asked for each call, and never raises."""
        ...

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]: ...


@runtime_checkable
class NamingAdapter(Adapter, Protocol):
    """An adapter that has one destination, whose limits of destinations are for what a payload names."""

    def limit_name(self, payload: str) -> str | None:
        """By which name such a limit would be set; None where the payload has none. It never raises."""
        ...
