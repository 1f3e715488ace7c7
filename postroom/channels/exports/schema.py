"""Which fields the records of a dataset have: declared, or inferred and then held. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from postroom.base import json
from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.channels.exports.layout import read_time
from postroom.channels.exports.model import DATASET

TYPES: Final = ("boolean", "integer", "number", "string", "timestamp", "json")
"""`json` is anything, as text. `timestamp` is declared only: seconds since 1970, or ISO 8601."""
FIELDS_MAX: Final = 500
NAME_LENGTH_MAX: Final = 200
INTEGER_MAX: Final = 2**63 - 1

Fields = dict[str, str]
"""Types by name, in the order of the columns."""


def read_declared(schemas: Mapping[str, Mapping[str, str]]) -> dict[str, Fields]:
    """As they were declared: with `?` behind the type of what may be null or missing.

    Errors: `SettingsInvalid` with each that cannot be.
    """
    faults = [
        f"POSTROOM_EXPORTS__SCHEMAS: {dataset!r} is no dataset"
        for dataset in schemas
        if DATASET.fullmatch(dataset) is None
    ]
    faults += [
        f"POSTROOM_EXPORTS__SCHEMAS: {dataset}.{name}: {type_!r} is none of {', '.join(TYPES)}"
        for dataset, fields in schemas.items()
        for name, type_ in fields.items()
        if type_.removesuffix("?") not in TYPES or not 0 < len(name) <= NAME_LENGTH_MAX
    ]
    if faults:
        raise SettingsInvalid(faults)
    return {dataset: dict(fields) for dataset, fields in schemas.items()}


def declare(held: Mapping[str, str], declared: Mapping[str, str]) -> Fields:
    """What is held, and what is declared besides. A field that is declared no more keeps its column.

    Errors: `InvalidPayload` naming a field whose type would change; an integer may become a number.
    """
    fields = dict(held)
    for name, declared_type in declared.items():
        type_ = declared_type.removesuffix("?")
        if fields.get(name, type_) not in (type_, "integer" if type_ == "number" else type_):
            raise InvalidPayload(
                f"record.{name} is declared as {type_} and was {fields[name]}: use another dataset",
                field=f"record.{name}",
            )
        fields[name] = type_
    return fields


def infer(records: Iterable[Mapping[str, Any]]) -> Fields:
    """Fields of the first records. Where some are integers and some are not, all are numbers; of other types
    that do not agree the first one counts."""
    fields: Fields = {}
    for record in records:
        for name, value in record.items():
            type_, held = type_of(value), fields.get(name)
            room = held is None and len(fields) < FIELDS_MAX and len(name) <= NAME_LENGTH_MAX
            if type_ is not None and (room or (held, type_) == ("integer", "number")):
                fields[name] = type_
    return fields


def check(record: Mapping[str, Any], held: Mapping[str, str], declared: Mapping[str, str] | None) -> Fields:
    """Returns: the record's fields that are not held yet; none where a schema is declared.

    Errors: `InvalidPayload` naming a field that breaks the schema.
    """
    new: Fields = {}
    for name, value in record.items():
        if declared is not None and name not in declared:
            raise _broken(name, "is not in the schema that is declared")
        type_ = held.get(name)
        if type_ is not None:
            if value is not None and not _fits(value, type_):
                raise _broken(name, f"must be {_A[type_]}, as in the files before")
        elif (inferred := type_of(value)) is not None:
            if len(name) > NAME_LENGTH_MAX or len(held) + len(new) >= FIELDS_MAX:
                raise _broken(name[:NAME_LENGTH_MAX], f"is too long a name, or more than {FIELDS_MAX} fields")
            if not _fits(value, inferred):
                raise _broken(name, "is beyond 64 bits")
            new[name] = inferred
    for name, type_ in (declared or {}).items():
        if not type_.endswith("?") and record.get(name) is None:
            raise _broken(name, "must be there: it is declared without ?")
    return new


def type_of(value: object) -> str | None:
    """None where null says nothing."""
    match value:
        case None:
            return None
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case _:
            return "json"


_A: Final = {
    "boolean": "true or false",
    "integer": "an integer of 64 bits",
    "number": "a number",
    "string": "a string",
    "timestamp": "a time: seconds since 1970, or ISO 8601",
}


def _fits(value: object, type_: str) -> bool:
    match type_:
        case "json":
            return True
        case "timestamp":
            return read_time(value) is not None
        case "integer":
            return type(value) is int and -INTEGER_MAX - 1 <= value <= INTEGER_MAX
        case "number":
            return type(value) in (int, float)
        case _:
            return type_of(value) == type_


def _broken(name: str, fault: str) -> InvalidPayload:
    return InvalidPayload(f"record.{name} {fault}", field=f"record.{name}")


def encode_fields(fields: Mapping[str, str]) -> str:
    """As the ledger keeps them: pairs, because the order is that of the columns."""
    return json.encode([list(pair) for pair in fields.items()])


def decode_fields(text: str) -> Fields:
    return {name: type_ for name, type_ in json.decode(text)}
