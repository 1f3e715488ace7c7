"""What an event causes, and what its mail says. POSTROOM_ROUTES and so on are those of the application."""

from postroom.testing import render, route, stripe_event


def test_a_paid_invoice_is_thanked_for():
    mail, webhook = route(stripe_event("invoice.paid", customer_email="grace@example.com"))
    assert mail.payload["to"] == "grace@example.com"
    assert "29.00" in render(mail).text
    assert webhook.payload["tenant"] == "demo"
