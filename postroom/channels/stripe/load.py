"""The job `stripe-load`: all objects that Stripe has go into the mirror, once, when somebody asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Final

import msgspec

from postroom.base.clock import Clock
from postroom.base.db import Pool, transaction
from postroom.base.errors import Unavailable
from postroom.base.log import get_logger
from postroom.base.stripe_settings import StripeAccount, StripeSettings
from postroom.channels.stripe import load_progress, store
from postroom.channels.stripe.address import object_classes
from postroom.channels.stripe.breakers import Breakers
from postroom.channels.stripe.client import PAGE_MAX, Failed, Sent, StripeApi
from postroom.channels.stripe.event import Event, decode
from postroom.channels.stripe.load_progress import TypeLoad
from postroom.channels.stripe.store import ObjectRow
from postroom.channels.stripe.sublists import ITEMS_MAX, cut_lists, extend, last_id
from postroom.channels.stripe.types import known_types, subject
from postroom.encryption.keyring import Keyring
from postroom.outbox.model import Deferred, RetryLater
from postroom.resilience.circuits import Circuits
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

EVERY_S: Final = 5.0
RUN_S: Final = 240.0
WAIT_S: Final = 60.0
"""For one answer. A run ends between pages: where the budget is short, its end mostly falls into a pause."""
PAUSE_MAX_S: Final = 30.0
CLOCKS_DIFFER_MAX: Final = timedelta(minutes=5)
"""By so much what was listed counts as older than our clock has it: an event of these minutes is kept. Clocks
that differ by more refuse webhooks, too."""
ALL: Final[Mapping[str, Mapping[str, str]]] = {"subscription": {"status": "all"}}
"""What Stripe leaves out of a list unless it is asked for."""


@cache
def listable() -> Mapping[str, str]:
    """Types of objects that events are about and Stripe lists, with the path of the list."""
    # Imported late, as in `types`.
    from stripe import ListableAPIResource

    about = {subject(each) for each in known_types()}
    found = {}
    for name, (module, class_name) in object_classes().items():
        kind = getattr(import_module(module), class_name) if name in about else None
        if isinstance(kind, type) and issubclass(kind, ListableAPIResource):
            found[name] = kind.class_url()
    return found


def types_to_load(mirror: Collection[str] | None) -> list[str]:
    """`mirror`: types that it has to keep; None: all."""
    return sorted(each for each in listable() if mirror is None or each in mirror)


class Load:
    """Reads Stripe's lists of objects, a page at a time, behind the breaker and inside the budget.

    Promise: a page and its place are committed together, so whoever comes next goes on where this one
    ended, however it ended. It causes nothing. What an event wrote meanwhile, or in the five minutes before,
    is not overwritten. Lists inside an object are read to their ends, up to `ITEMS_MAX`. Of an account that
    several ledgers share it stores what the directory gives to this one.
    Does not promise: objects of connected accounts, of v2, deleted ones, and those that are only listed
    below another.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        settings: StripeSettings,
        apis: Mapping[str, StripeApi],
        circuits: Circuits,
        clock: Clock,
        keyring: Keyring,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._apis = apis
        self._breakers = Breakers(circuits)
        self._clock = clock
        self._keyring = keyring

    async def run(self, context: JobContext) -> int:
        """Begin no page after `RUN_S`. Returns: how many objects it stored.

        Errors: `Unavailable` when Stripe does not answer; it goes on with the next run.
        """
        async with self._pool.acquire() as conn:
            waiting = [each for each in await load_progress.list_types(conn) if each.ended_at is None]
        deadline_s, stored = self._clock.monotonic() + RUN_S, 0
        for load in waiting:
            account = self._settings.account(load.account)
            if account is None or account.live is not load.live or not self._apis[load.account].configured:
                continue
            going: TypeLoad | None = load
            while going is not None:
                if context.stop.is_set() or self._clock.monotonic() > deadline_s:
                    return stored
                count, going = await self._page(going, account)
                stored += count
        return stored

    async def _page(self, load: TypeLoad, account: StripeAccount) -> tuple[int, TypeLoad | None]:
        """Store the next page. Returns: how many objects, and where it is then; None once it has ended."""
        as_of = self._clock.now().replace(microsecond=0) - CLOCKS_DIFFER_MAX
        given: dict[str, Any] = {"limit": PAGE_MAX, **ALL.get(load.type, {})}
        if load.after is not None:
            given["starting_after"] = load.after
        page = await self._ask(load.account, listable()[load.type], given)
        if isinstance(page, Failed):
            return 0, await self._refused(load, page)
        told = _readable(page.data)
        listed = [each for each in told.get("data") or () if isinstance(each.get("id"), str)]
        objects = {each["id"]: await self._whole(load.account, each) for each in listed}
        version = page.api_version or account.api_version
        rows = [_row(each, load, account, as_of, version) for each in objects.values()]
        after, more = listed[-1]["id"] if listed else None, bool(told.get("has_more") and listed)
        async with transaction(self._pool) as conn:
            if self._settings.shared(load.account):
                away = await store.list_elsewhere(conn, {each.event.owner for each in rows})
                rows = [each for each in rows if each.event.owner not in away]
            await store.upsert_objects(conn, rows, self._keyring)
            if not await load_progress.move(conn, load, to=after, objects=len(rows), last=not more):
                raise Unavailable(f"another runner loads {load.type} of {load.account}")
        log.info("stripe.loaded", account=load.account, type=load.type, objects=len(rows), more=more)
        return len(rows), replace(load, after=after) if more else None

    async def _refused(self, load: TypeLoad, failed: Failed) -> TypeLoad | None:
        """A key that may not list a type, or an account that has none of it, leaves the others."""
        async with self._pool.acquire() as conn:
            if load.after is not None and getattr(failed.error, "param", None) == "starting_after":
                await load_progress.restart(conn, load)
                return replace(load, after=None)
            await load_progress.end(conn, load, left_out=failed.reason)
        log.warning("stripe.not_loaded", account=load.account, type=load.type, reason=failed.reason)
        return None

    async def _whole(self, via: str, object: dict[str, Any]) -> dict[str, Any]:
        """With its lists to their ends; what the key may not list stays cut, and says so."""
        for cut in cut_lists(object):
            while cut["has_more"] and len(cut["data"]) < ITEMS_MAX and (after := last_id(cut)) is not None:
                given = {"limit": PAGE_MAX, "starting_after": after}
                page = await self._ask(via, cut["url"], given)
                if isinstance(page, Failed):
                    log.warning("stripe.list_stays_cut", object_id=object["id"], url=cut["url"])
                    break
                extend(cut, page.data)
        return object

    async def _ask(self, via: str, path: str, given: Mapping[str, Any]) -> Sent | Failed:
        """What Stripe answers once it does; `Failed` where it never will. Errors: `Unavailable`."""
        deadline_s = self._clock.monotonic() + WAIT_S
        while True:
            trouble: RetryLater | Deferred | None = await self._breakers.admit(via)
            if trouble is None:
                answer = await self._apis[via].send("get", path, given)
                if not isinstance(answer, Failed) or (answer.our_fault and answer.status != 401):
                    await self._breakers.went_well(via)
                    return answer
                trouble = await self._breakers.failed(via, answer)
            pause_s = trouble.after_s
            if pause_s is None or pause_s > min(PAUSE_MAX_S, deadline_s - self._clock.monotonic()):
                raise Unavailable(f"objects of {via} cannot be listed: {trouble.reason}")
            await asyncio.sleep(pause_s)


def _readable(page: dict[str, Any]) -> dict[str, Any]:
    """As an event's body is read: what PostgreSQL cannot keep is replaced."""
    try:
        return decode(msgspec.json.encode(page))
    except UnicodeEncodeError:
        return decode(json.dumps(page).encode())


def _row(
    object: dict[str, Any], load: TypeLoad, account: StripeAccount, as_of: datetime, version: str | None
) -> ObjectRow:
    """As an event of this moment would have brought it."""
    livemode = object.get("livemode")
    told = Event(
        id="listed",
        type=f"{load.type}.listed",
        account=None,
        created=as_of,
        livemode=livemode if isinstance(livemode, bool) else account.live,
        api_version=version,
        thin=False,
        object=object,
        previous={},
        object_id=object["id"],
        object_type=str(object.get("object") or load.type),
        body={},
        via=load.account,
    )
    return ObjectRow(
        told,
        object,
        deleted=object.get("deleted") is True,
        as_of=as_of,
        api_version=version,
        fetched=True,
    )


def load_job(load: Load) -> Job:
    """Looks every few seconds whether somebody has asked for it."""
    return Job(name="stripe-load", run=load.run, every_s=EVERY_S, timeout_s=2 * RUN_S)
