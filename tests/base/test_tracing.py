"""Spans with the real SDK: a trace from whoever publishes, and links from attempts back to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from postroom.base.db import Pool
from postroom.base.errors import InvalidInput
from postroom.base.tracing import arrival_span, is_on, read_traceparent, tracing
from tests.fixtures.engine import Engine, ScriptedAdapter, email

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


class Kept(SpanExporter):
    """The SDK's own exporter forgets at shutdown, and only then is everything exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self._inner = InMemorySpanExporter()

    def export(self, spans: object) -> SpanExportResult:
        result = self._inner.export(spans)  # type: ignore[arg-type]
        self.spans = list(self._inner.get_finished_spans())
        return result


@pytest.fixture(autouse=True)
def no_exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    yield
    assert not is_on(), "a test has left tracing on"


async def test_an_attempt_is_a_trace_of_its_own_linked_to_its_publisher(dsn: str, pool: Pool) -> None:
    kept = Kept()
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    with tracing("test", exporter=kept):
        with arrival_span("POST /v1/events", GIVEN) as booked:
            [message_id] = await engine.publish([email(traceparent=booked, correlation_id="order-7")])
        await engine.drain()

    [arrival, attempt] = kept.spans
    assert arrival.context is not None
    assert attempt.context is not None
    assert (arrival.name, arrival.kind) == ("POST /v1/events", SpanKind.SERVER)
    assert arrival.parent is not None
    assert arrival.context.trace_id == TRACE_ID, "the sender's trace goes on"
    assert engine.adapter.seen[0].traceparent == f"00-{TRACE_ID:032x}-{arrival.context.span_id:016x}-01"

    assert (attempt.name, attempt.parent) == ("deliver email", None)
    assert attempt.context.trace_id != TRACE_ID
    [link] = attempt.links
    assert (link.context.trace_id, link.context.span_id) == (TRACE_ID, arrival.context.span_id)
    told = dict(attempt.attributes or {})
    assert told["messaging.message.id"] == str(message_id)
    assert told["messaging.message.conversation_id"] == "order-7"
    assert told["postroom.outcomes"] == ("Delivered",)


@pytest.mark.parametrize(
    ("error", "status"),
    [(InvalidInput("whsec_secret is wrong"), StatusCode.UNSET), (KeyError("whsec_secret"), StatusCode.ERROR)],
)
def test_a_span_names_the_kind_of_an_error_and_never_its_text(error: Exception, status: StatusCode) -> None:
    kept = Kept()
    with tracing("test", exporter=kept), pytest.raises(type(error)), arrival_span("POST /x", None):
        raise error
    [span] = kept.spans
    assert span.status.status_code is status
    assert dict(span.attributes or {})["error.type"] == type(error).__name__
    assert "whsec_secret" not in span.to_json()


async def test_off_it_books_what_was_given_and_changes_nothing(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    with tracing("test"):
        assert not is_on()
        with arrival_span("POST /v1/events", GIVEN) as booked:
            await engine.publish([email(traceparent=booked)])
        assert await engine.drain() == 1
    assert engine.adapter.seen[0].traceparent == GIVEN


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys, postroom.main, postroom.jobs.run\n"
        "from postroom.base.tracing import tracing, arrival_span\n"
        "with tracing('t'), arrival_span('x', None): pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry.sdk')"
        " or name.startswith('opentelemetry.exporter')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        GIVEN.upper(),
        GIVEN + "-01",
        "ff" + GIVEN[2:],
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        GIVEN + "\n",
    ],
)
def test_a_broken_traceparent_is_left_out(text: str | None) -> None:
    assert read_traceparent(text) is None
    assert read_traceparent(GIVEN) == GIVEN
