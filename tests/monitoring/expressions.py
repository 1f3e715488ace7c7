"""PromQL, taken apart as far as these tests need it."""

from __future__ import annotations

import re
from typing import Final

# What stands where a metric could, and is none.
WORDS: Final = frozenset(
    {
        *("abs", "absent", "and", "avg", "bool", "by", "count", "histogram_quantile", "ignoring", "increase"),
        *("max", "min", "min_over_time", "offset", "on", "or", "rate", "sum", "time", "unless", "vector"),
        "without",
    }
)

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


def added_up(expression: str) -> set[str]:
    """Metrics that `sum` or `avg` takes as they are, or through `rate` or `increase` only."""
    return (
        set(
            re.findall(
                r"\b(?:sum|avg)\s*\(\s*(?:(?:rate|increase)\s*\(\s*)?([a-zA-Z_:][a-zA-Z0-9_:]*)",
                bare(expression),
            )
        )
        - WORDS
    )
