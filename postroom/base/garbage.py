"""Python's search for cycles, in processes that run for long."""

from __future__ import annotations

import gc
from typing import Final

YOUNG_MAX: Final = 10_000
"""Objects made and not freed until the next search: some dozens of requests in flight, not one."""


def search_less() -> None:
    """Leave what was loaded out of every later search: it took a sixth of the time under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 10, 10)
