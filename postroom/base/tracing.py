"""Traces: `traceparent` headers always, OpenTelemetry spans where the extra `otel` is installed and told to.

Off, which is the default, a span costs one comparison and nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from postroom.base.errors import PostroomError
from postroom.base.log import get_logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

log = get_logger(__name__)

Attributes = Mapping[str, str | int | Sequence[str]]

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVER_FAULT: Final = 500

_tracer: Tracer | None = None


def read_traceparent(text: str | None) -> str | None:
    """A well-formed W3C `traceparent`, else None: a broken one is left out, never passed on."""
    return text if text and _TRACEPARENT.fullmatch(text) else None


def is_on() -> bool:
    """Whether spans are made in this process."""
    return _tracer is not None


@contextmanager
def tracing(service: str, *, exporter: SpanExporter | None = None) -> Iterator[None]:
    """Make spans until left; then what still waits is sent.

    Without `exporter` only where OTEL_EXPORTER_OTLP_ENDPOINT is set; all else of OpenTelemetry's
    own environment is obeyed. Leaving blocks while the last spans go out, so leave outside the loop.
    """
    global _tracer  # noqa: PLW0603  one a process, like the log
    provider = _provider(service, exporter)
    if provider is None:
        yield
        return
    _tracer = provider.get_tracer("postroom")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


@contextmanager
def arrival_span(name: str, given: str | None) -> Iterator[str | None]:
    """A span of taking messages in, below the sender's `traceparent` if it gave one.

    Yields the traceparent to book with the messages: the span's own, or what was given while off.
    """
    parent = read_traceparent(given)
    if _tracer is None:
        yield parent
        return
    from opentelemetry.trace import SpanKind

    attributes = {"messaging.system": "postroom", "messaging.operation.type": "send"}
    with _tracer.start_as_current_span(
        name,
        context=_context_of(parent),
        kind=SpanKind.SERVER,
        attributes=attributes,
        record_exception=False,  # the text of an error may hold what a trace must not
        set_status_on_exception=False,
    ) as span:
        try:
            yield _traceparent_of(span)
        except BaseException as error:
            _mark_failed(span, error)
            raise


@contextmanager
def attempt_span(name: str, links: Sequence[str | None], attributes: Attributes) -> Iterator[Span]:
    """A span of one attempt, a trace of its own, linked to the publishers' spans. Only while `is_on()`."""
    if _tracer is None:
        raise RuntimeError("ask is_on() first")
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, get_current_span

    known = {parent for text in links if (parent := read_traceparent(text))}
    with _tracer.start_as_current_span(
        name,
        context=Context(),
        kind=SpanKind.CONSUMER,
        links=[Link(get_current_span(_context_of(parent)).get_span_context()) for parent in sorted(known)],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            _mark_failed(span, error)
            raise


def _provider(service: str, exporter: SpanExporter | None) -> TracerProvider | None:
    if exporter is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("tracing.not_installed", mend="pip install 'postroom[otel]'")
        return None
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return provider


def _context_of(traceparent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": traceparent} if traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def _traceparent_of(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _mark_failed(span: Span, error: BaseException) -> None:
    """The kind of an error only. What the sender did wrong is no failure of the server."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, PostroomError) or error.status >= _SERVER_FAULT:
        span.set_status(StatusCode.ERROR)
