"""The current state of an object: when it is needed, and how it is fetched behind the breaker."""

from __future__ import annotations

from typing import Final

from postroom.channels.stripe.address import address
from postroom.channels.stripe.client import Current, Failed, Gone, StripeApi
from postroom.channels.stripe.effects import Plan
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.store import MirrorState
from postroom.outbox.model import Cause, Deferred, Rejected, RetryLater, Wait
from postroom.resilience.breaker import CircuitState, Trip
from postroom.resilience.circuits import Circuits

CIRCUIT: Final = "stripe"


def needs_current(event: Event, mirror: MirrorState, plan: Plan) -> bool:
    """Whether the event's own snapshot is not enough.

    It is not where the event carries none, where somebody asks, where the mirror has another
    event of the same second (nothing orders them), and where the mirror is newer and somebody
    would act on the old state.
    """
    if address(event) is None:
        return False
    if plan.fetch or (event.thin and not plan.empty):
        return True
    if mirror.as_of is None or event.created > mirror.as_of:
        return False
    if event.created == mirror.as_of:
        return mirror.mirrored_event_id != event.id
    return not plan.empty or mirror.fetched is True


class CurrentObjects:
    """Fetches objects behind the breaker `stripe`, which all processes share.

    Promise: while the breaker is open nothing is asked and no attempt is spent.
    """

    def __init__(self, *, api: StripeApi, circuits: Circuits) -> None:
        self._api = api
        self._circuits = circuits

    @property
    def configured(self) -> bool:
        return self._api.configured

    async def fetch(self, event: Event) -> Current | Gone | RetryLater | Rejected | Deferred:
        wait_s = await self._circuits.admit(CIRCUIT)
        if wait_s is not None:
            return Deferred(Wait.CIRCUIT_OPEN, "the breaker stripe is open", after_s=wait_s)
        fetched = await self._api.fetch_object(event)
        if isinstance(fetched, Failed):
            return await self._after_failure(fetched)
        await self._circuits.record(CIRCUIT, None)
        return fetched

    async def close(self) -> None:
        await self._api.close()

    async def _after_failure(self, failed: Failed) -> RetryLater | Rejected | Deferred:
        """An outage spends no attempt once the breaker knows of it, the trial's own included.

        What this key will never find is a dead letter at once: somebody is told.
        """
        if failed.status == 401:
            reason = "Stripe refused POSTROOM_STRIPE__API_KEY (HTTP 401)"
            await self._circuits.record(CIRCUIT, Trip.NOW, reason)
        elif failed.our_fault:
            await self._circuits.record(CIRCUIT, None)
            if failed.status == 404:
                return Rejected(failed.reason, code="404", cause=Cause.OURS)
            return RetryLater(failed.reason, code=str(failed.status), cause=Cause.OURS, trip=Trip.NO)
        else:
            reason = failed.reason
            await self._circuits.record(CIRCUIT, Trip.STRIKE, reason)
        open_s = await self._open_s()
        if open_s is not None:
            return Deferred(Wait.CIRCUIT_OPEN, reason, after_s=max(open_s, failed.after_s or 0.0))
        code = None if failed.status is None else str(failed.status)
        return RetryLater(reason, after_s=failed.after_s, code=code, trip=Trip.NO)

    async def _open_s(self) -> float | None:
        for circuit in await self._circuits.listed():
            if circuit.name == CIRCUIT and circuit.state is not CircuitState.CLOSED:
                return circuit.retry_in_s or 0.0
        return None
