"""What was a first application of Celery: a task, one that is tried again, and one that the clock starts."""

import sys

from postroom import Retry, cron, task


@task("shop.add")
def add(x: int, y: int) -> None:
    print("the sum is", x + y, file=sys.stderr)


@task("shop.fetch", attempts=5)
def fetch(url: str) -> None:
    if url.startswith("http://busy."):
        raise Retry("it is busy", after=30)
    print("fetched", url, file=sys.stderr)


@cron("30 7 * * mon", zone="Europe/Berlin", args={"x": 16, "y": 16})
@task("shop.add_weekly")
def add_weekly(x: int, y: int) -> None:
    add(x, y)
