"""What needs no database: events, routes, templates, schedules. The files are those of the tutorial."""

from datetime import UTC, datetime

import pytest
import stripe
from tasks import add_points

from postroom.testing import render, route, stripe_event, times


def test_an_event_is_signed_as_stripe_signs_it(monkeypatch):
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS", "whsec_" + "one, whsec_" + "two")
    made = stripe_event("invoice.paid", customer="cus_42", amount_paid=7)
    read = stripe.Webhook.construct_event(made.body, made.headers["Stripe-Signature"], "whsec_" + "one")
    assert (read.data.object.customer, read.data.object.amount_paid, read.type) == (
        "cus_42",
        7,
        "invoice.paid",
    )
    assert made.object["status"] == "paid"


def test_events_of_other_objects_have_what_is_given():
    assert stripe_event("customer.created", customer="cus_1").object["id"] == "cus_1"
    assert stripe_event("customer.subscription.deleted").object["status"] == "canceled"
    made = stripe_event("charge.dispute.created", charge="ch_1", created=datetime(2026, 5, 1, tzinfo=UTC))
    assert (made.object["object"], made.object["charge"], made.event["created"]) == (
        "dispute",
        "ch_1",
        1_777_593_600,
    )


def test_a_message_that_could_never_be_sent_fails_the_test():
    with pytest.raises(AssertionError, match="would end as a dead letter"):
        route(stripe_event("invoice.paid", customer_email="nobody"))


def test_a_template_has_its_sample():
    assert render("receipt").subject


def test_a_schedule_knows_its_times_when_clocks_change():
    found = times(add_points, after=datetime(2026, 3, 28, 12, tzinfo=UTC), count=2)
    assert [each.isoformat() for each in found] == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
