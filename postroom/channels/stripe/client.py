"""Stripe's API: the current state of an object, the list of events, and what is to be done there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, Protocol, cast
from urllib.parse import quote

import aiohttp
from stripe import AIOHTTPClient, StripeClient, StripeError, StripeResponse

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.log import remove_secrets
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import StripeSettings, setting_of
from postroom.channels.stripe.address import address
from postroom.channels.stripe.budget import LIVE_PER_S, TEST_PER_S, RequestBudget
from postroom.channels.stripe.entitlements import SUMMARY, summary_of
from postroom.channels.stripe.event import Event, join_account
from postroom.channels.stripe.types import THIN_PREFIXES, matches

PAGE_MAX: Final = 100
THIN_EVENTS: Final = "/v2/core/events"
REASON_MAX: Final = 200
RETRY_AFTER_MAX_S: Final = 3_600.0
REPLAYED: Final = "idempotent-replayed"
_RIGHT: Final = re.compile(r"'(?:rak_)?([a-z_]+_(?:read|write))'")
"""The right of a restricted key, as Stripe names the one that is missing."""


@dataclass(frozen=True, slots=True)
class Current:
    """The object as Stripe has it now. `api_version`: the one that was asked for."""

    data: dict[str, Any]
    api_version: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """Stripe has it no longer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer to go by. `status`: None where there was none at all; `after_s`: Stripe's own wish.

    `limited`: Stripe takes no more requests now, or our budget of them is used up (then without a status).
    `unsent`: it is certain that Stripe has begun nothing. `replayed`: it is the answer that Stripe has kept
    for the idempotency key.
    """

    reason: str
    status: int | None = None
    after_s: float | None = None
    limited: bool = False
    unsent: bool = False
    replayed: bool = False
    error: StripeError | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """What Stripe says of it, in small letters; it may hold parts of the key."""
        return ((self.error.user_message if self.error is not None else None) or "").lower()

    @property
    def our_fault(self) -> bool:
        """The key is wrong or lacks the right, or the request is; Stripe itself is well."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (409, 429)


Fetched = Current | Gone | Failed
Method = Literal["get", "post", "delete"]


@dataclass(frozen=True, slots=True)
class Sent:
    """Stripe has done it. `replayed`: already before, and this is the answer of then."""

    status: int
    data: dict[str, Any]
    request_id: str | None
    api_version: str | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events of Stripe's list: created at `since` or later and before `until`.

    `type`: one, or a group such as `invoice.*`. `account`: a connected one's; None: our own, `via`.
    """

    since: datetime
    until: datetime | None = None
    type: str | None = None
    account: str | None = None
    via: str = OWN_ACCOUNT

    @property
    def lists(self) -> Sequence[ListEvents]:
        """Which of Stripe's lists have such events."""
        if self.type is None:
            return (StripeApi.list_events, StripeApi.list_thin_events)
        thin = self.type.startswith(THIN_PREFIXES)
        return (StripeApi.list_thin_events if thin else StripeApi.list_events,)

    @property
    def account_key(self) -> str:
        return join_account(self.via, self.account)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of Stripe's list of events, newest first. `next`: where older ones follow, if any do."""

    events: tuple[dict[str, Any], ...]
    next: str | None


class ListEvents(Protocol):
    """One of Stripe's lists, a page at a time."""

    def __call__(
        self, api: StripeApi, query: EventQuery, /, *, after: str | None = None
    ) -> Awaitable[EventPage | Failed]: ...


