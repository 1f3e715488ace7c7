"""Makes the endpoints at Stripe what the settings want, a step at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, assert_never
from uuid import uuid4

from postroom.base.clock import Clock
from postroom.base.errors import PostroomError, Unavailable
from postroom.base.log import get_logger, remove_secrets
from postroom.channels.stripe import endpoints
from postroom.channels.stripe.client import REASON_MAX, Failed, StripeApi
from postroom.channels.stripe.endpoint_plan import Change, Create, Delete, Found, Plan, Step, Wish
from postroom.channels.stripe.endpoints import TAG_MAX, Made
from postroom.channels.stripe.signature import fingerprint

log = get_logger(__name__)

T = TypeVar("T")
RETRY_S: Final = 1.0
REFUSED_TYPES_MAX: Final = 50
_REFUSED_TYPE: Final = re.compile(r"enabled_events\[(\d+)\]")

Keep = Callable[[Made], None]
"""Keeps the secret of a new endpoint, for Stripe does not tell it again."""
Waits = Callable[[str, float], None]


class StripeRefused(PostroomError):
    """Stripe will not do it: the key, its rights, or what was asked for."""

    code = "stripe_refused"
    status = 502
    title = "Stripe refused to set up its endpoints"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a plan. `failed`: one line a step that was not made, and why."""

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class EndpointSetup:
    """Reads and changes the endpoints of one account.

    Promise: a secret is kept before anything else happens to its endpoint; nothing is deleted before that.
    A step that Stripe refuses leaves the others. It can be stopped and run again at any time.
    Does not promise: to keep the secret of an endpoint if this process dies right after it was made. The
    next run says so, and `new_secret` replaces the endpoint.
    """

    def __init__(
        self, api: StripeApi, *, clock: Clock, wait_s: float, waits: Waits = lambda _reason, _s: None
    ) -> None:
        """`wait_s`: how long one request waits for Stripe while it is away or takes no more of them."""
        self._api = api
        self._clock = clock
        self._wait_s = wait_s
        self._waits = waits

    async def look(self, wish: Wish) -> Found:
        """Errors: `StripeRefused`; `Unavailable` when Stripe does not answer in time."""
        found = await self._asked(lambda: endpoints.list_endpoints(self._api))
        if isinstance(found, Failed):
            raise StripeRefused(f"{self._api.key_setting}: {reason_of(found)}")
        if any(each.live is not wish.live for each in found):
            raise StripeRefused(wrong_mode(self._api, wish))
        if not wish.types.thin:
            return Found(found)
        thin = await self._asked(lambda: endpoints.list_destinations(self._api))
        if isinstance(thin, Failed):
            return Found(found, reason_of(thin))
        return Found([*found, *thin])

    async def apply(self, plan: Plan, wish: Wish, keep: Keep) -> Applied:
        """Errors: `Unavailable` with what was done before."""
        done, failed = list[str](), list[str]()
        for step in plan.steps:
            try:
                fault = await self._step(step, wish, keep)
            except Unavailable as away:
                told = f" Done before: {'; '.join(done)}." if done else ""
                raise Unavailable(f"{away.detail}.{told} Run the same command again to go on") from away
            if fault is None:
                done.append(str(step))
                log.info("stripe.endpoint_set_up", account=wish.via, step=str(step))
            else:
                failed.append(f"{step}: {fault}")
        return Applied(tuple(done), tuple(failed))

    async def _step(self, step: Step, wish: Wish, keep: Keep) -> str | None:
        """None: done. A text: why not."""
        match step:
            case Create():
                return await self._create(step, wish, keep)
            case Change(endpoint, types):
                fault = await self._with_known_types(
                    types, wish, partial(endpoints.change_types, self._api, endpoint), endpoint.unknown_types
                )
                if not isinstance(fault, str) and not endpoint.enabled:
                    fault = _text(await self._asked(lambda: endpoints.enable(self._api, endpoint)))
                return fault if isinstance(fault, str) else None
            case Delete(endpoint):
                await self._asked(lambda: endpoints.enable(self._api, endpoint, on=False))
                return _text(await self._asked(lambda: endpoints.delete_endpoint(self._api, endpoint)))
        assert_never(step)

    async def _create(self, step: Create, wish: Wish, keep: Keep) -> str | None:
        async def create(types: Sequence[str], unknown_types: str) -> Made | Failed:
            key = str(uuid4())
            return await self._asked(
                lambda: endpoints.create_endpoint(
                    self._api,
                    step.kind,
                    url=step.url or "",
                    types=types,
                    api_version=step.api_version,
                    connected=wish.connect,
                    unknown_types=unknown_types,
                    key=key,
                )
            )

        unknown = step.replaces.unknown_types if step.replaces else frozenset[str]()
        made = await self._with_known_types(step.types, wish, create, unknown)
        if isinstance(made, str):
            return made
        if made.endpoint.live is not wish.live:
            await self._asked(lambda: endpoints.delete_endpoint(self._api, made.endpoint))
            return wrong_mode(self._api, wish)
        keep(made)
        known = fingerprint(made.secret)
        fault = await self._asked(lambda: endpoints.note_secret(self._api, made.endpoint, known))
        if fault is None and step.replaces is not None:
            old = step.replaces
            fault = await self._asked(lambda: endpoints.delete_endpoint(self._api, old))
        return _text(fault)

    async def _with_known_types(
        self,
        types: Sequence[str],
        wish: Wish,
        ask: Callable[[Sequence[str], str], Awaitable[T | Failed]],
        unknown: frozenset[str],
    ) -> T | str:
        """Leave out what Stripe does not know and only the mirror wanted; what somebody named is a fault."""
        left, refused = list(types), set(unknown)
        for _ in range(REFUSED_TYPES_MAX):
            answer = await self._asked(lambda: ask(left, ",".join(sorted(refused))[:TAG_MAX]))
            if not isinstance(answer, Failed):
                return answer
            name = _refused_type(answer, left)
            if name is None:
                return reason_of(answer)
            if name in wish.types.named_by:
                return f"Stripe knows no event type '{name}', which {wish.types.named_by[name]} names"
            left.remove(name)
            refused.add(name)
        return f"Stripe refused {REFUSED_TYPES_MAX} event types, {left[0]} not yet among them"

    async def _asked(self, ask: Callable[[], Awaitable[T | Failed]]) -> T | Failed:
        """What Stripe answers once it does. Errors: `Unavailable` after `wait_s`."""
        deadline_s = self._clock.monotonic() + self._wait_s
        while True:
            answer = await ask()
            if not isinstance(answer, Failed) or answer.our_fault:
                return answer
            pause_s = answer.after_s or RETRY_S
            if self._clock.monotonic() + pause_s > deadline_s:
                raise Unavailable(f"Stripe's endpoints cannot be reached: {answer.reason}")
            self._waits(answer.reason, pause_s)
            await asyncio.sleep(pause_s)


def reason_of(failed: Failed) -> str:
    """With Stripe's own text where it refused what was asked for; of a 404 it may have parts of the key."""
    text = failed.error.user_message if failed.error is not None and failed.status == 400 else None
    return f"Stripe: {remove_secrets(text)[:REASON_MAX]}" if text else failed.reason


def wrong_mode(api: StripeApi, wish: Wish) -> str:
    wanted, other = ("live", "test") if wish.live else ("test", "live")
    return f"{api.key_setting} is a key of {other} mode, and the account is to be of {wanted} mode"


def _refused_type(failed: Failed, types: Sequence[str]) -> str | None:
    text = (failed.error.user_message or "") if failed.error is not None else ""
    found = _REFUSED_TYPE.search(text)
    if found is None or int(found[1]) >= len(types):
        return next((each for each in types if f"'{each}'" in text), None)
    return types[int(found[1])]


def _text(fault: Failed | None) -> str | None:
    return None if fault is None else reason_of(fault)
