"""Delivers the channel `webhook`: one signed POST a delivery."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.base.errors import InvalidPayload
from postroom.base.log import get_logger
from postroom.base.settings import WebhookSettings
from postroom.base.tls import verified_context
from postroom.base.tracing import read_traceparent
from postroom.channels.webhooks.answer import PRIVATE, judge_answer, judge_failure
from postroom.channels.webhooks.brokers.connections import BrokerConnections
from postroom.channels.webhooks.brokers.kinds import ExtraMissing, is_broker, parse_allowed
from postroom.channels.webhooks.brokers.message import ENVELOPE, build_message
from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.client import (
    ANONYMOUS,
    CONNECT_TIMEOUT_S,
    USER_AGENT,
    PrivateAddress,
    PublicResolver,
    open_session,
)
from postroom.channels.webhooks.endpoint_cache import EndpointCache
from postroom.channels.webhooks.endpoint_health import EndpointHealth
from postroom.channels.webhooks.host_slots import CONNECTION_WITHIN_S, HostSlots
from postroom.channels.webhooks.model import RESPONSE_BYTES_MAX, EndpointState, Target
from postroom.channels.webhooks.payload import (
    DATA_BYTES_WARNED,
    Payload,
    build_body,
    check_payload,
    read_payload,
)
from postroom.channels.webhooks.signing import signed_headers
from postroom.channels.webhooks.url import URLS_KEPT_MAX, PrivateUrl, parse_url
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.model import Answer, Cause, Channel, Claim, Deferred, Rejected, Wait, rejected_payload
from postroom.overrides.aiohttp_connector import REST_S
from postroom.overrides.aiohttp_post import PostClient
from postroom.resilience.time_limit import TimeLimit

CONCURRENCY_MAX = 800
RESPONSE_TIMEOUT_S = 5.0
TOGETHER_MAX = 10
"""So many are handed to a broker one behind the other, and are answered together (ADR 51)."""
_MARGIN_S = 15.0
_HOST_BUSY = Deferred(Wait.DESTINATION_FULL, "every connection to its host is taken")
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
_PLAIN = re.compile(r"[!-~]+")

log = get_logger(__name__)


class _Ready(msgspec.Struct, frozen=True, gc=False):  # made for each delivery
    """What can be sent, and where."""

    url: URL | BrokerUrl
    target: Target
    data: bytes
    body: bytes


class WebhookAdapter:
    """Signs and posts; an endpoint that says it is gone, or only fails for days, is disabled.

    Promise: the same id and the same body on every attempt, for each endpoint of a message.
    Does not promise: order, and exactly once; receivers deduplicate on `webhook-id`.
    """

    channel = Channel.WEBHOOK
    circuit: str | None = None
    concurrency_max = CONCURRENCY_MAX

    def __init__(
        self,
        *,
        pool: Pool,
        clock: Clock,
        settings: WebhookSettings,
        resolver: AbstractResolver | None = None,
        response_timeout_s: float = RESPONSE_TIMEOUT_S,
        rest_s: float = REST_S,
        connection_within_s: float = CONNECTION_WITHIN_S,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        """`resolver`: instead of the system's; what it answers is checked all the same."""
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._resolver = resolver
        self._response_timeout_s = response_timeout_s
        self._rest_s = rest_s
        self._endpoints = EndpointCache(pool=pool, clock=clock, keyring=keyring)
        self._health = EndpointHealth(
            pool=pool,
            clock=clock,
            endpoints=self._endpoints,
            disable_after=timedelta(days=settings.disable_after_days),
        )
        self._session: aiohttp.ClientSession | None = None
        self._client: PostClient | None = None
        self._brokers: BrokerConnections | None = None
        # Asked at each delivery; the settings stay.
        self._parsed = lru_cache(URLS_KEPT_MAX)(self._parse)
        self.per_destination_max = settings.connections_per_host
        self.batch_max = max(1, min(TOGETHER_MAX, settings.connections_per_host // 2))
        self._limit = TimeLimit(settings.timeout_s)
        self._slots = HostSlots(settings.connections_per_host, within_s=connection_within_s)
        # The request has its own limit; the rest is for looking up, a free connection, and parking.
        self.timeout_s = settings.timeout_s + _MARGIN_S

    async def start(self) -> None:
        if self._resolver is None:
            self._resolver = PublicResolver(allow_private=self._settings.private)
        self._session = open_session(
            allow_private=self._settings.private,
            user_agent=USER_AGENT if self._settings.identify else ANONYMOUS,
            connect_timeout_s=min(CONNECT_TIMEOUT_S, self._settings.timeout_s),
            connections_max=self.concurrency_max,
            connections_per_host=self.per_destination_max,
            resolver=self._resolver,
            rest_s=self._rest_s,
        )
        self._client = PostClient(self._session)
        self._brokers = BrokerConnections(
            resolver=self._resolver,
            private=self._settings.private,
            timeout_s=self._settings.timeout_s,
            tls=verified_context(self._settings.brokers_ca, setting="POSTROOM_WEBHOOK__BROKERS_CA"),
        )

    async def close(self) -> None:
        await self._endpoints.close()
        if self._brokers is not None:
            await self._brokers.close()
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    def check(self, payload: dict[str, Any]) -> None:
        check_payload(
            payload,
            allow_private=self._settings.private,
            allow_http=self._settings.http,
            brokers=self._settings.brokers,
        )

    async def deliver(self, claim: Claim) -> Answer:
        """One attempt.

        Errors: one of `DATABASE_AWAY` when the endpoint cannot be looked up, `Unreadable` when its secrets
        cannot be read.
        """
        return await self._try(claim, await self._prepare(claim))

    def batch_of(self, claim: Claim) -> int:
        """Several to an endpoint that is a broker's; each post has a connection of its own."""
        target = self._endpoints.last_known(claim.endpoint_id)
        return self.batch_max if target is not None and is_broker(target.url) else 1

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        """One attempt for each of one endpoint, as `deliver`; to a broker they go on one connection."""
        prepared = [await self._prepare(claim) for claim in claims]
        ready = [each for each in prepared if isinstance(each, _Ready)]
        url = ready[0].url if ready else None
        if not isinstance(url, BrokerUrl) or any(each.url is not url for each in ready):
            return await _all_ended(map(self._try, claims, prepared))
        messages = [
            _message(url, claim, each)
            for claim, each in zip(claims, prepared, strict=True)
            if isinstance(each, _Ready)
        ]
        answers = iter(await self._send(url, ready[0].target, messages))
        return [
            await self._noted(claim, each.target, next(answers)) if isinstance(each, _Ready) else each
            for claim, each in zip(claims, prepared, strict=True)
        ]

    async def _prepare(self, claim: Claim) -> _Ready | Answer:
        """What is sent, or why nothing is. Errors: as `deliver`."""
        try:
            payload = read_payload(claim.payload, tenant=claim.tenant, type_=claim.type)
            target = self._endpoints.recent(claim.endpoint_id) or await self._target(claim, payload)
            if target is None:
                return Rejected("endpoint was deleted", cause=Cause.OURS)
            if target.state is not EndpointState.ENABLED:
                return Deferred(Wait.PARKED, f"the endpoint is {target.state}")
            url = self._parsed(target.url, claim.tenant)
        except PrivateUrl:
            return PRIVATE
        except ExtraMissing as error:
            return Deferred(Wait.NOT_CONFIGURED, error.message)
        except InvalidPayload as error:
            return rejected_payload(error)
        body = build_body(payload, type_=claim.type, created_at=datetime.fromtimestamp(claim.created_s, UTC))
        if claim.attempts == 0 and len(payload.data) > DATA_BYTES_WARNED:
            log.warning("webhook.large_payload", message_id=str(claim.message_id), size_bytes=len(body))
        return _Ready(url, target, bytes(payload.data), body)

    async def _try(self, claim: Claim, ready: _Ready | Answer) -> Answer:
        if not isinstance(ready, _Ready):
            return ready
        url, target = ready.url, ready.target
        if isinstance(url, BrokerUrl):
            [answer] = await self._send(url, target, [_message(url, claim, ready)])
        else:
            answer = await self._post(url, self._headers(claim, target, ready.body), ready.body)
        return await self._noted(claim, target, answer)

    async def _noted(self, claim: Claim, target: Target, answer: Answer) -> Answer:
        if claim.endpoint_id is None or self._health.is_as_ever(target, answer):
            return answer
        return await self._health.note(claim.endpoint_id, target, answer)

    async def _target(self, claim: Claim, payload: Payload) -> Target | None:
        if claim.endpoint_id is not None:
            return await self._endpoints.find(claim.endpoint_id)
        if payload.url is None:
            raise InvalidPayload("there is neither a tenant with endpoints nor a url", field="url")
        url = self._parsed(payload.url, "")
        if isinstance(url, BrokerUrl):
            return Target(payload.url, ())
        secrets = await self._endpoints.deployment_secrets()
        return Target(payload.url, secrets.of(url))

    def _parse(self, url: str, tenant: str) -> URL | BrokerUrl:
        if is_broker(url):
            allowed = self._settings.brokers
            return parse_allowed(url, tenant=tenant, allowed=allowed, private=self._settings.private)
        return parse_url(url, allow_private=self._settings.private, allow_http=self._settings.http)

    def _headers(self, claim: Claim, target: Target, body: bytes) -> dict[str, str]:
        headers = signed_headers(claim.message_id, body, at=self._clock.now(), keys=target.secrets)
        if not self._settings.identify:
            return headers
        if claim.correlation_id:
            plain = _PLAIN.fullmatch(claim.correlation_id)
            headers["postroom-correlation-id"] = (
                claim.correlation_id if plain else quote(claim.correlation_id, safe=_PRINTABLE)
            )
        if traceparent := read_traceparent(claim.traceparent):
            headers["traceparent"] = traceparent
        return headers

    def _send(
        self, url: BrokerUrl, target: Target, messages: Sequence[BrokerMessage]
    ) -> Coroutine[Any, Any, Sequence[Answer]]:
        if self._brokers is None:
            raise RuntimeError("start() comes before deliver()")
        return self._brokers.send(url, next(iter(target.secrets), None), messages)

    async def _post(self, url: URL, headers: dict[str, str], body: bytes) -> Answer:
        if self._client is None:
            raise RuntimeError("start() comes before deliver()")
        slot = await self._slots.take(url)
        if slot is None:
            return _HOST_BUSY
        ends_at = self._clock.monotonic() + self._settings.timeout_s
        try:
            with self._limit:
                response = await self._client.post(url, headers=headers, body=body)
            with response:
                left_s = max(0.0, ends_at - self._clock.monotonic())
                detail = await read_excerpt(response.content, min(self._response_timeout_s, left_s))
                return judge_answer(response.status, response.headers, detail, self._clock.now())
        except (aiohttp.ClientError, TimeoutError, PrivateAddress) as error:
            return judge_failure(error)
        finally:
            slot.release()


async def _all_ended(attempts: Iterable[Coroutine[Any, Any, Answer]]) -> Sequence[Answer]:
    """One answer each. What one of them raises is raised when none goes on."""
    answers = list[Answer]()
    for ended in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        answers.append(ended)
    return answers


def _message(url: BrokerUrl, claim: Claim, ready: _Ready) -> BrokerMessage:
    return build_message(claim, format_=url.option("format", ENVELOPE), envelope=ready.body, data=ready.data)


async def read_excerpt(content: aiohttp.StreamReader, within_s: float) -> str:
    """The first 20,000 bytes of an answer as text that PostgreSQL can keep, or what comes within `within_s`.

    The status is the answer, so a body that is late, broken or endless changes nothing. The
    client closes the connection of an answer that was not read to its end.
    """
    if content.is_eof():  # all of it came with the head, as short answers do: nothing to wait for
        return _text(content.read_nowait(RESPONSE_BYTES_MAX))
    kept = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(within_s):
            while len(kept) <= RESPONSE_BYTES_MAX and (chunk := await content.readany()):
                kept += chunk
    return _text(bytes(kept[:RESPONSE_BYTES_MAX]))


def _text(kept: bytes) -> str:
    return kept.decode("utf-8", "replace").replace("\x00", "\ufffd")
