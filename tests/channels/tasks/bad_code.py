"""Tasks that misbehave in ways of their own."""

from __future__ import annotations

import os

from postroom import task
from tests.channels.tasks.code import mark

SECRET = "sk_live_" + "y" * 24


@task("forks-apart")
def forks(folder: str) -> None:
    os.fork()  # and both come back
    mark(folder, "forked")


@task("prints")
async def prints() -> None:
    print(SECRET)


@task("prints-apart")
def prints_apart() -> None:
    print(SECRET)
    os.write(2, SECRET.encode())


@task("counts-apart")
def counts(folder: str, number: int) -> None:
    mark(folder, f"number {number}")
