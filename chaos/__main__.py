"""`python -m chaos [--seed N] [--minutes M] [--seconds S]`: faults while it works.

The last line on standard output is the result as JSON. Exit codes: 0 passed, 1 not, 2 wrong use.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from chaos.broker import run_broker
from chaos.cluster import MissingPrograms, find_programs
from chaos.database import Database
from chaos.run import Options, run, say
from chaos.small_disk import enter_namespace, mount, unmount
from postroom.base.migrate import migrate


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the same seed makes the same plan; a fresh one by default")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long faults are inflicted")
    parser.add_argument("--seconds", type=float, default=0.0, help="the same; 60 when neither is given")
    parser.add_argument("--per-s", type=float, default=8.0, help="publications a second at each entrance")
    parser.add_argument(
        "--cluster", choices=("patroni",), help="a cluster that Patroni runs, with faults of its own"
    )
    parser.add_argument("--broker", choices=("nats", "rabbitmq"), help="only this way out, and its faults")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.cluster:
        try:
            find_programs()
        except MissingPrograms as error:
            print(f"python -m chaos --cluster {options.cluster}: {error}", file=sys.stderr)
            return 2
    if options.broker:
        with tempfile.TemporaryDirectory(prefix="postroom-chaos-") as folder_name:
            return asyncio.run(_with_broker(options.broker, Path(folder_name)))
    missing = enter_namespace("chaos", arguments)
    seed = secrets.randbelow(1_000_000_000) if options.seed is None else options.seed
    length_s = options.minutes * 60 + options.seconds or 60.0
    folder = Path(tempfile.mkdtemp(prefix="postroom-chaos-"))
    say(f"seed {seed}, {length_s:g} s of faults")
    if missing is None:
        mount(folder / "exports")
    else:
        (folder / "exports").mkdir()
        say(f"what fills a disk is left out: {missing}")
    chosen = Options(
        seed=seed, length_s=length_s, per_s=options.per_s, folder=folder,
        exports_dir=folder / "exports", disk_can_be_full=missing is None,
        cluster=options.cluster is not None,
    )  # fmt: skip
    failed = True
    try:
        result = asyncio.run(_until_signalled(chosen))
        failed = bool(result)
        return 1 if failed else 0
    finally:
        if failed or options.keep:
            say(f"logs and data are kept in {folder}")
        else:
            if missing is None:
                unmount(chosen.exports_dir)
            shutil.rmtree(folder)


async def _with_broker(kind: str, folder: Path) -> int:
    database = Database(folder)
    try:
        await database.start()
        await migrate(database.direct_dsn, roles=True)
        report = await run_broker(kind, database.direct_dsn, folder)
    finally:
        await database.stop()
    print(json.dumps(asdict(report)))
    return 0 if report.passed else 1


async def _until_signalled(options: Options) -> Sequence[str]:
    """SIGTERM and Ctrl-C end a run: everything that was started is ended.

    Ctrl-C is taken by a handler of ours, for Python takes none where a shell made it be ignored.
    """
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    result = await run(options)
    for failure in result.failures:
        say(f"FAILED: {failure}")
    print(result.report.line(), flush=True)
    return result.failures


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