class StripeApi:
    """Stripe's API with the key of one account. One session, opened on the first request; the
    caller closes it.

    Promise: every call ends within `timeout_s` of its turn in the budget; failures of requests are values.
    """

    def __init__(self, settings: StripeSettings, budget: RequestBudget, via: str = OWN_ACCOUNT) -> None:
        self._budget = budget
        self._account = settings.by_name()[via]
        self.key_setting = setting_of(via, "API_KEY")
        self._timeout_s = settings.timeout_s
        self._http = AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=settings.timeout_s))
        self._client = StripeClient(
            "",  # each request brings the key that the settings have then
            base_addresses={"api": settings.api_base.rstrip("/")},
            http_client=self._http,
            max_network_retries=0,
        )

    @classmethod
    def for_all(cls, settings: StripeSettings, *, pool: Pool, clock: Clock) -> dict[str, StripeApi]:
        """One for each account of the settings."""
        return {
            name: cls(
                settings,
                RequestBudget(
                    pool=pool, clock=clock, via=name, per_second=LIVE_PER_S if account.live else TEST_PER_S
                ),
                name,
            )
            for name, account in settings.by_name().items()
        }

    @property
    def configured(self) -> bool:
        return self._account.api_key is not None

    async def fetch_object(self, event: Event) -> Fetched:
        """The current state of the event's object, in the account's API version, or else the event's own.

        The caller has made sure that `address` knows where it is.
        """
        url = address(event)
        if url is None:
            return Failed(f"objects of type {event.object_type} cannot be retrieved by id")
        if event.object_type != SUMMARY or event.customer is None:
            return await self._fetch(url, event)
        listed = await self._fetch(url, event, {"limit": PAGE_MAX})
        if not isinstance(listed, Current):
            return listed
        return replace(listed, data=summary_of(listed.data, customer=event.customer, livemode=event.livemode))

    async def fetch_event(self, event: Event) -> Fetched:
        """A thin event with its data. Stripe has it for 30 days."""
        return await self._fetch(f"{THIN_EVENTS}/{quote(event.id, safe='')}", event)

    async def fetch_list(self, event: Event, url: str, after: str | None) -> Fetched:
        """What follows in a list, such as one inside the event's object; None: from its begin."""
        place = {} if after is None else {"starting_after": after}
        return await self._fetch(url, event, {"limit": PAGE_MAX, **place})

    async def send(
        self,
        method: Method,
        path: str,
        parameters: Mapping[str, Any],
        *,
        connected: str | None = None,
        idempotency_key: str | None = None,
    ) -> Sent | Failed:
        """Read or change something at Stripe, in the account's API version, or else that of Stripe's library.

        `parameters`: none has one of `call.OPTION_NAMES`. `connected`: the account to do it in.
        """
        options = {"stripe_context" if path.startswith("/v2/") else "stripe_account": connected}
        options |= {"stripe_version": self._account.api_version, "idempotency_key": idempotency_key}
        given = {name: value for name, value in options.items() if value is not None}
        response = await self._exchange(method, path, parameters, given)
        if isinstance(response, Failed):
            return response
        headers = {name.lower(): text for name, text in response.headers.items()}
        data = response.data if isinstance(response.data, dict) else {}
        return Sent(
            response.code,
            data,
            headers.get("request-id"),
            headers.get("stripe-version"),
            headers.get(REPLAYED) == "true",
        )

    async def fetch_own_account(self) -> str | Failed:
        """The id of the account that the key is of."""
        data = await self._get("/v1/account", {}, {})
        return data if isinstance(data, Failed) else str(data.get("id"))

    async def list_events(self, query: EventQuery, *, after: str | None = None) -> EventPage | Failed:
        """One page of snapshot events. `after`: `next` of the page before. Stripe keeps 30 days."""
        created = {"gte": int(query.since.timestamp())}
        if query.until is not None:
            created["lt"] = int(query.until.timestamp())
        parameters: dict[str, Any] = {"limit": PAGE_MAX, "created": created}
        if query.type is not None:
            parameters["type"] = query.type
        if after is not None:
            parameters["starting_after"] = after
        options = {"stripe_account": query.account} if query.account else {}
        page = await self._get("/v1/events", parameters, options)
        if isinstance(page, Failed):
            return page
        events = tuple(page.get("data") or ())
        return EventPage(events, next=events[-1]["id"] if page.get("has_more") and events else None)

    async def list_thin_events(self, query: EventQuery, *, after: str | None = None) -> EventPage | Failed:
        """The same of thin events, but for those that tell what a snapshot event tells as well."""
        created = {"gte": query.since.isoformat()}
        if query.until is not None:
            created["lt"] = query.until.isoformat()
        parameters: dict[str, Any] = {} if after else {"limit": PAGE_MAX, "created": created}
        options = {"stripe_context": query.account} if query.account else {}
        page = await self._get(after or THIN_EVENTS, parameters, options)
        if isinstance(page, Failed):
            return page
        events = [each for each in page.get("data") or () if not each.get("snapshot_event")]
        follows = page.get("next_page_url")
        return EventPage(
            tuple(each for each in events if matches(query.type or "*", str(each.get("type")))),
            next=follows if isinstance(follows, str) and follows.startswith(f"{THIN_EVENTS}?") else None,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _fetch(self, url: str, event: Event, parameters: Mapping[str, Any] | None = None) -> Fetched:
        options = _options(event, self._account.api_version)
        data = await self._get(url, parameters or {}, options)
        if isinstance(data, Failed):
            if data.status == 404 and data.error is not None:
                return _gone_unless_hidden(data, event, self.key_setting)
            return data
        return Gone() if data.get("deleted") is True else Current(data, options.get("stripe_version"))

    async def _get(
        self, url: str, parameters: Mapping[str, Any], options: Mapping[str, str]
    ) -> dict[str, Any] | Failed:
        response = await self._exchange("get", url, parameters, options)
        return response if isinstance(response, Failed) else cast("dict[str, Any]", response.data)

    async def _exchange(
        self, method: Method, url: str, parameters: Mapping[str, Any], options: Mapping[str, str]
    ) -> StripeResponse | Failed:
        """Every request goes through here, and so through the budget. Errors: what the driver raises."""
        key = self._account.api_key
        if key is None:
            raise ValueError(f"{self.key_setting} is not set")
        if (wait_s := await self._budget.take()) is not None:
            reason = "the budget of requests to Stripe's API is used up"
            return Failed(reason, after_s=wait_s, limited=True, unsent=True)
        try:
            async with asyncio.timeout(self._timeout_s):
                response: StripeResponse = await self._client.raw_request_async(
                    method, url, api_key=key.get_secret_value(), **parameters, **options
                )
        except StripeError as error:
            failed = _failed(error)
            if failed.limited:
                failed = replace(failed, after_s=await self._budget.slow_down(failed.after_s))
            return failed
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed(f"Stripe's API did not answer: {type(error).__name__}")
        self._budget.went_well()
        return response


def _options(event: Event, api_version: str | None) -> dict[str, str]:
    """The account the event is of, and the API version, so that the object has the shape that is expected."""
    options = {}
    if event.account is not None:
        options["stripe_context" if event.thin else "stripe_account"] = event.account
    api_version = api_version or (None if event.thin else event.api_version)
    if api_version is not None:
        options["stripe_version"] = api_version
    return options


def _gone_unless_hidden(failed: Failed, event: Event, key: str) -> Gone | Failed:
    """Whether a 404 means that the object is gone, or only that this key does not reach it."""
    reason = unreached(failed, key, event.account or event.account_key)
    if reason is None and "unrecognized request url" in failed.text:
        reason = f"Stripe's API has no address for objects of type {event.object_type}"
    return Gone() if reason is None else Failed(f"{reason}; mend that, then replay", 404)


def unreached(failed: Failed, key: str, account: str) -> str | None:
    """Why this key does not reach what it was used for; None where it does.

    Told by the text, for some endpoints give no code for what is gone. It is never shown: it has parts of
    the key.
    """
    if "similar object exists in" in failed.text:
        return f"{key} is of the wrong mode: Stripe has this object in the other one"
    code = failed.error.code if failed.error is not None else None
    if code == "account_invalid" or "access to account" in failed.text:
        return f"{key} has no access to account {account}"
    return None


def _failed(error: StripeError) -> Failed:
    """A 429 may also be a lock of the object, which is no limit of ours."""
    status, headers = error.http_status, {name.lower(): text for name, text in (error.headers or {}).items()}
    what = f"HTTP {status}" if status is not None else type(error).__name__
    after, why = headers.get("retry-after"), headers.get("stripe-rate-limited-reason")
    after_s = min(float(after), RETRY_AFTER_MAX_S) if after is not None and after.isdecimal() else None
    locked = error.error is not None and error.error.code == "lock_timeout"
    limited = status == 429 and not locked
    if status == 400 and "version" in (error.user_message or "").lower():
        why = remove_secrets(error.user_message or "")
    if status == 403 and (right := _RIGHT.search(error.user_message or "")):
        why = f"the key lacks the right {right[1]}"
    reason = f"Stripe's API answered {what}" + (f" ({why[:REASON_MAX]})" if why else "")
    # Limits and keys are looked at before anything else is.
    unsent = limited or status == 401 or isinstance(error.__cause__, aiohttp.ClientConnectorError)
    return Failed(reason, status, after_s, limited, unsent, headers.get(REPLAYED) == "true", error)
