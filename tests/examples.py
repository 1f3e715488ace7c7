"""How much the tests draw that draw by chance: other examples in each run, and more of them on request."""

from __future__ import annotations

import os
from typing import Final

TIMES: Final = int(os.environ.get("POSTROOM_TEST_EXAMPLES_TIMES", "1"))


def examples(count: int) -> int:
    """`POSTROOM_TEST_EXAMPLES_TIMES=10` draws ten times as many, which is the long form."""
    return count * TIMES
