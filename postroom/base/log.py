"""Structured logs: dotted event names with fields, one wide line an attempt, no secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|api_key|signature|cookie", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"(whsec_|sk_live_|sk_test_|rk_live_|rk_test_|pr_)[A-Za-z0-9_+/=-]{6,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|((?:password|passwd)(?:=|\s+'))[^&\s;,'\"]+"
    # PostgreSQL repeats the row there that it refused: payloads, addresses.
    r"|(?<=\nDETAIL:  ).+",
    re.IGNORECASE,
)
# Whatever matches has one of them, and to look for them is ten times cheaper.
_SECRET_MARKS = ("whsec_", "k_live_", "k_test_", "pr_", "://", "passw", "\ndetail:  ")
_NO_TEXT = frozenset({type(None), bool, int, float})
MASK = "[removed]"
_TALKATIVE = ("alembic", "stripe", "uvicorn")  # what they say at INFO, our own events say better


def remove_secrets(text: str) -> str:
    """Mask Stripe keys, signing secrets, Postroom tokens, passwords in urls, DSNs and statements, and rows.

    Rows are what PostgreSQL's errors repeat of them in their detail.
    """
    if not _may_hold_secret(text):
        return text
    return _SECRET_VALUE.sub(lambda found: (found[1] or found[2] or "") + MASK, text)


def _may_hold_secret(text: str) -> bool:
    return any(map(text.casefold().__contains__, _SECRET_MARKS))


@lru_cache(maxsize=1_024)
def _names_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


@lru_cache(maxsize=1_024)
def _name_secrets(names: tuple[str, ...]) -> bool:
    return any(_names_secret(name) for name in names)


def _scrub(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    texts = [value for value in event.values() if type(value) not in _NO_TEXT]
    with suppress(TypeError):  # something else is among them
        if not _name_secrets(tuple(event)) and not _may_hold_secret("\0".join(texts)):
            return event  # nearly always, at a third of the time that a look at each takes
    for name, value in event.items():
        if not name.startswith("_"):  # the log's own
            event[name] = _scrubbed("" if name == "event" else name, value)
    return event


def _scrubbed(name: str, value: object) -> object:
    """However deep it lies: what is no text would be written as its own text later."""
    if _names_secret(name):
        return MASK
    if isinstance(value, str):  # nearly always; what an abstract class is asked takes longer
        return remove_secrets(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _scrubbed(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed("", inner) for inner in value]
    return remove_secrets(str(value))


_encode_fast = msgspec.json.Encoder(enc_hook=repr).encode
# All but ASCII is escaped: a line is one line, and no terminal obeys it.
_encode_any = json.JSONEncoder(default=repr).encode


def _to_json(event: MutableMapping[str, Any], **_options: object) -> str:
    with suppress(UnicodeError, OverflowError, TypeError, msgspec.MsgspecError):
        encoded = _encode_fast(event)
        if encoded.isascii():
            return msgspec.json.format(encoded, indent=0).decode()
    return _encode_any(event)


class _Lines:
    """Writes our lines to standard error, past the standard library, whose record costs as much as all else.

    Does not promise: what cannot be written is lost, and nothing fails for it.
    """

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


def configure_logging(*, json_lines: bool, level: str = "INFO") -> None:
    """Send structlog and the standard library's log to standard error in one form."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrub,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(_to_json)
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=lambda *_names: _Lines(),
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
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


def get_logger(name: str) -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger
