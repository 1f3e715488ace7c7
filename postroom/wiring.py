"""The composition root: the only place where parts are put together. Nothing is opened at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Final

from postroom.base.clock import Clock, SystemClock
from postroom.base.db import DATABASE_AWAY, Dsn, Pool, open_pool
from postroom.base.encryption_keys import SETTING
from postroom.base.errors import SettingsInvalid, Unavailable
from postroom.base.log import get_logger
from postroom.base.operator_code import load_code
from postroom.base.secret_rules import DATABASE_URL, without_login
from postroom.base.setting_files import SettingFiles, watch_files
from postroom.base.settings import Settings, load_settings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.events.intake import EVENT_SECRETS
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.destinations import open_destinations
from postroom.channels.patience import backoffs, greatest_ages
from postroom.channels.stripe.backfill import Backfill
from postroom.channels.stripe.calls import StripeCallAdapter
from postroom.channels.stripe.client import StripeApi
from postroom.channels.stripe.current import CurrentObjects
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.ingest import Ingest
from postroom.channels.stripe.load import Load
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.processor import StripeAdapter
from postroom.channels.stripe.reconcile import Reconcile
from postroom.channels.stripe.refresh import CustomerRefresh
from postroom.channels.stripe.routes_file import Checks
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.registry import tasks_in
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.encryption.keyring import Keyring, keyring_of
from postroom.outbox.controls import Controls
from postroom.outbox.engine.expirer import Ages
from postroom.outbox.engine.relay import Relay
from postroom.outbox.engine.sources import Sources
from postroom.outbox.model import Adapter, Channel
from postroom.resilience.backoff import Backoff
from postroom.resilience.circuits import Circuits
from postroom.worker.heartbeat import Worker
from postroom.worker.wakeup import Wakeup

log = get_logger(__name__)

DATABASE_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every process has: the API needs no more than this."""

    settings: Settings
    pool: Pool
    clock: Clock
    circuits: Circuits
    adapters: Mapping[Channel, Adapter]
    stripe_ingest: Ingest
    stripe_reconcile: Reconcile
    stripe_load: Load
    stripe_refresh: CustomerRefresh
    keyring: Keyring
    sources: Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerServices:
    """What a process that works has besides: itself as a worker, and a relay a channel."""

    services: Services
    worker: Worker
    wakeup: Wakeup
    backoffs: Mapping[Channel, Backoff]
    ages: Ages
    relays: Mapping[Channel, Relay]


@asynccontextmanager
async def open_services(settings: Settings, dsn: str, *, worker: int = 0) -> AsyncIterator[Services]:
    """Build everything and close it again. The database may be away; what needs it says so then."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            _current(dsn, settings),
            connections_max=settings.database_connections_max,
            pooler=settings.database_pooler,
        )
        stack.push_async_callback(_close_pool, pool)
        yield await _services(settings, pool, worker, stack)


def _current(dsn: str, settings: Settings) -> Dsn:
    """The database's address, with the login that was read last."""
    given = settings.database_url

    def read() -> str:
        now = settings.database_url
        return dsn if now is None or now == given else now.get_secret_value()

    return read


