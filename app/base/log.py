"""Structured logs: dotted event names with fields, one wide line an attempt, no secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|api_key|signature|cookie", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"(whsec_|sk_live_|sk_test_|rk_live_|rk_test_|pr_)[A-Za-z0-9_+/=-]{6,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|((?:password|passwd)(?:=|\s+'))[^&\s;,'\"]+",
    re.IGNORECASE,
)
MASK = "[removed]"
_TALKATIVE = ("alembic", "uvicorn")  # what they say at INFO, our own events say better


def remove_secrets(text: str) -> str:
    """Mask Stripe keys, signing secrets, Postroom tokens, and passwords in urls, DSNs and statements."""
    return _SECRET_VALUE.sub(lambda found: (found[1] or found[2] or "") + MASK, text)


def _scrub(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if not name.startswith("_"):  # the log's own
            event[name] = _scrubbed("" if name == "event" else name, value)
    return event


def _scrubbed(name: str, value: object) -> object:
    """However deep it lies: what is no text would be written as its own text later."""
    if _SECRET_NAME.search(name):
        return MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _scrubbed(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed("", inner) for inner in value]
    return remove_secrets(str(value))


def configure_logging(*, json_lines: bool, level: str = "INFO") -> None:
    """Send structlog and the standard library's log to standard error in one form."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrub,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
