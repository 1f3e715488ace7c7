"""What was a first application of River: a job with arguments of a type, inserted in a transaction."""

import sys
from dataclasses import dataclass

from postroom import task


@dataclass
class Words:
    words: list[str]


@task("sort")
async def sort(given: Words) -> None:
    print("sorted:", *sorted(given.words), file=sys.stderr)
