"""GET /metrics: Prometheus text, from PostgreSQL and from this process."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from postroom.admin.tokens import Scope
from postroom.api.auth import admit, bearer_text
from postroom.api.context import Context, context_of
from postroom.api.probes.health import VERSION
from postroom.health.readiness import CheckStatus, ReadinessReport
from postroom.metrics.families import families
from postroom.metrics.gauges import Gauges


class _Reading(Collector):
    """One reading as prometheus-client wants it."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def metrics(request: Request) -> Response:
    """Always 200: while the database is away, `postroom_database_up` is 0 and no old number is shown."""
    await check_access(request)
    context = context_of(request)
    gauges = await context.gauges.read()
    return await page_of(context, gauges, ledger_families(gauges, await context.readiness.report()))


def ledger_families(gauges: Gauges | None, report: ReadinessReport) -> list[Metric]:
    """What is told of one ledger, and of no process."""
    up = GaugeMetricFamily(
        "postroom_database_up", "1 while the database answers.", value=float(gauges is not None)
    )
    return [up, _ready(report), *(families(gauges) if gauges else ())]


async def page_of(context: Context, gauges: Gauges | None, told: Sequence[Metric]) -> Response:
    """The page: what ledgers tell, and this process."""
    build = GaugeMetricFamily("postroom_build_info", "The version that runs; always 1.", labels=["version"])
    build.add_metric([VERSION], 1.0)
    host = await context.host.read(gauges.vitals.data_dir if gauges else None)
    up, ready, *others = told
    registry = CollectorRegistry()
    registry.register(_Reading([up, build, ready, *host, *others]))
    body = generate_latest(registry) + generate_latest(context.http_metrics.registry)
    return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def _ready(report: ReadinessReport) -> Metric:
    """What `/readyz` would answer now, so that an alert needs no prober beside it."""
    family = GaugeMetricFamily("postroom_ready", "1 while a check of /readyz passes.", labels=["check"])
    for name, result in report.checks.items():
        family.add_metric([name], float(result.status is CheckStatus.OK))
    return family


async def check_access(request: Request) -> None:
    """The metrics token or a token with `metrics:read`; open only in dev without a metrics token."""
    settings = context_of(request).settings
    expected = settings.metrics_token
    if expected is None and not settings.prod:
        return
    given = bearer_text(request) or ""
    if expected is not None and hmac.compare_digest(given.encode(), expected.get_secret_value().encode()):
        return
    await admit(request, Scope.METRICS_READ)
