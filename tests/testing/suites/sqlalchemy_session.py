"""A session whose transaction is rolled back after each test, as docs/samples/testing has it."""

from datetime import UTC, datetime, timedelta

import pytest
from tasks import CALLED, refuse, report, sync_customer

import postroom as postroom_package
from postroom import BatchCounts, Reject


@pytest.fixture
def customer(session):
    sync_customer.with_options(key="crm:7").publish(session, 7)
    session.commit()  # of a savepoint: the test's transaction is rolled back
    return 7


def test_what_a_fixture_published_is_seen_though_nothing_is_committed(customer, postroom):
    found = postroom.assert_published(channel="task", key="crm:7", payload={"task": "crm.sync"})
    assert found.payload == {"task": "crm.sync", "args": {"customer": 7}}


def test_what_another_test_published_is_gone(postroom):
    assert postroom.published() == []
    assert postroom.drain() == []


def test_a_drain_captures_and_takes_each_once(customer, postroom):
    CALLED.clear()
    [sent] = postroom.drain()
    assert (sent.channel, sent.destination, sent.key) == ("task", "crm.sync", "crm:7")
    assert CALLED == []
    assert postroom.drain() == []


def test_a_real_task_is_called_here(customer, postroom):
    CALLED.clear()
    assert [each.key for each in postroom.drain(real=["task"])] == ["crm:7"]
    assert CALLED == [("crm.sync", 7)]


def test_what_fails_is_raised_and_still_there(session, postroom):
    refuse.publish(session, 1)
    for _ in range(2):
        with pytest.raises(Reject, match="no such customer"):
            postroom.drain(real=["task"])
    assert len(postroom.drain()) == 1


def test_what_is_for_later_is_drained_at_its_time(session, postroom):
    later = datetime.now(UTC) + timedelta(hours=2)
    options = {"payload": {"to": "ada@example.com", "subject": "Hi", "text": "Hi"}, "channel": "email"}
    postroom_package.publish(session, **options, key="later", deliver_at=later)
    postroom_package.publish(
        session, **options, key="short", expires_at=datetime.now(UTC) + timedelta(hours=1)
    )
    postroom.freeze(timedelta(minutes=90))
    assert postroom.drain() == [], "the one is too early, and the other one too late"
    postroom.freeze(later)
    assert datetime.now(UTC) == later
    assert [each.key for each in postroom.drain()] == ["later"]


def test_an_assertion_that_fails_lists_what_there_is(customer, session, postroom):
    with pytest.raises(
        AssertionError, match=r"0 messages have .*'crm:8'.*\n  task type='crm.sync' key='crm:7'"
    ):
        postroom.assert_published(channel="task", key="crm:8")
    sync_customer.publish(session, 8)
    with pytest.raises(AssertionError, match="2 messages have"):
        postroom.assert_published(channel="task")
    with pytest.raises(TypeError, match="a message has no chanel"):
        postroom.assert_published(chanel="task")


def test_a_moment_without_a_zone_is_refused(postroom):
    with pytest.raises(ValueError, match="has a time zone"):
        postroom.freeze(datetime(2030, 1, 1))  # noqa: DTZ001


def test_an_export_is_never_real(session, postroom):
    postroom_package.publish(session, channel="export", payload={"dataset": "orders", "record": {}})
    with pytest.raises(ValueError, match="needs a message that is committed"):
        postroom.drain(real=["export"])


def test_what_follows_a_batch_is_drained_with_its_counts(session, postroom):
    CALLED.clear()
    members = [sync_customer.message(1), refuse.message(2), sync_customer.message(3)]
    postroom_package.publish_batch(session, members, then=report.message())
    postroom_package.publish_batch(session, [refuse.message(4)], then=sync_customer.message(4), on="success")
    for _ in range(2):
        with pytest.raises(Reject):
            postroom.drain(real=["task"])
    [follower] = postroom.drain(real=["task"])
    assert follower.batch == BatchCounts(size=3, delivered=2, dead=1, cancelled=0)
    assert list(CALLED) == [("crm.sync", 1), ("crm.sync", 3), ("crm.report", follower.batch)]
    assert postroom.drain() == [], "what would follow a success is cancelled"


def test_what_follows_a_batch_waits_for_the_last_of_it(session, postroom):
    now = datetime.now(UTC)
    later = sync_customer.with_options(deliver_at=now + timedelta(hours=2)).message(1)
    expires = sync_customer.with_options(
        deliver_at=now + timedelta(hours=1), expires_at=now + timedelta(minutes=90)
    )
    postroom_package.publish_batch(session, [later], then=report.message(), on="success")
    postroom_package.publish_batch(session, [refuse.message(2), expires.message(3)], then=report.message())
    assert [each.payload["args"] for each in postroom.drain()] == [{"customer": 2}]
    postroom.freeze(timedelta(hours=3))
    assert [each.batch for each in postroom.drain()] == [
        None,
        BatchCounts(size=2, delivered=1, dead=1, cancelled=0),
        BatchCounts(size=1, delivered=1, dead=0, cancelled=0),
    ]


def test_the_largest_batch_is_drained_with_what_follows_it(session, postroom):
    members = [sync_customer.message(number) for number in range(1_000)]
    postroom_package.publish_batch(session, members, then=report.message(), on="success")
    assert [each.destination for each in postroom.drain()][999:] == ["crm.sync", "crm.report"]
