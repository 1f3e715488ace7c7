"""Stripe's API, as far as events need it: the current state of an object, and the list of events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp
from stripe import AIOHTTPClient, StripeClient, StripeError

from postroom.base.stripe_settings import OWN_ACCOUNT, StripeSettings, setting_of
from postroom.channels.stripe.address import address
from postroom.channels.stripe.event import Event, join_account

NETWORK_RETRIES_MAX: Final = 1
PAGE_MAX: Final = 100
RETRY_AFTER_MAX_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Current:
    """The object as Stripe has it now."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """Stripe has it no longer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer to go by. `status`: None where there was none at all; `after_s`: Stripe's own wish."""

    reason: str
    status: int | None = None
    after_s: float | None = None

    @property
    def our_fault(self) -> bool:
        """The key is wrong or lacks the right, or the request is; Stripe itself is well."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in (409, 429)


Fetched = Current | Gone | Failed


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
    def account_key(self) -> str:
        return join_account(self.via, self.account)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of Stripe's list of events, newest first. `more`: older ones follow after the last."""

    events: tuple[dict[str, Any], ...]
    more: bool


class StripeApi:
    """Reads from Stripe's API with the key of one account. One session, opened on the first request; the
    caller closes it.

    Promise: every call ends within `timeout_s`; failures of a fetch are values.
    """

    def __init__(self, settings: StripeSettings, via: str = OWN_ACCOUNT) -> None:
        account = settings.by_name()[via]
        self.key_setting = setting_of(via, "API_KEY")
        self._timeout_s = settings.timeout_s
        self._http = AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=settings.timeout_s))
        self._client: StripeClient | None = None
        if account.api_key is not None:
            self._client = StripeClient(
                account.api_key.get_secret_value(),
                base_addresses={"api": settings.api_base.rstrip("/")},
                http_client=self._http,
                max_network_retries=NETWORK_RETRIES_MAX,
            )

    @classmethod
    def for_all(cls, settings: StripeSettings) -> dict[str, StripeApi]:
        """One for each account of the settings."""
        return {name: cls(settings, name) for name in settings.by_name()}

    @property
    def configured(self) -> bool:
        return self._client is not None

    async def fetch_object(self, event: Event) -> Fetched:
        """The current state of the event's object, in the event's own API version.

        The caller has made sure that `address` knows where it is.
        """
        url = address(event)
        if url is None:
            return Failed(f"objects of type {event.object_type} cannot be retrieved by id")
        try:
            data = await self._get(url, {}, _options(event))
        except StripeError as error:
            if error.http_status == 404:
                return _gone_unless_hidden(error, event, self.key_setting)
            return _failed(error)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed(f"Stripe's API did not answer: {type(error).__name__}")
        return Gone() if data.get("deleted") is True else Current(data)

    async def fetch_own_account(self) -> str | Failed:
        """The id of the account that the key is of."""
        try:
            return str((await self._get("/v1/account", {}, {}))["id"])
        except StripeError as error:
            return _failed(error)
        except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            return Failed(f"Stripe's API did not answer: {type(error).__name__}")

    async def list_events(self, query: EventQuery, *, after: str | None = None) -> EventPage | Failed:
        """One page, newest first. `after`: the last event id of the page before. Stripe keeps 30 days."""
        created = {"gte": int(query.since.timestamp())}
        if query.until is not None:
            created["lt"] = int(query.until.timestamp())
        parameters: dict[str, Any] = {"limit": PAGE_MAX, "created": created}
        if query.type is not None:
            parameters["type"] = query.type
        if after is not None:
            parameters["starting_after"] = after
        options = {"stripe_account": query.account} if query.account else {}
        try:
            page = await self._get("/v1/events", parameters, options)
            return EventPage(tuple(page["data"]), more=bool(page["has_more"] and page["data"]))
        except StripeError as error:
            return _failed(error)
        except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            return Failed(f"Stripe's API did not answer: {type(error).__name__}")

    async def close(self) -> None:
        if self._client is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _get(
        self, url: str, parameters: Mapping[str, Any], options: Mapping[str, str]
    ) -> dict[str, Any]:
        if self._client is None:
            raise ValueError(f"{self.key_setting} is not set")
        async with asyncio.timeout(self._timeout_s):
            response = await self._client.raw_request_async("get", url, **parameters, **options)
        data: dict[str, Any] = response.data
        return data


def _options(event: Event) -> dict[str, str]:
    """The account the event is of, and its API version, so that the object has the event's shape."""
    options = {}
    if event.account is not None:
        options["stripe_context" if event.thin else "stripe_account"] = event.account
    if event.api_version is not None and not event.thin:
        options["stripe_version"] = event.api_version
    return options


def _gone_unless_hidden(error: StripeError, event: Event, key: str) -> Gone | Failed:
    """Whether a 404 means that the object is gone, or only that this key does not reach it.

    Told by the text, for some endpoints give no code for what is gone. It is never shown: it has parts of
    the key.
    """
    text = (error.user_message or "").lower()
    if "similar object exists in" in text:
        reason = f"{key} is of the wrong mode: Stripe has this object in the other one"
    elif error.code == "account_invalid" or "access to account" in text:
        reason = f"{key} has no access to account {event.account or event.account_key}"
    elif "unrecognized request url" in text:
        reason = f"Stripe's API has no address for objects of type {event.object_type}"
    else:
        return Gone()
    return Failed(f"{reason}; mend that, then replay", 404)


def _failed(error: StripeError) -> Failed:
    status = error.http_status
    what = f"HTTP {status}" if status is not None else type(error).__name__
    after = (error.headers or {}).get("retry-after") or (error.headers or {}).get("Retry-After")
    after_s = min(float(after), RETRY_AFTER_MAX_S) if after is not None and after.isdecimal() else None
    return Failed(f"Stripe's API answered {what}", status, after_s)
