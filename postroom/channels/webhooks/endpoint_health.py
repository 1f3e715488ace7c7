"""How an endpoint answers over days: one that only fails, or says that it is gone, is disabled."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_FAILURES, Pool, transaction
from postroom.base.log import get_logger
from postroom.channels.webhooks import store
from postroom.channels.webhooks.answer import GONE
from postroom.channels.webhooks.endpoint_cache import EndpointCache
from postroom.channels.webhooks.model import Target
from postroom.outbox.model import Answer, Deferred, Delivered, Rejected, RetryLater, Unknown, Wait

log = get_logger(__name__)


class EndpointHealth:
    """Writes down the first failure, the end of failing, and the end of an endpoint: nothing in between.

    Promise: what is disabled keeps what is queued, and its own delivery waits with it; no attempt is spent.
    Does not promise: that every failure counts; one that cannot be written down is left to the next.
    """

    def __init__(
        self, *, pool: Pool, clock: Clock, endpoints: EndpointCache, disable_after: timedelta
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._endpoints = endpoints
        self._disable_after = disable_after

    def is_as_ever(self, target: Target, answer: Answer) -> bool:
        """Whether there is nothing to note, as after nearly every delivery."""
        return type(answer) is Delivered and target.failing_since is None

    async def note(self, endpoint_id: UUID, target: Target, answer: Answer) -> Answer:
        """What the answer of an endpoint leads to, which is the answer itself but for the last one."""
        match answer:
            case Delivered() if target.failing_since is not None:
                await self._answering(endpoint_id)
            case Rejected(code=code) if code == str(GONE):
                return await self._gone(endpoint_id, answer)
            case RetryLater() | Unknown() if self._tells_something(target):
                return await self._failing(endpoint_id, answer)
        return answer

    def _tells_something(self, target: Target) -> bool:
        """A guess by this machine's clock; the database's decides."""
        since = target.failing_since
        return since is None or self._clock.now() - since >= self._disable_after

    async def _answering(self, endpoint_id: UUID) -> None:
        try:
            async with transaction(self._pool) as conn:
                await store.mark_answering(conn, endpoint_id=endpoint_id)
        except DATABASE_FAILURES as error:  # it was delivered, which counts more
            log.warning("webhook.health_not_noted", endpoint_id=str(endpoint_id), error=repr(error))
            return
        self._endpoints.forget(endpoint_id)

    async def _failing(self, endpoint_id: UUID, answer: RetryLater | Unknown) -> Answer:
        days = self._disable_after / timedelta(days=1)
        reason = f"it has only failed for {days:g} days: {answer.reason}"
        try:
            async with transaction(self._pool) as conn:
                disabled = await store.mark_failing(
                    conn,
                    endpoint_id=endpoint_id,
                    reason=reason,
                    disable_after_s=self._disable_after.total_seconds(),
                )
        except DATABASE_FAILURES as error:
            log.warning("webhook.health_not_noted", endpoint_id=str(endpoint_id), error=repr(error))
            return answer
        self._endpoints.forget(endpoint_id)
        return self._disabled(endpoint_id, reason) if disabled else answer

    async def _gone(self, endpoint_id: UUID, answer: Rejected) -> Answer:
        async with transaction(self._pool) as conn:
            disabled = await store.mark_disabled(conn, endpoint_id=endpoint_id, reason=answer.reason)
        self._endpoints.forget(endpoint_id)
        return (
            self._disabled(endpoint_id, answer.reason) if disabled else Deferred(Wait.PARKED, answer.reason)
        )

    def _disabled(self, endpoint_id: UUID, reason: str) -> Deferred:
        log.warning("webhook.endpoint_disabled", endpoint_id=str(endpoint_id), reason=reason)
        return Deferred(Wait.PARKED, reason)
