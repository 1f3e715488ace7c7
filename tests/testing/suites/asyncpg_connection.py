"""An asyncpg connection whose transaction is rolled back after each test; tests await."""

import asyncpg
import pytest
from tasks import CALLED, add_points, sync_customer


@pytest.fixture
async def postroom_connection(postroom_database_url):
    connection = await asyncpg.connect(postroom_database_url)
    work = connection.transaction()
    await work.start()
    await connection.execute("create table points (customer integer)")
    yield connection
    await work.rollback()
    await connection.close()


async def test_a_task_ends_within_the_transaction_of_the_test(postroom_connection, postroom):
    await add_points.publish(postroom_connection, 3)
    drained = await postroom.drain(real=["task"])
    assert [each.channel for each in drained] == ["task", "email"], "what it published, too"
    assert await postroom_connection.fetchval("select customer from points") == 3
    assert (await postroom.assert_published(channel="email")).key == "points"


async def test_a_task_that_is_not_async_is_called_too(postroom_connection, postroom):
    CALLED.clear()
    await sync_customer.publish(postroom_connection, 4)
    await postroom.drain(real=["task"])
    assert CALLED == [("crm.sync", 4)]


async def test_forgotten(postroom):
    postroom.assert_published(channel="email")
