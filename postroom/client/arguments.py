"""Arguments of tasks as JSON has them, and back: what msgspec knows, and pydantic's models.

Pydantic is not asked for here: whoever has a model has it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Misfit(ValueError):
    """What a model refuses. `where`: the field within it, as in `.lines[0].price`; empty for all of it."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(reason)
        self.where = where


def to_builtins(value: Any) -> Any:
    """As JSON has it. Errors: `TypeError` and `ValueError` for what JSON cannot hold."""
    return msgspec.to_builtins(value, enc_hook=_dump)


def read_other(kind: type[Any], value: Any) -> Any:
    """What msgspec reads a type with that it does not know. Errors: `Misfit` and `TypeError`."""
    if not _is_model(kind):
        raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")
    text = msgspec.json.encode(value)  # read as JSON: a strict model, too, takes the text of a date for one
    try:
        return kind.model_validate_json(text)
    except ValueError as error:
        raise _misfit(error) from None


def _misfit(error: ValueError) -> Misfit:
    """The first of its faults, without what was given: that may be anybody's data."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return Misfit(str(error), "")
    first = listed(include_url=False, include_context=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return Misfit(first["msg"], "".join(steps))


def _dump(value: Any) -> Any:
    if not _is_model(type(value)):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return value.model_dump(mode="json", by_alias=True, round_trip=True)


def _is_model(kind: type[Any]) -> bool:
    """Whether it is one of pydantic 2."""
    return hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump")
