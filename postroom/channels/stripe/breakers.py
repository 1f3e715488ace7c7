"""The breakers of Stripe's API, one an account: what was asked for, and what goes out, share them."""

from __future__ import annotations

from typing import Final

from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import setting_of
from postroom.channels.stripe.client import Failed
from postroom.outbox.model import Deferred, RetryLater, Wait
from postroom.resilience.breaker import CircuitState, Trip
from postroom.resilience.circuits import Circuits

CIRCUIT: Final = "stripe"


def circuit_of(via: str) -> str:
    """The breaker of an account of the settings: one that refuses its key stops no other."""
    return CIRCUIT if via == OWN_ACCOUNT else f"{CIRCUIT}:{via}"


class Breakers:
    """Promise: while the breaker of an account is open nothing is asked of it, and no attempt is spent."""

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    async def admit(self, via: str) -> Deferred | None:
        """None: go ahead, and say afterwards how it went."""
        circuit = circuit_of(via)
        wait_s = await self._circuits.admit(circuit)
        if wait_s is None:
            return None
        return Deferred(Wait.CIRCUIT_OPEN, f"the breaker {circuit} is open", after_s=wait_s)

    async def went_well(self, via: str) -> None:
        """Stripe answered, if only that it will not."""
        await self._circuits.record(circuit_of(via), None)

    async def failed(self, via: str, failed: Failed) -> RetryLater | Deferred:
        """Where the request itself is not to blame.

        An outage spends no attempt once the breaker knows of it, the trial's own included. A limit is no
        outage.
        """
        circuit, reason = circuit_of(via), failed.reason
        if failed.limited:
            if failed.status is not None:
                await self._circuits.record(circuit, None)
            return Deferred(Wait.DESTINATION_FULL, reason, after_s=failed.after_s)
        if failed.status == 401:
            reason = f"Stripe refused {setting_of(via, 'API_KEY')} (HTTP 401)"
            await self._circuits.record(circuit, Trip.NOW, reason)
        else:
            locked = failed.status == 429  # somebody else has this object
            await self._circuits.record(circuit, Trip.NO if locked else Trip.STRIKE, reason)
        open_s = await self._open_s(circuit)
        if open_s is not None:
            return Deferred(Wait.CIRCUIT_OPEN, reason, after_s=max(open_s, failed.after_s or 0.0))
        code = None if failed.status is None else str(failed.status)
        return RetryLater(reason, after_s=failed.after_s, code=code, trip=Trip.NO)

    async def _open_s(self, name: str) -> float | None:
        for circuit in await self._circuits.listed():
            if circuit.name == name and circuit.state is not CircuitState.CLOSED:
                return circuit.retry_in_s or 0.0
        return None
