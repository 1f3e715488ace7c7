"""What machines ask a process of several ledgers: each is looked at on its own, none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response

from postroom.admin.scopes import Scope
from postroom.api.auth import may
from postroom.api.context import Context
from postroom.api.probes.health import as_json, report_of, told_of
from postroom.api.probes.metrics import check_access, ledger_families, page_of
from postroom.base.db import DATABASE_FAILURES
from postroom.health.readiness import CheckStatus
from postroom.metrics.gauges import Gauges

LABEL: Final = "ledger"
READ_WITHIN_S: Final = 2.5
"""Within the 10 s of Prometheus, however many do not answer."""


async def front_ready(request: Request, contexts: Mapping[str, Context]) -> Response:
    """Ready while one of them is: whoever has a tenant at another one is answered 503 there."""
    reports = await asyncio.gather(*(report_of(request, each.readiness) for each in contexts.values()))
    detailed = not any(each.settings.prod for each in contexts.values())
    if not detailed:
        with suppress(*DATABASE_FAILURES):
            detailed = await may(request, Scope.ADMIN_READ)
    told = {name: told_of(report, detailed=detailed) for name, report in zip(contexts, reports, strict=True)}
    ready = any(report.ready for report in reports)
    status = CheckStatus.OK if ready else CheckStatus.FAILED
    return as_json({"status": status, "ledgers": told}, 200 if ready else 503)


async def front_metrics(request: Request, contexts: Mapping[str, Context]) -> Response:
    """The families of all ledgers with the label `ledger`; what is of the process has none."""
    await check_access(request)
    found = await asyncio.gather(*(_read(each) for each in contexts.values()))
    told = {name: families for name, (_, families) in zip(contexts, found, strict=True)}
    first = next(iter(contexts.values()))
    here = next((gauges for gauges, _ in found if gauges and gauges.vitals.data_dir), None)
    return await page_of(first, here, _together(told))


async def _read(context: Context) -> tuple[Gauges | None, list[Metric]]:
    gauges, report = await asyncio.gather(_gauges(context), context.readiness.report())
    return gauges, ledger_families(gauges, report)


async def _gauges(context: Context) -> Gauges | None:
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            return await context.gauges.read()
    except TimeoutError:
        return None


def _together(told: Mapping[str, Iterable[Metric]]) -> list[Metric]:
    """Each family once, with the samples of all."""
    together: dict[str, Metric] = {}
    for name, families in told.items():
        for family in families:
            whole = together.setdefault(family.name, family)
            samples = [each._replace(labels={LABEL: name, **each.labels}) for each in family.samples]
            whole.samples = samples if whole is family else [*whole.samples, *samples]
    return list(together.values())
