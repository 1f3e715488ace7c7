"""Charts as geometry: bars and lines in a box, for SVG that is written by a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WIDTH: Final = 720.0
HEIGHT: Final = 120.0
GAP: Final = 1.5


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of bar: its name for people and its class in the stylesheet."""

    name: str
    css: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    css: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of time: what it says on hover, and its row in the table behind the chart."""

    at: datetime
    x: float
    title: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    series: tuple[Series, ...]
    bars: tuple[Bar, ...]
    steps: tuple[Step, ...]
    step_width: float
    top: int
    width: float = WIDTH
    height: float = HEIGHT

    @property
    def rows(self) -> tuple[Step, ...]:
        """The steps in which something happened."""
        return tuple(step for step in self.steps if any(step.values))

    @property
    def total(self) -> int:
        return sum(sum(step.values) for step in self.steps)


def stacked(title: str, series: Sequence[Series], *, times: Sequence[datetime]) -> Chart:
    """Bars on top of each other, one pile a step; every series has a value for each of the times."""
    steps_count = len(times)
    step_width = WIDTH / steps_count
    top = nice_top(max((sum(s.values[i] for s in series) for i in range(steps_count)), default=0))
    bars: list[Bar] = []
    steps: list[Step] = []
    for index, at in enumerate(times):
        values = tuple(s.values[index] for s in series)
        words = ", ".join(f"{value} {s.name}" for s, value in zip(series, values, strict=True) if value)
        steps.append(Step(at, index * step_width, f"{at:%H:%M} UTC: {words or 'nothing'}", values))
        bars += _pile(series, values, index * step_width, step_width, top)
    return Chart(title, tuple(series), tuple(bars), tuple(steps), step_width, top)


def regular_times(since: datetime, *, step_s: float, steps_count: int) -> list[datetime]:
    return [since + timedelta(seconds=step_s * index) for index in range(steps_count)]


def by_step(values: Mapping[int, int], steps_count: int) -> list[int]:
    return [values.get(index, 0) for index in range(steps_count)]


def nice_top(highest: int) -> int:
    """The end of the scale: 1, 2 or 5 times a power of ten, at least 5."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if highest <= factor * size and factor * size >= 5:
                return factor * size
        size *= 10


def _pile(
    series: Sequence[Series], values: Sequence[int], x: float, step_width: float, top: int
) -> list[Bar]:
    bars: list[Bar] = []
    floor = HEIGHT
    for each, value in zip(series, values, strict=True):
        if not value:
            continue
        height = max(1.5, HEIGHT * value / top)
        floor -= height
        bars.append(
            Bar(
                round(x, 2), round(floor, 2), round(max(1.0, step_width - GAP), 2), round(height, 2), each.css
            )
        )
    return bars
