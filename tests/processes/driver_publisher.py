"""An application with every driver: `python -m tests.processes.driver_publisher FOLDER DSN open|commit`.

With each it writes a row of its own and publishes the tasks of `jobs.py` in FOLDER that are its own. Then it
says so in the file `published`, and waits to be killed: with `open` in the midst of all transactions.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from postroom.client.task import Task
from tests.client.drivers import DRIVERS, done


async def main(folder: Path, dsn: str, how: str) -> None:
    sys.path.insert(0, str(folder))
    import jobs  # type: ignore[import-not-found]  # of the test

    tasks: list[Any] = [each for each in vars(jobs).values() if isinstance(each, Task)]
    async with AsyncExitStack() as held:
        for name, case in DRIVERS.items():
            app = await held.enter_async_context(case(dsn))
            await done(app.execute(f"insert into shop_order values ('{name}')"))
            for task in tasks:
                if task.name.partition(".")[2] == name:
                    await done(task.with_options(key=task.name).publish(app.connection))
            if how == "commit":
                await done(app.commit())
        (folder / "published").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
