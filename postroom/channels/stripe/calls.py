"""The channel `stripe_api`: a call to Stripe after the commit of whoever asked for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json import dumps
from typing import Any, Final
from uuid import UUID

from postroom.base import json
from postroom.base.db import Connection, Pool, transaction
from postroom.base.errors import InvalidInput
from postroom.base.log import remove_secrets
from postroom.base.stripe_settings import StripeSettings, setting_of
from postroom.channels.stripe import call_store, store
from postroom.channels.stripe.breakers import Breakers
from postroom.channels.stripe.call import Call, read_call
from postroom.channels.stripe.call_store import Begun
from postroom.channels.stripe.client import Failed, Sent, StripeApi, unreached
from postroom.channels.stripe.event import Event, decode, parse
from postroom.channels.stripe.store import ObjectRow
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.model import (
    Answer,
    Cause,
    Channel,
    Claim,
    Deferred,
    Delivered,
    Rejected,
    RetryLater,
    Trip,
    Wait,
    rejected_payload,
)
from postroom.resilience.circuits import Circuits

CONCURRENCY_MAX: Final = 16
IN_PROGRESS_S: Final = 2.0
SPARE_S: Final = 30.0
MESSAGE_MAX: Final = 200
KEY_LOST: Final = "key_lost"
_QUOTED: Final = re.compile(r"'(?![a-z]+_\w+')[^']*'|\S+@\S+")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt at a call, about to be made or made."""

    message_id: UUID
    call: Call
    key: str
    begun: Begun

    def look_up(self, why: str, code: str) -> Rejected:
        """Nobody here can tell whether Stripe has done it: a person looks, and says so."""
        at = self.begun.sent_at.astimezone(UTC)
        reason = (
            f"{why}; Stripe may have done it on {at:%Y-%m-%d %H:%M} UTC: look for "
            f"Idempotency-Key '{self.key}' in its log of requests, or for what it would have made, then: "
            f"postroom stripe looked-up {self.message_id} --done, or --not-done to do it now"
        )
        return Rejected(reason, code=code)