async def _services(settings: Settings, pool: Pool, worker: int, stack: AsyncExitStack) -> Services:
    clock = SystemClock()
    keyring = keyring_of(settings.encryption)
    circuits = Circuits(pool=pool, clock=clock, worker=worker)
    ingest = Ingest(pool=pool, settings=settings.stripe, clock=clock, worker=worker, keyring=keyring)
    stack.push_async_callback(ingest.close)
    apis = StripeApi.for_all(settings.stripe, pool=pool, clock=clock)
    calls = StripeCallAdapter(
        pool=pool, settings=settings.stripe, apis=apis, circuits=circuits, keyring=keyring
    )
    adapters, effects = await _outbound_adapters(
        settings, pool, clock, stack, keyring, circuits=circuits, calls=calls
    )
    sources = Sources(pool=pool, clock=clock, keyring=keyring)
    current = CurrentObjects(apis=apis, circuits=circuits)
    stripe = StripeAdapter(
        pool=pool,
        settings=settings.stripe,
        clock=clock,
        current=current,
        effects=effects,
        keyring=keyring,
        sources=sources,
    )
    await stripe.start()
    stack.push_async_callback(stripe.close)
    services = Services(
        settings=settings,
        pool=pool,
        clock=clock,
        circuits=circuits,
        adapters={Channel.STRIPE: stripe, **adapters},
        stripe_ingest=ingest,
        stripe_reconcile=Reconcile(
            pool=pool,
            settings=settings.stripe,
            apis=apis,
            backfill=Backfill(pool=pool, apis=apis, ingest=ingest, circuits=circuits, clock=clock),
            effects=effects,
            clock=clock,
        ),
        stripe_load=Load(
            pool=pool,
            settings=settings.stripe,
            apis=apis,
            circuits=circuits,
            clock=clock,
            keyring=keyring,
        ),
        stripe_refresh=CustomerRefresh(
            pool=pool, settings=settings.stripe, current=current, keyring=keyring, clock=clock
        ),
        keyring=keyring,
        sources=sources,
    )
    if settings.files.texts:
        watching = watch_files(settings.files, partial(_reload, services))
        watcher = asyncio.create_task(watching, name="setting-files")
        stack.callback(watcher.cancel)
    return services


async def _reload(services: Services, files: SettingFiles) -> None:
    """Take over the secrets that files have now; where one has a fault, those of before go on."""
    try:
        fresh = load_settings(serves=services.settings.serves, files=files)
        if services.settings.ledger in fresh.ledgers:
            fresh = fresh.of_ledger(services.settings.ledger)
        await _replace_secrets(services, fresh)
    except SettingsInvalid as error:
        log.error("settings.not_reloaded", faults=error.faults)  # noqa: TRY400  a value has a fault, no code
    else:
        log.info("settings.reloaded")


async def _replace_secrets(services: Services, fresh: Settings) -> None:
    """All or none of them. Errors: `SettingsInvalid`."""
    settings = services.settings
    if faults := list(_only_by_restart(settings, fresh)):
        raise SettingsInvalid(faults)
    email, exports = services.adapters[Channel.EMAIL], services.adapters[Channel.EXPORT]
    stored = settings.exports.with_options_of(fresh.exports)
    storage = open_destinations(stored, settings.state_dir) if stored != settings.exports else None
    keyring = keyring_of(fresh.encryption, services.clock)
    if fresh.email.all_routes() != settings.email.all_routes() and isinstance(email, EmailAdapter):
        await email.move(fresh.email)
    settings.email.url, settings.email.routes = fresh.email.url, fresh.email.routes
    if storage is not None and isinstance(exports, ExportAdapter):
        exports.files.use(storage)
    services.keyring.replace(keyring)
    settings.encryption = fresh.encryption
    for name in ("unsubscribe_secrets", "bounces_secrets", "bounces_url", *EVENT_SECRETS.values()):
        setattr(settings.email, name, getattr(fresh.email, name))
    settings.exports.options, settings.exports.destinations = stored.options, stored.destinations
    settings.metrics_token = fresh.metrics_token
    # Who needs these reads them from the settings each time.
    settings.database_url, settings.oidc.client_secret = fresh.database_url, fresh.oidc.client_secret
    for name, account in settings.stripe.by_name().items():
        now = fresh.stripe.by_name()[name]
        account.api_key, account.webhook_secrets = now.api_key, now.webhook_secrets
    services.stripe_ingest.believe(settings.stripe)


def _only_by_restart(settings: Settings, fresh: Settings) -> Iterator[str]:
    """Changes that are more than another secret: no process may make them beside others that have not."""
    if settings.encryption.keys and not fresh.encryption.keys:
        yield f"{SETTING}: empty; restart everything if nothing shall be encrypted any more"
    before, after = (
        each.database_url and without_login(each.database_url.get_secret_value())
        for each in (settings, fresh)
    )
    if before != after:
        yield f"{DATABASE_URL}: more than the login is new; restart everything to use another database"
    modes, fresh_modes = (
        {name: account.live for name, account in each.stripe.by_name().items()} for each in (settings, fresh)
    )
    if modes != fresh_modes:
        yield "POSTROOM_STRIPE__…: other accounts, or one in another mode; restart everything to use them"


