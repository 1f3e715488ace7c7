"""What a dashboard shows: values, and how they become Grafana's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${source}")
HEIGHT: Final = 7
STAT_HEIGHT: Final = 4
HOURS: Final = "now-6h"

Queries = Mapping[str, str]
"""Legend, which may name labels as `{{label}}`, and what it shows in PromQL."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time. `span` is of 24."""

    title: str
    queries: Queries
    description: str = ""
    unit: str = "short"
    span: int = 12


@dataclass(frozen=True, slots=True)
class Stat:
    """One number now; red from `red_from` on, or below `red_below`."""

    title: str
    query: str
    description: str = ""
    unit: str = "short"
    red_from: float | None = None
    red_below: float | None = None
    span: int = 4


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. `rows`: title of a row, and what is in it."""

    uid: str
    title: str
    rows: Mapping[str, Sequence[Graph | Stat]] = field(default_factory=dict)


def build(page: Page) -> Dashboard:
    """Everything points at the data source that is chosen on the dashboard itself."""
    board = (
        dashboards.Dashboard(page.title)
        .uid(page.uid)
        .tags(["postroom"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(HOURS, "now")
        .refresh("30s")
        .with_variable(dashboards.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .link(
            dashboards.DashboardLink("Postroom")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["postroom"])
            .keep_time(True)
        )
    )
    for title, panels in page.rows.items():
        board.with_row(dashboards.Row(title))
        for panel in panels:
            board.with_panel(_graph(panel) if isinstance(panel, Graph) else _stat(panel))
    return board.build()


def _graph(panel: Graph) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .height(HEIGHT)
        .span(panel.span)
    )
    for legend, expression in panel.queries.items():
        built.with_target(prometheus.Dataquery().expr(expression).legend_format(legend))
    return built


def _stat(panel: Stat) -> stat.Panel:
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .thresholds(dashboards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(_steps(panel)))
        .height(STAT_HEIGHT)
        .span(panel.span)
        .with_target(prometheus.Dataquery().expr(panel.query).instant())
    )


def _steps(panel: Stat) -> list[Threshold]:
    """From the bottom: Grafana takes the last step that the value has reached."""
    if panel.red_below is not None:
        return [Threshold(color="red"), Threshold(value=panel.red_below, color="green")]
    if panel.red_from is not None:
        return [Threshold(color="green"), Threshold(value=panel.red_from, color="red")]
    return [Threshold(color="text")]
