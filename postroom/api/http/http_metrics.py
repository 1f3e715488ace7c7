"""What HTTP itself does, counted by this process, or by all workers together."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from postroom.overrides.uvicorn_limits import REFUSALS, Refusal

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTED_FROM_0: Final = {
    "/v1/stripe/webhook": ("200", "400", "413", "500", "503"),
    "/v1/events": ("201", "400", "422", "500", "503"),
    "/readyz": ("200", "503"),
}
"""A counter whose first sample is 1 is invisible to `increase()`."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """One application's own registry; nothing is global, so that two can live in one process.

    `worker`: one of several, each with a number of its own. They count in files (prometheus-client's
    PROMETHEUS_MULTIPROC_DIR) that outlive them, and each shows the sums. That is global: one in a process.
    """

    def __init__(self, *, worker: int | None = None) -> None:
        self.registry = instruments = CollectorRegistry()
        if worker is None:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        else:
            values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
            self.registry = CollectorRegistry()
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        self._requests = Counter(
            "postroom_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=instruments,
        )
        for route, statuses in COUNTED_FROM_0.items():
            for status in statuses:
                self._requests.labels("GET" if route == "/readyz" else "POST", route, status)
        self._latency = Histogram(
            "postroom_http_request_seconds",
            "Time until the answer was sent.",
            ["route"],
            buckets=BUCKETS_S,
            registry=instruments,
        )
        self._refused = Counter(
            "postroom_http_connections_refused",
            "Connections cut before their request or in the middle of its answer, by why.",
            ["why"],
            registry=instruments,
        )
        for why in REFUSALS:
            self._refused.labels(why)
        # Found by their labels once, not at every request. As bounded as the labels, which hold enumerations.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._in_progress = Gauge(
            "postroom_http_requests_in_progress",
            "Requests being answered.",
            registry=instruments,
            multiprocess_mode="livesum",
        )

    def started(self) -> None:
        self._in_progress.inc()

    def connection_refused(self, why: Refusal) -> None:
        self._refused.labels(why).inc()

    def ended(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """`route` is the template, never the path itself: labels hold enumerations only."""
        self._in_progress.dec()
        labels = (method if method in METHODS else "other", route, status)
        children = self._children.get(labels)
        if children is None:
            children = self._requests.labels(labels[0], route, str(status)), self._latency.labels(route)
            self._children[labels] = children
        requests, latency = children
        requests.inc()
        latency.observe(duration_s)
