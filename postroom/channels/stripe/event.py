"""A Stripe event: read from JSON, snapshot or thin, whatever it holds."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from postroom.base.errors import InvalidInput
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.entitlements import SUMMARY, summary_id

EPOCH: Final = datetime.fromtimestamp(0, UTC)
EVENT_ID_MAX: Final = 255
TEXT_MAX: Final = 200
DEPTH_MAX: Final = 50
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
CUT: Final = "[nested too deep to keep here; see the raw body]"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `object` is the snapshot it carries, or the current state once that was fetched.

    `account` is None for the operator's own account. `via`: the account of the settings that it came through,
    to which `account`, if any, is connected. `created` has whole seconds for snapshot
    events and is the epoch where Stripe sent none. A thin event carries no snapshot: until its
    object is fetched, `object` is the `related_object` with `id`, `type` and `url`.
    `body` is the whole event as JSON has it.
    """

    id: str
    type: str
    account: str | None
    created: datetime
    livemode: bool | None
    api_version: str | None
    thin: bool
    object: dict[str, Any]
    previous: dict[str, Any]
    object_id: str | None
    object_type: str | None
    body: dict[str, Any]
    via: str = OWN_ACCOUNT
    buyer: dict[str, Any] | None = None
    """The customer whose event it is, where a route asked for it: see `customers`."""

    @property
    def account_key(self) -> str:
        """Whose it is, in one text: no two accounts of the settings share one, so each is of one mode."""
        return join_account(self.via, self.account)

    @property
    def key(self) -> str:
        """What the event is deduplicated on."""
        return f"{self.account_key}:{self.id}"

    @property
    def customer(self) -> str | None:
        """Whose event it is, where the object says so."""
        if self.object_type == "customer":
            return self.object_id
        return reference(self.object.get("customer"))

    @property
    def owner(self) -> str:
        """Whom the directory is asked for, where several ledgers share its account.

        The account connected to it, else the customer, now or before, else the name of the account.
        """
        return self.account or self.customer or reference(self.previous.get("customer")) or self.via

    @property
    def snapshot(self) -> dict[str, Any]:
        """The object at the moment of the event, to which `previous` belongs; empty for a thin event."""
        return {} if self.thin else _mapping(_mapping(self.body.get("data")).get("object"))

    def differs_from(self, api_version: str | None) -> bool:
        """Whether its snapshot has another shape than the version that was asked for, if one was."""
        return api_version is not None and not self.thin and self.api_version != api_version

    @property
    def rank(self) -> int:
        """Orders events of one object within one second, which `created` cannot."""
        return {"created": 0, "deleted": 2}.get(self.type.rpartition(".")[2], 1)

    @property
    def says_deleted(self) -> bool:
        """Whether the object itself is gone. A deleted subscription has only ended, and stays readable."""
        return self.rank == 2 and self.object_type != "subscription"

    def with_object(self, current: dict[str, Any]) -> Event:
        return msgspec.structs.replace(self, object=current)

    def completed(self, told: dict[str, Any]) -> Event:
        """A thin event with what Stripe's API tells of it: what changed, and its `data`, which stands for the
        object where it names none."""
        changes = _mapping(told.get("changes"))
        return msgspec.structs.replace(
            self,
            body={**self.body, **told},
            object=self.object or _mapping(told.get("data")),
            previous=_mapping(changes.get("before")),
        )


def decode(raw: bytes) -> dict[str, Any]:
    """The JSON object of a signed body, with everything PostgreSQL cannot keep replaced.

    NUL and lone surrogates become U+FFFD, numbers out of range text, and what is nested deeper
    than `DEPTH_MAX` a note: a signed event is not refused for its content. The raw body has it all.
    Errors: `InvalidInput` where it is no JSON object at all.
    """
    try:
        value = msgspec.json.decode(raw)
        escaped = b"\\" in raw and b"\\u" in raw  # one byte is looked for ten times faster than two
        clean = not escaped and _is_plain(value, DEPTH_MAX)
    except (msgspec.DecodeError, RecursionError):
        value, clean = _decode_leniently(raw), False
    if not isinstance(value, dict):
        raise InvalidInput("the body is no JSON object", field="body")
    cleaned: dict[str, Any] = value if clean else _clean(value, 0)
    return cleaned


