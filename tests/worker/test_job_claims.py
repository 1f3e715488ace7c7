"""What chaos found: a periodic job that nobody could ever run again, the rescuer's own among them."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from postroom.worker import store
from postroom.worker.heartbeat import WORKER_TTL_S, Worker
from tests.fixtures.roles import pool_as


@pytest.fixture
async def workers(pool: Pool) -> tuple[Worker, Worker]:
    pair = (
        Worker(pool=pool_as(pool, "runner"), role="test"),
        Worker(pool=pool_as(pool, "runner"), role="test"),
    )
    for worker in pair:
        await worker.register()
    await store.insert_job(pool, name="lease-rescue", every_s=2.0)  # type: ignore[arg-type]  # a pool will do
    return pair


async def claim(pool: Pool, worker: Worker) -> bool:
    async with pool.acquire() as conn:
        requested = await store.claim_job(
            conn, name="lease-rescue", worker=worker.id, next_in_s=0.0, ttl_s=WORKER_TTL_S
        )
    return requested is not None


async def test_a_job_of_a_living_worker_is_left_to_it(pool: Pool, workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    assert await claim(pool, one)
    assert not await claim(pool, other)


async def test_a_job_whose_worker_died_is_taken_over_before_anybody_rescues(
    pool: Pool, workers: tuple[Worker, Worker]
) -> None:
    """The rescuer buries dead workers; it cannot wait for itself."""
    one, other = workers
    assert await claim(pool, one)
    await pool.execute(
        "update postroom.worker set beat_at = now() - make_interval(secs => $1) where id = $2",
        WORKER_TTL_S + 1,
        one.id,
    )
    assert await claim(pool, other)


async def test_a_job_whose_end_was_not_written_down_is_run_again_by_the_same_worker(
    pool: Pool, workers: tuple[Worker, Worker]
) -> None:
    one, _ = workers
    assert await claim(pool, one)
    assert await claim(pool, one)
