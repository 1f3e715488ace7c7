"""pytest-django: with its transaction, and without."""

import pytest
from django.db import connection, transaction
from tasks import CALLED, add_points, ask_django, sync_customer

from postroom.contrib.django import publish


def order(number):
    with transaction.atomic():
        publish(channel="email", payload={"to": "ada@example.com", "subject": "Hi"}, key=f"order:{number}")
        sync_customer.publish(connection, number)


def test_what_is_rolled_back_is_seen(postroom):
    CALLED.clear()
    order(1)
    assert postroom.assert_published(channel="email").key == "order:1"
    assert [each.channel for each in postroom.drain(real=["task"])] == ["email", "task"]
    assert CALLED == [("crm.sync", 1)]


def test_and_is_gone(postroom):
    assert postroom.published() == []


@pytest.mark.django_db(transaction=True)
def test_what_commits_is_seen(postroom):
    order(2)
    assert postroom.assert_published(channel="email").key == "order:2"


@pytest.mark.django_db(transaction=True)
def test_and_is_not_of_the_next_one(postroom):
    order(3)
    assert [each.key for each in postroom.drain() if each.key] == ["order:3"]


def test_asyncpg_cannot_be_within_django_s_transaction(postroom):
    with transaction.atomic():
        add_points.publish(connection, 1)
    with pytest.raises(RuntimeError, match="cannot be within this test's own"):
        postroom.drain(real=["task"])


def test_an_async_task_has_the_connection_of_the_test(postroom):
    CALLED.clear()
    with transaction.atomic():
        ask_django.publish(connection)
    postroom.drain(real=["task"])
    assert CALLED == [("in the test's transaction", True)]
