"""How many processes: what `--processes` and `--workers` take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

PROCESSES_MAX: Final = 256
AUTO: Final = "auto"


def process_count(text: str) -> int:
    """A number, or `auto`: the cores that we may use. Errors: `BadParameter`."""
    if text == AUTO:
        return min(usable_cores(), PROCESSES_MAX)
    if not text.isdecimal() or not 1 <= int(text) <= PROCESSES_MAX:
        raise typer.BadParameter(f"{text!r} is neither a number from 1 to {PROCESSES_MAX} nor auto")
    return int(text)


def usable_cores(root: Path = Path("/")) -> int:
    """Those that we may run on, or as many whole ones as our control groups let us use; one at least."""
    limits = [limit for folder in _control_groups(root) if (limit := _limit(folder)) is not None]
    return max(1, int(min([len(os.sched_getaffinity(0)), *limits])))


def _control_groups(root: Path) -> Iterator[Path]:
    """Ours and those around it. Version 2 alone: nothing is read of version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            top = root / "sys/fs/cgroup"
            ours = top / line.removeprefix("0::/")
            yield from (folder for folder in (ours, *ours.parents) if folder.is_relative_to(top))


def _limit(folder: Path) -> float | None:
    """Cores, from `cpu.max`: microseconds in a period, or `max`."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None