async def _outbound_adapters(
    settings: Settings,
    pool: Pool,
    clock: Clock,
    stack: AsyncExitStack,
    keyring: Keyring,
    *,
    circuits: Circuits,
    calls: StripeCallAdapter,
) -> tuple[dict[Channel, Adapter], Effects]:
    """The outbound adapters, started, and what Stripe events cause on them.

    Errors: `SettingsInvalid` with the faults of all of them.
    """
    faults = list[str]()
    code: list[ModuleType] = []
    with _gathered(faults):
        code = load_code(settings.handlers)
    makers: dict[Channel, Callable[[], Adapter]] = {
        Channel.EMAIL: lambda: EmailAdapter(
            settings=settings.email, pool=pool, clock=clock, keyring=keyring, circuits=circuits
        ),
        Channel.WEBHOOK: lambda: WebhookAdapter(
            pool=pool, clock=clock, settings=settings.webhook, keyring=keyring
        ),
        Channel.EXPORT: lambda: ExportAdapter(
            pool=pool,
            clock=clock,
            settings=settings.exports,
            state_dir=settings.state_dir,
            keyring=keyring,
            circuits=circuits,
        ),
        Channel.STRIPE_API: lambda: calls,
        Channel.TASK: lambda: TaskAdapter(
            pool=pool,
            clock=clock,
            settings=settings.tasks,
            tasks=tasks_in(code),
            places=settings.handlers,
        ),
    }
    adapters: dict[Channel, Adapter] = {}
    effects = Effects()
    for channel, make in makers.items():
        with _gathered(faults):
            adapter = make()
            await adapter.start()
            stack.push_async_callback(adapter.close)
            adapters[channel] = adapter
    with _gathered(faults):
        effects = load_effects(routes=settings.routes, code=code, checks=route_checks(adapters))
    on = settings.stripe.on or settings.ledger  # of several ledgers another one may have the account
    if settings.prod and effects.registry.handlers and not on:
        faults.append("POSTROOM_STRIPE__WEBHOOK_SECRETS: needed with POSTROOM_ENV=prod where @on is used")
    if faults:
        raise SettingsInvalid(faults)
    return adapters, effects


@asynccontextmanager
async def open_effects(settings: Settings) -> AsyncIterator[tuple[Effects, Checks]]:
    """What events cause here, loaded as every process loads it, and what the channels would refuse of it.

    No database is asked. Errors: `SettingsInvalid`.
    """
    async with AsyncExitStack() as stack:
        pool = await open_pool("postgresql://", connections_max=1)  # connects at first use, which never comes
        stack.push_async_callback(_close_pool, pool)
        clock, keyring = SystemClock(), keyring_of(settings.encryption)
        circuits = Circuits(pool=pool, clock=clock, worker=0)
        apis = StripeApi.for_all(settings.stripe, pool=pool, clock=clock)
        calls = StripeCallAdapter(pool=pool, settings=settings.stripe, apis=apis, circuits=circuits)
        adapters, effects = await _outbound_adapters(
            settings, pool, clock, stack, keyring, circuits=circuits, calls=calls
        )
        yield effects, route_checks(adapters)


def route_checks(adapters: Mapping[Channel, Adapter]) -> Checks:
    """What each channel would refuse of a route."""
    return {
        channel: adapter.check_route if isinstance(adapter, TaskAdapter) else adapter.check
        for channel, adapter in adapters.items()
    }


@contextmanager
def _gathered(faults: list[str]) -> Iterator[None]:
    """Add what is wrong with the settings to the list, and go on."""
    try:
        yield
    except SettingsInvalid as error:
        faults += error.faults


@asynccontextmanager
async def open_backfill(settings: Settings, dsn: str) -> AsyncIterator[Backfill]:
    """What a backfill needs, and no more: a wrong routes file or mail server does not stand in its way."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            dsn,
            connections_max=settings.database_connections_max,
            pooler=settings.database_pooler,
            application="postroom backfill",
        )
        stack.push_async_callback(_close_pool, pool)
        clock = SystemClock()
        keyring = keyring_of(settings.encryption)
        ingest = Ingest(pool=pool, settings=settings.stripe, clock=clock, keyring=keyring)
        stack.push_async_callback(ingest.close)
        apis = StripeApi.for_all(settings.stripe, pool=pool, clock=clock)
        for api in apis.values():
            stack.push_async_callback(api.close)
        circuits = Circuits(pool=pool, clock=clock, worker=0)
        yield Backfill(pool=pool, apis=apis, ingest=ingest, circuits=circuits, clock=clock)


@asynccontextmanager
async def open_stripe_apis(settings: Settings, dsn: str) -> AsyncIterator[Mapping[str, StripeApi]]:
    """Stripe's API with the key of each account, inside the budget that all processes share."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            dsn, connections_max=2, pooler=settings.database_pooler, application="postroom stripe"
        )
        stack.push_async_callback(_close_pool, pool)
        apis = StripeApi.for_all(settings.stripe, pool=pool, clock=SystemClock())
        for api in apis.values():
            stack.push_async_callback(api.close)
        yield apis


@asynccontextmanager
async def open_worker(
    settings: Settings, dsn: str, *, role: str, wait_s: float | None = None
) -> AsyncIterator[WorkerServices]:
    """Register as a worker, build its relays, and leave when done.

    A database that is away is waited for: `wait_s` at most, or for as long as it takes.
    Errors: `Unavailable` after `wait_s`.
    """
    async with AsyncExitStack() as stack:
        address = _current(dsn, settings)
        pool = await open_pool(
            address,
            connections_max=settings.database_connections_max,
            pooler=settings.database_pooler,
            application=f"postroom {role}",
        )
        stack.push_async_callback(_close_pool, pool)
        beats = partial(
            open_pool,
            address,
            connections_max=1,
            pooler=settings.database_pooler,
            application=f"postroom {role} heartbeat",
        )
        worker = Worker(pool=pool, role=role, opens=beats)
        await _wait_for_database(worker.register, wait_s)
        stack.push_async_callback(_leave, worker)
        services = await _services(settings, pool, worker.id, stack)
        tasks = services.adapters[Channel.TASK]
        if isinstance(tasks, TaskAdapter):
            await _wait_for_database(tasks.declare_limits, wait_s)
        wakeup = Wakeup(dsn=address, pool=pool, worker=worker, pooler=settings.database_pooler)
        controls = Controls(pool=pool, clock=services.clock)
        chosen, ages = backoffs(settings), greatest_ages(settings)
        yield WorkerServices(
            services=services,
            worker=worker,
            wakeup=wakeup,
            backoffs=chosen,
            ages=ages,
            relays={
                channel: Relay(
                    pool=pool,
                    clock=services.clock,
                    worker=worker,
                    wakeup=wakeup,
                    circuits=services.circuits,
                    adapter=adapter,
                    backoff=chosen[channel],
                    controls=controls,
                    age_max_s=ages.of(channel),
                    keyring=services.keyring,
                    sources=services.sources,
                )
                for channel, adapter in services.adapters.items()
            },
        )


async def _wait_for_database(say: Callable[[], Awaitable[None]], wait_s: float | None) -> None:
    try:
        async with asyncio.timeout(wait_s):
            while True:
                try:
                    return await say()
                except DATABASE_AWAY as error:
                    log.warning("database.away", error=repr(error))
                await asyncio.sleep(DATABASE_RETRY_S)
    except TimeoutError:
        raise Unavailable(f"the database did not answer within {wait_s:g} s") from None


async def _leave(worker: Worker) -> None:
    try:
        await worker.leave()
    except DATABASE_AWAY as error:
        log.warning("worker.left_without_word", error=repr(error))


async def _close_pool(pool: Pool) -> None:
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except TimeoutError:
        pool.terminate()
