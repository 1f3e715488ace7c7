"""PromQL, taken apart as far as these tests need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

# What stands where a metric could, and is none.
WORDS: Final = frozenset(
    {
        *("abs", "absent", "and", "avg", "bool", "by", "count", "histogram_quantile", "ignoring", "increase"),
        *(
            "max",
            "max_over_time",
            "min",
            "min_over_time",
            "offset",
            "on",
            "or",
            "rate",
            "sum",
            "time",
            "unless",
            "vector",
        ),
        "without",
    }
)

REDUCING: Final = frozenset({"max", "min", "absent"})
_AGGREGATIONS: Final = REDUCING | {"sum", "avg", "count", "topk", "bottomk", "quantile", "stddev", "group"}

_TOKEN = re.compile(r"[()]|(?<![\w.])[a-zA-Z_:][a-zA-Z0-9_:]*")
_SELECTOR = re.compile(r"(?<![\w.:])(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>[^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_LABELS = re.compile(r"\{[^}]*\}")
_WINDOW = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(by|on|without|ignoring)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w.])[a-zA-Z_:][a-zA-Z0-9_:]*")


def bare(expression: str) -> str:
    """Without labels, windows and groupings."""
    for noise in (_QUOTED, _LABELS, _WINDOW, _GROUPING):
        expression = noise.sub(" ", expression)
    return expression


def metrics_in(expression: str) -> set[str]:
    """The names of all metrics that an expression reads."""
    return set(_NAME.findall(bare(expression))) - WORDS


def selectors_in(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric with its matchers as (label, operator, value); braces without a metric are skipped."""
    for found in _SELECTOR.finditer(expression):
        yield found["name"], _MATCHER.findall(found["labels"] or "")


def matches(matchers: Iterable[tuple[str, str, str]], labels: Mapping[str, str]) -> bool:
    """As Prometheus matches: regular expressions are anchored, an absent label is empty."""
    for label, operator, value in matchers:
        own = labels.get(label, "")
        found = re.fullmatch(value, own) is not None if "~" in operator else own == value
        if found is operator.startswith("!"):
            return False
    return True


def not_reduced(expression: str) -> set[str]:
    """Metrics that some place takes without `max`, `min` or `absent` as the innermost aggregation.

    There a second replica, which shows the same series, would be added up or fire its own alert.
    """
    stack: list[str] = []
    word = ""
    wrong = set()
    for token in _TOKEN.findall(bare(expression)):
        if token == "(":
            stack.append(word)
        elif token == ")":
            stack.pop()
        elif (
            token not in WORDS
            and next((w for w in reversed(stack) if w in _AGGREGATIONS), "") not in REDUCING
        ):
            wrong.add(token)
        word = token if token in WORDS else ""
    return wrong
