"""Celery's prefork workers on RabbitMQ with a function that does nothing, as the script of a peer.

For a Python that has Celery, so it imports nothing of ours:
`BROKER=amqp://… python celery_noop.py JOBS PROCESSES`.
Late acknowledgement, a durable queue and confirmed publishing, which is what a task of ours promises.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celery import Celery  # type: ignore[import-not-found]

WITHIN_S = 120
app = Celery("celery_noop", broker=os.environ.get("BROKER"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="noop",
    worker_prefetch_multiplier=50,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
)
done = Path(os.environ.get("DONE", os.devnull))


@app.task(name="nothing")  # type: ignore[untyped-decorator]
def nothing(_number: int) -> None:
    with done.open("ab", buffering=0) as file:  # how it is counted: a byte each
        file.write(b".")


def main(jobs: int, processes: int) -> None:
    """Publish all, then let a worker do them; the rate begins with the first that has ended."""
    with tempfile.NamedTemporaryFile() as file:
        with app.producer_pool.acquire(block=True) as producer:
            for number in range(jobs):
                nothing.apply_async((number,), producer=producer)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "error"]
        pool = ["-P", "prefork", "-c", str(processes)]
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_noop", "worker", *pool, *quiet],
            env=os.environ | {"DONE": file.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first, began = _wait(file.name, 1)
            count, ended = _wait(file.name, jobs)
        finally:
            worker.terminate()
            worker.wait(60)
    rate = round((count - first) / (ended - began))
    print(json.dumps({"peer": f"celery rabbitmq prefork {processes}", "jobs": jobs, "drain_per_s": rate}))


def _wait(path: str, count: int) -> tuple[int, float]:
    """Until so many have ended. Returns: how many have, and when that was."""
    limit = time.monotonic() + WITHIN_S
    while (found := os.path.getsize(path)) < count:
        if time.monotonic() > limit:
            raise TimeoutError(f"{found} of {count} within {WITHIN_S} s")
        time.sleep(0.005)
    return found, time.perf_counter()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