class StripeCallAdapter:
    """Calls Stripe's API with the key of the call's account, behind its breaker and within its budget.

    Promise: one effect at Stripe for one message, however often it is tried: each attempt has the same
    idempotency key, and once Stripe may have forgotten that, a person decides. What Stripe returns is
    mirrored, with the result beside the message, before the delivery ends.
    Does not promise: order, except by an ordering key; nor one effect once the database was restored to
    before a call's first attempt, for it has forgotten when that was.
    """

    channel = Channel.STRIPE_API
    circuit: str | None = ""
    concurrency_max = CONCURRENCY_MAX
    per_destination_max = CONCURRENCY_MAX

    def __init__(
        self,
        *,
        pool: Pool,
        settings: StripeSettings,
        apis: Mapping[str, StripeApi],
        circuits: Circuits,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        self._pool = pool
        self._accounts = settings.by_name()
        self._apis = apis
        self._breakers = Breakers(circuits)
        self._keyring = keyring
        self.timeout_s = settings.timeout_s + SPARE_S

    async def start(self) -> None:
        """Nothing is opened ahead."""

    async def close(self) -> None:
        for api in self._apis.values():
            await api.close()

    def check(self, payload: dict[str, Any]) -> None:
        """Errors: `InvalidPayload` naming the field."""
        read_call(payload, self._accounts)

    async def deliver(self, claim: Claim) -> Answer:
        """Try once. Errors: the database's own."""
        try:
            call = read_call(claim.body(), self._accounts)
        except InvalidInput as error:
            return rejected_payload(error)
        if not self._apis[call.via].configured:
            return Deferred(Wait.NOT_CONFIGURED, f"{setting_of(call.via, 'API_KEY')} is not set")
        async with self._pool.acquire() as conn:
            begun = await call_store.begin_call(conn, claim.message_id, account=call.account)
        if begun.answered:
            return Delivered(detail="Stripe had told before that it is done")
        attempt = _Attempt(claim.message_id, call, _key(claim, begun), begun)
        if call.keyed and begun.at - begun.sent_at > call.window:
            return attempt.look_up(
                "it was tried first so long ago that Stripe may not know its key any more", KEY_LOST
            )
        # Only now: whom it admits it may have admitted as its trial.
        if (held := await self._breakers.admit(call.via)) is not None:
            await self._forget(attempt)
            return held
        published = datetime.fromtimestamp(claim.created_s, UTC)
        sent = await self._apis[call.via].send(
            "post" if call.method == "POST" else "delete",
            call.path,
            call.parameters(attempt.key, published),
            connected=call.connected,
            idempotency_key=attempt.key if call.keyed else None,
        )
        return (
            await self._failed(attempt, sent) if isinstance(sent, Failed) else await self._done(attempt, sent)
        )

    async def _done(self, attempt: _Attempt, sent: Sent) -> Delivered:
        """Result and mirror are one commit. Before it, the next attempt gets the same answer."""
        await self._breakers.went_well(attempt.call.via)
        returned = _returned(attempt, sent, self._accounts[attempt.call.via].live)
        async with transaction(self._pool) as conn:
            if returned.object_id is not None:
                await self._mirror(conn, attempt, sent, returned)
            result = {
                "request_id": sent.request_id,
                "api_version": sent.api_version,
                "object_type": returned.object_type,
                "object_id": returned.object_id,
            }
            await call_store.answer_call(conn, attempt.message_id, status=sent.status, **result)
        return Delivered(str(sent.status), json.encode(result))

    async def _mirror(self, conn: Connection, attempt: _Attempt, sent: Sent, returned: Event) -> None:
        """An answer that Stripe had kept is of the first attempt. What was expanded looks unlike events."""
        as_of = attempt.begun.sent_at if sent.replayed else attempt.begun.at
        if returned.object.get("deleted") is True:
            await store.mark_deleted(conn, event=returned, as_of=as_of)
        elif "expand" not in attempt.call.params:
            # What is told once only, such as the secret of an endpoint, stays out of what many may read.
            data = {name: value for name, value in returned.object.items() if name != "secret"}
            row = ObjectRow(
                returned, data, deleted=False, as_of=as_of, api_version=sent.api_version, fetched=True
            )
            await store.upsert_objects(conn, [row], self._keyring)

    async def _forget(self, attempt: _Attempt) -> None:
        async with self._pool.acquire() as conn:
            await call_store.forget_sending(conn, attempt.message_id, key_no=attempt.begun.key_no)

    async def _failed(self, attempt: _Attempt, failed: Failed) -> Answer:
        if failed.unsent:
            await self._forget(attempt)
        code = _code(failed)
        if failed.status == 409:
            await self._breakers.went_well(attempt.call.via)
            if code == "idempotency_key_in_use":
                reason = "Stripe still works on an earlier attempt"
                return Deferred(Wait.DESTINATION_FULL, reason, after_s=failed.after_s or IN_PROGRESS_S)
            return RetryLater(self._told(failed, code), after_s=failed.after_s, code=code, trip=Trip.NO)
        if failed.our_fault and failed.status != 401:
            await self._breakers.went_well(attempt.call.via)
            return await self._refused(attempt, failed, code)
        if failed.replayed:
            await self._breakers.went_well(attempt.call.via)
            return attempt.look_up(
                f"Stripe failed (HTTP {failed.status}) and keeps to it under this key", code
            )
        return await self._breakers.failed(attempt.call.via, failed)

    async def _refused(self, attempt: _Attempt, failed: Failed, code: str) -> Answer:
        """4xx. Where Stripe keeps it as the answer of this key, a replay needs another one; where an earlier
        attempt may have got another answer, this one says nothing of that, and the key stays."""
        call, begun = attempt.call, attempt.begun
        if code == "idempotency_error":
            return attempt.look_up("Stripe knows this key with other parameters", code)
        ours = unreached(failed, setting_of(call.via, "API_KEY"), call.account)
        if failed.status == 404 and not call.keyed and not ours and begun.sends > 1:
            return Delivered("404", "it was gone already, as an earlier attempt wanted")
        async with self._pool.acquire() as conn:
            await call_store.renew_call(conn, attempt.message_id, key_no=begun.key_no, told=failed.replayed)
        reason = f"{ours} (HTTP {failed.status})" if ours else self._told(failed, code)
        cause = Cause.OURS if ours or failed.status == 403 else Cause.PERMANENT
        return Rejected(reason, code=code, cause=cause)

    def _told(self, failed: Failed, code: str) -> str:
        """For people. Quoted, so that dead letters of one code are one group. Stripe's text may repeat what
        was sent: where payloads are encrypted, it is left out."""
        error = failed.error
        request_id = (error.request_id if error is not None else None) or "?"
        reason = f"Stripe refused it: HTTP {failed.status} {code}, request '{request_id}'"
        text = error.user_message if error is not None and self._keyring.current is None else None
        if not text:
            return reason
        said = _QUOTED.sub("…", remove_secrets(text))[:MESSAGE_MAX].replace('"', "'")
        return f'{reason}: "{said}"'


def _key(claim: Claim, begun: Begun) -> str:
    """The same for each attempt at a delivery; with another `key_no` it is another call to Stripe."""
    return f"{claim.message_id}-{claim.n}" + (f"-{begun.key_no}" if begun.key_no > 1 else "")


def _returned(attempt: _Attempt, sent: Sent, livemode: bool) -> Event:
    """What Stripe returned, told as an event tells of its object, and cleaned as one."""
    told = {
        "id": sent.request_id or attempt.key,
        "account": attempt.call.connected,
        "livemode": livemode,
        "data": {"object": sent.data},
    }
    return parse(decode(dumps(told).encode()), via=attempt.call.via)


def _code(failed: Failed) -> str:
    """Stripe's own code, or its kind of error, or the status."""
    told = failed.error.error if failed.error is not None else None
    code = getattr(told, "code", None)
    kind = getattr(told, "type", None)
    return str(code or (kind if kind == "idempotency_error" else None) or failed.status or "connection")[:100]
