"""Metrics: from what a service exports that has just started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from docs.generator.pages import table

HEAD: Final = ("metric", "type", "labels", "source", "meaning")
OPEN_ENDED: Final = frozenset(("job", "schedule", "task", "route", "method", "version", "volume", "le"))
"""Labels whose values are too many to list, or differ from machine to machine."""


def metrics_block(exported: str, from_database: Iterable[str]) -> str:
    """`exported`: an answer of /metrics. `from_database`: the families that PostgreSQL answers for."""
    database = frozenset(from_database)
    families = sorted(text_string_to_metric_families(exported), key=lambda family: family.name)
    contract: list[Metric] = []
    ours: list[Metric] = []
    process: list[Metric] = []
    for family in families:
        if family.name.startswith(("process_", "python_")):
            process.append(family)
        else:
            (ours if family.name.startswith("postroom_") else contract).append(family)
    return "\n\n".join(
        (
            f"## The contract\n{table(HEAD, _rows(contract, database))}",
            f"## Postroom's own\n{table(HEAD, _rows(ours, database))}",
            f"## The process\n{table(HEAD, _rows(process, database))}",
        )
    )


def _rows(families: Iterable[Metric], database: frozenset[str]) -> Iterator[tuple[str, ...]]:
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        source = "database" if family.name in database else "process"
        said = family.documentation.rstrip(".") + "."
        meaning = "When that counter began." if name.endswith("_created") else said
        yield f"`{name}`", family.type, _labels(family), source, meaning


def _labels(family: Metric) -> str:
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    values.pop("le", None)
    return "; ".join(
        f"`{label}`"
        if label in OPEN_ENDED or family.name.startswith("python_")
        else f"`{label}`: {', '.join(found)}"
        for label, found in values.items()
    )