def _is_plain(value: Any, left: int) -> bool:
    """Whether `_clean` would change nothing, in a body without escapes: what nearly every event is.

    A container may be nested `left` deep. Exact types are enough: this is what the decoder made.
    """
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return True
    if left <= 0:
        return False
    for item in value:
        kind = type(item)
        if kind is str:
            continue
        if kind is int:
            if not INTEGER_MIN <= item <= INTEGER_MAX:
                return False
        elif kind is float:
            if not math.isfinite(item):
                return False
        elif (kind is dict or kind is list) and not _is_plain(item, left - 1):
            return False
    return True


def join_account(via: str, account: str | None) -> str:
    """`self`, `acct_1` connected to it; `eu`, `eu/acct_1` connected to that."""
    if via == OWN_ACCOUNT:
        return account or OWN_ACCOUNT
    return f"{via}/{account}" if account else via


def split_account(account_key: str) -> tuple[str, str | None]:
    """The account of the settings, and the one connected to it."""
    first, _, rest = account_key.partition("/")
    return (OWN_ACCOUNT, account_key) if "_" in first else (first, rest or None)


def is_thin(body: dict[str, Any]) -> bool:
    return body.get("object") == "v2.core.event"


def parse(body: dict[str, Any], *, via: str = OWN_ACCOUNT) -> Event:
    """Errors: `InvalidInput` where there is no id to deduplicate on."""
    event_id = body.get("id")
    if not isinstance(event_id, str) or not event_id:
        raise InvalidInput("the event has no id", field="id")
    if len(event_id) > EVENT_ID_MAX:
        raise InvalidInput(f"the event's id is longer than {EVENT_ID_MAX} characters", field="id")
    thin = is_thin(body)
    data = _mapping(body.get("data"))
    subject = _mapping(body.get("related_object")) if thin else _mapping(data.get("object"))
    livemode = body.get("livemode")
    return Event(
        id=event_id,
        type=_text(body.get("type")) or "",
        account=_text(body.get("account")) or _text(body.get("context")),
        created=_moment(body.get("created")),
        livemode=livemode if isinstance(livemode, bool) else None,
        api_version=_text(body.get("api_version")),
        thin=thin,
        object=subject,
        previous=_mapping(data.get("previous_attributes")),
        object_id=_text(subject.get("id")) or _summary_id(subject),
        object_type=_text(subject.get("type" if thin else "object")),
        body=body,
        via=via,
    )


def _decode_leniently(raw: bytes) -> Any:
    """The standard parser takes what the fast one refuses: lone surrogates and huge numbers."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not JSON", field="body") from None


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, dict | list) and depth >= DEPTH_MAX:
        return CUT
    if isinstance(value, dict):
        return {_clean_text(name): _clean(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return str(value)
    return value


def _clean_text(text: str) -> str:
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:TEXT_MAX] if isinstance(value, str) and value else None


def reference(value: object) -> str | None:
    """Stripe shows a reference as an id, or as the object itself where it was expanded."""
    return _text(value.get("id") if isinstance(value, dict) else value)


def _summary_id(subject: dict[str, Any]) -> str | None:
    """A customer has one summary of entitlements; it is ordered and mirrored as if it had an id."""
    customer = reference(subject.get("customer"))
    return summary_id(customer) if customer and subject.get("object") == SUMMARY else None


def _moment(value: object) -> datetime:
    """Snapshot events have whole seconds since the epoch, thin events ISO 8601."""
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return EPOCH
    return EPOCH
