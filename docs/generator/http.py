"""The HTTP API: from its OpenAPI document and from the scope that each route asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docs.generator.access import BESIDE, OPEN, matrix
from docs.generator.pages import sentence, table
from postroom.api.admin.application import create_admin
from postroom.api.openapi import document


def openapi_json() -> str:
    return json.dumps(document(create_admin()), indent=1, ensure_ascii=False) + "\n"


def http_block() -> str:
    whole = document(create_admin())
    schemas = whole["components"]["schemas"]
    by_tag: dict[str, list[str]] = {}
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            tag = operation["tags"][0]
            by_tag.setdefault(tag, []).append(_operation(method.upper(), path, operation, schemas))
    order = sorted(by_tag, key=lambda tag: (tag not in ("events", "stripe", "health"), tag))
    return "\n\n".join(f"## {tag}\n" + "\n\n".join(by_tag[tag]) for tag in order)


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    scopes = {(each.method, each.path): each.scope for each in matrix()}
    scope = scopes[method, path]
    beside = {each.path for each in (*BESIDE, *OPEN)}
    said = operation.get("description") or (operation["summary"] if path in beside else "")
    parts = [f"### `{method} {path}`"]
    if said:
        parts.append(sentence(said).rstrip(".") + ".")
    if scope:
        parts.append(f"Scope: `{scope}`.")
    rows = [
        (f"`{each['name']}`", each["in"], _kind(each["schema"])) for each in operation.get("parameters", ())
    ]
    rows += _body(operation, schemas)
    if rows:
        parts.append(table(("field", "in", "type"), rows))
    return "\n\n".join(parts)


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, str, str]]:
    content = (
        operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    )
    named = content.get("$ref") or next(
        (each["$ref"] for each in content.get("oneOf", ()) if "$ref" in each), None
    )
    if named is None:
        return []
    schema = schemas[named.rpartition("/")[2]]
    needed = schema.get("required", ())
    return [
        (f"`{name}`", "body, required" if name in needed else "body", _kind(each))
        for name, each in schema["properties"].items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(_kinds(schema)))


def _kinds(schema: dict[str, Any]) -> Iterator[str]:
    for each in schema.get("anyOf", ()):
        yield from _kinds(each)
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    elif "enum" in schema or "const" in schema:
        yield from (f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    elif schema.get("type", "null") != "null":
        kind = "list of " + _kind(schema["items"]) if "items" in schema else schema["type"]
        yield kind + (f" ({schema['format']})" if "format" in schema else "")
