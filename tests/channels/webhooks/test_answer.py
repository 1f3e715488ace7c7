"""What each answer of a receiver means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from postroom.channels.webhooks.answer import judge_answer, retry_after_s
from postroom.outbox.model import Delivered, Rejected, RetryLater, Trip

NOW = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert Delivered(code=str(status), detail="x") == judge_answer(status, {}, "x", NOW)


@pytest.mark.parametrize(
    ("status", "trip"),
    [
        (301, Trip.NO),
        (304, Trip.NO),
        (400, Trip.NO),
        (404, Trip.NO),
        (429, Trip.NOW),
        (500, Trip.STRIKE),
        (503, Trip.STRIKE),
    ],
)
def test_a_failure_is_tried_again_and_what_it_says_of_the_receiver(status: int, trip: Trip) -> None:
    outcome = judge_answer(status, {}, "x", NOW)
    assert isinstance(outcome, RetryLater)
    assert (trip, None, str(status)) == (outcome.trip, outcome.after_s, outcome.code)


def test_410_is_final() -> None:
    assert isinstance(judge_answer(410, {}, "", NOW), Rejected)


def test_reasons_hold_nothing_of_the_receiver() -> None:
    here = judge_answer(301, {"location": "https://a.example/1"}, "one", NOW)
    there = judge_answer(301, {"location": "https://b.example/2"}, "two", NOW)
    assert isinstance(here, RetryLater)
    assert isinstance(there, RetryLater)
    assert here.reason == there.reason


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("999999999", 86_400.0),
        ("9" * 400, None),
        ("Mon, 01 Jan 2024 12:02:00 GMT", 120.0),
        ("Mon, 01 Jan 2024 11:00:00 GMT", 1.0),
        ("Fri, 01 Jan 2038 12:00:00 GMT", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_and_bounded(text: str, expected_s: float | None) -> None:
    assert expected_s == retry_after_s(text, NOW)


@pytest.mark.parametrize(
    ("status", "after_s", "trip"),
    [
        (429, 30.0, Trip.NOW),
        (503, 30.0, Trip.NOW),
        (502, 30.0, Trip.STRIKE),
        (504, 30.0, Trip.STRIKE),
        (500, None, Trip.STRIKE),
        (404, None, Trip.NO),
    ],
)
def test_retry_after_is_obeyed_where_http_has_it(status: int, after_s: float | None, trip: Trip) -> None:
    outcome = judge_answer(status, {"retry-after": "30"}, "", NOW)
    assert isinstance(outcome, RetryLater)
    assert (outcome.after_s, outcome.trip) == (after_s, trip)
