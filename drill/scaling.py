"""Shrinks time in rules and configuration by one factor, so that five minutes pass in seconds."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

FACTOR: Final = 1 / 30
SECONDS_A_UNIT: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_DURATION = re.compile(r"(\d+)([smhd])")
_WINDOW = re.compile(r"\[(\d+[smhd])(?::(\d+[smhd]))?\]")
_MINUTES = re.compile(r"\* 60\b")

Document = dict[str, Any]


def scale_duration(text: str, factor: float) -> str:
    """`5m` as milliseconds, which Prometheus and Alertmanager both read; never below one."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration of one unit, like 5m")
    return f"{max(1, round(int(found[1]) * SECONDS_A_UNIT[found[2]] * factor * 1_000))}ms"


def scale_expression(expression: str, factor: float) -> str:
    """Every window, and every number of minutes that is written `n * 60`."""

    def window(found: re.Match[str]) -> str:
        parts = [scale_duration(part, factor) for part in found.groups() if part]
        return f"[{':'.join(parts)}]"

    return _MINUTES.sub(f"* {60 * factor:g}", _WINDOW.sub(window, expression))


def scale_rules(document: Document, factor: float) -> Document:
    """A rule file, as YAML reads it."""
    return {
        "groups": [
            {**group, "rules": [_scale_rule(rule, factor) for rule in group["rules"]]}
            for group in document["groups"]
        ]
    }


def _scale_rule(rule: Document, factor: float) -> Document:
    scaled = {**rule, "expr": scale_expression(rule["expr"], factor)}
    if "for" in rule:
        scaled["for"] = scale_duration(rule["for"], factor)
    return scaled


def scale_route(route: Document, factor: float) -> Document:
    """A route of Alertmanager, with the routes below it. Its shortest repeat stays a second."""
    scaled = dict(route)
    for name in ("group_wait", "group_interval", "repeat_interval"):
        if name in route:
            seconds = 0 if route[name] == "0s" else 1_000
            scaled[name] = f"{max(seconds, int(scale_duration(route[name], factor)[:-2]))}ms"
    if "routes" in route:
        scaled["routes"] = [scale_route(each, factor) for each in route["routes"]]
    return scaled


def read(text: str) -> Document:
    document: Document = yaml.safe_load(text)
    return document


def write(document: Document) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, width=1_000)
    return text
