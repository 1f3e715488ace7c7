"""JSON as PostgreSQL can keep it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from postroom.base.errors import InvalidInput

DEPTH_MAX = 64
NUL_ESCAPED = b"\\u0000"

_encode = msgspec.json.Encoder().encode


def encode(value: object) -> str:
    """JSON text of `value`, for a `jsonb` parameter.

    Errors: `InvalidInput` where PostgreSQL could not keep it: NUL, lone surrogates, numbers beyond 64 bits,
    depth beyond what can be written.
    """
    try:
        encoded = _encode(value)
    except (UnicodeError, OverflowError, RecursionError, TypeError, msgspec.MsgspecError) as error:
        check(value)
        raise InvalidInput(f"this cannot be written as JSON: {error}") from None
    if NUL_ESCAPED in encoded:
        # Perhaps only a backslash followed by u0000 in a text; looking closely is slow, so only now.
        check(value)
    return encoded.decode()


def decode(text: str | bytes) -> Any:
    """The value of a JSON text.

    Errors: `InvalidInput` naming the position; NUL and lone surrogates are refused too.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise refusal(text, error) from None
    check(value)
    return value


def refusal(text: str | bytes, error: Exception) -> InvalidInput:
    """Why the fast parser refused a text. It calls a lone surrogate "truncated", so ask the patient one."""
    try:
        check(json.loads(text))
    except InvalidInput as found:
        return found
    except (ValueError, RecursionError):
        pass
    return InvalidInput(f"not JSON: {error}", field="body")


def check(value: object, depth: int = 0, where: str = "$") -> None:
    """Refuse what `jsonb` cannot hold. Errors: `InvalidInput` with the path of the fault."""
    if depth > DEPTH_MAX:
        raise InvalidInput(f"JSON is nested deeper than {DEPTH_MAX}", field=where)
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(str(name), where)
            check(item, depth + 1, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check(item, depth + 1, f"{where}[{index}]")


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise InvalidInput("text holds a NUL character, which PostgreSQL cannot keep", field=where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("text holds a lone surrogate, which is not Unicode", field=where) from None
