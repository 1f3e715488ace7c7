"""The doctor's look at Stripe: keys and their rights, and the endpoints that lead here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from postroom.base.clock import SystemClock
from postroom.base.db import DATABASE_AWAY
from postroom.base.errors import InvalidInput, Unavailable
from postroom.base.settings import Settings
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import setting_of
from postroom.channels.stripe.address import retrievable
from postroom.channels.stripe.client import Failed, StripeApi
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.endpoint_plan import Change, Create, Delete, Found, Step, Wish, plan_endpoints
from postroom.channels.stripe.endpoints import Kind
from postroom.channels.stripe.setup import EndpointSetup, StripeRefused
from postroom.channels.stripe.types import subject
from postroom.channels.stripe.wishes import wish_of
from postroom.health.findings import Finding, Level, error, ok, warning

TIMEOUT_S: Final = 10.0
PATHS_MAX: Final = 10
NAMED_MAX: Final = 3
DASHBOARD: Final = "https://dashboard.stripe.com/apikeys"
_RESTRICTED: Final = "rk_"


async def check_stripe(
    settings: Settings, apis: Mapping[str, StripeApi], effects: Effects | None
) -> list[Finding]:
    """Every account that has a key, all at once.

    Promise: it ends within `TIMEOUT_S`, also when Stripe is away. Without `effects` types are not compared.
    """
    checks = [_within_time(settings, api, via, effects) for via, api in apis.items() if api.configured]
    return [finding for found in await asyncio.gather(*checks) for finding in found]


async def _within_time(
    settings: Settings, api: StripeApi, via: str, effects: Effects | None
) -> list[Finding]:
    subject_ = _subject(via)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return [*await _check(settings, api, via, effects), *await _rights(settings, api, via, effects)]
    except TimeoutError:
        return [warning(subject_, f"Stripe did not answer within {TIMEOUT_S:g} s")]
    except Unavailable as away:
        return [warning(subject_, f"not looked at: {away.detail}")]
    except StripeRefused as refused:
        return [error(subject_, refused.detail, _mends(refused.detail, via))]
    except InvalidInput as invalid:
        return [error(subject_, invalid.message, "postroom stripe setup --dry-run")]
    except DATABASE_AWAY:
        return []  # the budget of requests is there; it is another finding


async def _check(settings: Settings, api: StripeApi, via: str, effects: Effects | None) -> list[Finding]:
    wish = wish_of(settings.stripe, via, effects or Effects())
    found = await EndpointSetup(api, clock=SystemClock(), wait_s=0.0).look(wish)
    findings = list(_compared(settings, wish, found, types=effects is not None))
    if all(each.command is None for each in findings):
        mode, version = "live" if wish.live else "test", wish.api_version or "each event's own"
        count = sum(each.leads_to(wish.url) for each in found.endpoints)
        findings.insert(0, ok(_subject(via), f"{mode} mode, version {version}, {count} endpoints lead here"))
    if Kind.CONNECT in wish.kinds:
        text = (
            "what webhooks miss of connected accounts is not looked for: `postroom stripe backfill --account`"
        )
        findings.append(ok(_subject(via), text))
    return findings


def _compared(settings: Settings, wish: Wish, found: Found, *, types: bool) -> Iterator[Finding]:
    plan = plan_endpoints(found, wish)
    for step in plan.steps:
        if types or not isinstance(step, Change) or not step.endpoint.enabled:
            yield from _told(step, settings, wish)
    for remark in plan.remarks:
        level = Level.ERROR if remark.wrong else Level.WARNING if remark.command else Level.OK
        yield Finding(level, _subject(wish.via), remark.text, remark.command)


def _told(step: Step, settings: Settings, wish: Wish) -> Iterator[Finding]:
    match step:
        case Create(kind, _, version) if wish.url is not None:
            told = f" in version {version}" if version else ""
            text = f"no {kind} endpoint at Stripe leads to {wish.url}{told}"
            yield error(_subject(wish.via), text, wish.command)
        case Create(kind):
            yield from _nobody_said_where(kind, settings, wish)
        case Change(endpoint):
            what = f"{endpoint.kind} endpoint {endpoint.id}"
            if not endpoint.enabled:
                yield error(_subject(wish.via), f"{what} is disabled: Stripe sends it nothing", wish.command)
            if step.added:
                needed = [each for each in step.added if each in wish.types.named_by]
                level = error if needed else warning
                text = f"{what} lacks {_some([*needed, *step.added])}"
                yield level(_subject(wish.via), text, wish.command)
            if step.removed:
                yield warning(
                    _subject(wish.via), f"{what} gets {_some(step.removed)} for nobody", wish.command
                )
        case Delete():
            return


def _nobody_said_where(kind: str, settings: Settings, wish: Wish) -> Iterator[Finding]:
    """In dev `stripe listen` brings the events, and Stripe has no endpoint."""
    text = f"no {kind} endpoint at Stripe leads to …/v1/stripe/webhook"
    if settings.prod:
        where = "export POSTROOM_STRIPE__WEBHOOK_URL=https://…/v1/stripe/webhook"
        yield warning(_subject(wish.via), text, f"{where}; {wish.command}")
    else:
        yield ok(_subject(wish.via), f"{text}; `stripe listen` needs none")


async def _rights(settings: Settings, api: StripeApi, via: str, effects: Effects | None) -> list[Finding]:
    """What a restricted key may not, of what a backfill and the routes need."""
    key = settings.stripe.by_name()[via].api_key
    if key is None or not key.get_secret_value().startswith(_RESTRICTED):
        return []
    findings = []
    for path in ["/v1/events", *_lists(effects)][:PATHS_MAX]:
        answer = await api.send("get", path, {"limit": 1})
        if isinstance(answer, Failed) and answer.status == 403:
            findings.append(error(_subject(via), f"{api.key_setting}: {path}: {answer.reason}", DASHBOARD))
    return findings


def _lists(effects: Effects | None) -> list[str]:
    """Where the objects are listed that routes and handlers are about."""
    routes = effects.routes.routes if effects else ()
    handlers = effects.registry.handlers if effects else ()
    patterns = [*(route.on for route in routes), *(each for h in handlers for each in h.patterns)]
    classes = [retrievable(subject(pattern) or "") for pattern in patterns]
    plain = [each for each in classes if each is not None and "instance_url" not in vars(each)]
    return list(dict.fromkeys(each.class_url() for each in plain))


def _mends(detail: str, via: str) -> str:
    if "version" in detail.lower():
        return f"export {setting_of(via, 'API_VERSION')}=…, one that Stripe has"
    return f"{DASHBOARD}, then export {setting_of(via, 'API_KEY')}=rk_…"


def _some(types: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(types))
    rest = len(distinct) - NAMED_MAX
    return ", ".join(distinct[:NAMED_MAX]) + (f" and {rest} more types" if rest > 0 else "")


def _subject(via: str) -> str:
    return "stripe" if via == OWN_ACCOUNT else f"stripe {via}"
