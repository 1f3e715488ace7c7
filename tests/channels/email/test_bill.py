"""What a receipt prints adds up, read back from the text of the mail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.channels.email.bill import bill
from postroom.channels.email.template import TemplateFolders, Templates

TEMPLATES = Templates(TemplateFolders(None))
DIGITS = {"eur": 2, "usd": 2, "jpy": 0, "kwd": 3}
ROW = re.compile(r"^(- )?(.+): (-?)[€$¥]?([0-9,.]+)(?: KWD)?$", re.MULTILINE)
AMOUNTS = st.integers(0, 5_000_000)


@st.composite
def invoices(draw: st.DrawFn) -> dict[str, Any]:
    """Paid or partly paid invoices, put together as Stripe does, of old and new versions of its API."""
    amounts = draw(st.lists(st.integers(-50_000, 5_000_000), min_size=1, max_size=25))
    subtotal = sum(amounts)
    discount = draw(st.integers(0, max(subtotal, 0)))
    exclusive, inclusive = draw(st.sampled_from([(0, 0), (19, 0), (0, 19), (7, 5)]))
    taxed = (subtotal - discount) * exclusive // 100
    total = subtotal - discount + taxed
    before = draw(st.sampled_from([0, 0, -500, -10_000_000, 700]))
    due = max(0, total + before)
    paid = due if draw(st.booleans()) else draw(st.integers(0, due))
    return {
        "object": "invoice",
        "currency": draw(st.sampled_from([*DIGITS])),
        "created": 1_690_000_000,
        "status_transitions": {"paid_at": 1_700_000_000},
        "lines": {
            "data": [{"description": f"Item {n}", "amount": each} for n, each in enumerate(amounts[:10])],
            "has_more": len(amounts) > 10,
            **({"total_count": len(amounts)} if draw(st.booleans()) else {}),
        },
        "subtotal": subtotal,
        "total_discount_amounts": [{"amount": discount, "discount": "di_1"}] if discount else [],
        **draw(st.sampled_from([_old_taxes, _new_taxes]))(taxed, (subtotal - discount) * inclusive // 100),
        "total": total,
        "starting_balance": before,
        "ending_balance": total + before - due,
        "amount_due": due,
        "amount_paid": paid,
        "amount_remaining": due - paid,
    }


def _old_taxes(exclusive: int, inclusive: int) -> dict[str, Any]:
    taxes = [{"amount": exclusive, "inclusive": False}, {"amount": inclusive, "inclusive": True}]
    return {"tax": exclusive + inclusive, "total_tax_amounts": taxes}


def _new_taxes(exclusive: int, inclusive: int) -> dict[str, Any]:
    taxes = [
        {"amount": exclusive, "tax_behavior": "exclusive"},
        {"amount": inclusive, "tax_behavior": "inclusive"},
    ]
    return {"total_taxes": taxes}


def printed(invoice: dict[str, Any]) -> tuple[list[int], dict[str, int]]:
    """Items and named rows of the text, in minor units; the HTML has the same ones."""
    mail = TEMPLATES.render("receipt", {"object": invoice})
    items, named = [], {}
    for item, label, sign, amount in ROW.findall(mail.text):
        value = int(sign + re.sub("[,.]", "", amount))
        assert len(amount.partition(".")[2]) == DIGITS[invoice["currency"]]
        assert f"{amount}" in mail.html
        assert f">{label}</th>" in mail.html
        if item:
            items.append(value)
        else:
            assert label not in named
            named[label] = value
    return items, named


@settings(max_examples=300, deadline=None)
@given(invoices())
def test_lines_less_discount_with_tax_make_the_total_and_credit_makes_what_is_paid(
    invoice: dict[str, Any],
) -> None:
    items, rows = printed(invoice)

    def get(*names: str) -> int:
        return sum(rows.get(name, 0) for name in names)

    assert "Adjustment" not in rows
    assert sum(items) == rows.get("Subtotal", invoice["total"])
    assert sum(items) + get("Discount", "Tax") == rows["Total"] == invoice["total"]
    due = rows["Total"] + get("Credit applied", "Balance brought forward", "Balance carried forward")
    assert due == rows.get("Amount due", rows["Total"]) == invoice["amount_due"]
    assert due == get("Paid", "Still open")
    assert rows["Paid"] == invoice["amount_paid"]
    taxes = invoice.get("total_taxes") or invoice["total_tax_amounts"]
    assert get("Tax included in the total") == taxes[1]["amount"]


WHOLE = {
    "currency": "eur", "subtotal": 10_000, "total": 11_900, "amount_due": 11_900, "amount_paid": 11_900,
    "amount_remaining": 0, "number": "A-17", "created": 1_690_000_000,
    "lines": {"data": [{"description": "Pro", "amount": 10_000}], "has_more": False},
    "total_taxes": [{"amount": 1_900, "tax_behavior": "exclusive"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, [("line", 10_000), ("subtotal", 10_000), ("tax", 1_900), ("total", 11_900), ("paid", 11_900)]),
        (
            {"total_taxes": None, "total": 10_000, "amount_due": 10_000, "amount_paid": 10_000},
            [("line", 10_000), ("total", 10_000), ("paid", 10_000)],
        ),
        (
            {"amount_paid": 0},  # marked as paid in another way
            [("line", 10_000), ("subtotal", 10_000), ("tax", 1_900), ("total", 11_900), ("settled", 11_900),
             ("paid", 0)],
        ),
        (
            {"amount_paid": 12_000},
            [("line", 10_000), ("subtotal", 10_000), ("tax", 1_900), ("total", 11_900), ("paid", 12_000),
             ("overpaid", 100)],
        ),
        (
            {"pre_payment_credit_notes_amount": 900, "amount_due": 11_000, "amount_paid": 11_000},
            [("line", 10_000), ("subtotal", 10_000), ("tax", 1_900), ("total", 11_900), ("credit_note", -900),
             ("due", 11_000), ("paid", 11_000)],
        ),
        (
            {"total_pretax_credit_amounts": [{"amount": 400, "type": "credit_balance_transaction"},
                                             {"amount": 600, "type": "discount"}],
             "total_discount_amounts": [{"amount": 600}], "total_taxes": [], "total": 9_500,
             "shipping_cost": {"amount_subtotal": 500}, "amount_due": 9_500, "amount_paid": 9_500},
            [("line", 10_000), ("subtotal", 10_000), ("discount", -600), ("credit_grant", -400),
             ("shipping", 500), ("total", 9_500), ("paid", 9_500)],
        ),
        (
            {"total": 12_000, "amount_due": 12_345, "amount_paid": 12_345},  # what we cannot explain
            [("line", 10_000), ("subtotal", 10_000), ("tax", 1_900), ("adjustment", 100), ("total", 12_000),
             ("adjustment", 345), ("due", 12_345), ("paid", 12_345)],
        ),
        ({"total": None}, [("line", 10_000), ("paid", 11_900)]),
    ],
)  # fmt: skip
def test_rows(changes: dict[str, Any], rows: list[tuple[str, int]]) -> None:
    assert [(each["name"], each["amount"]) for each in bill(WHOLE | changes)] == rows


def test_lines_that_the_event_leaves_out_are_counted() -> None:
    lines = {"data": [{"description": "Pro", "amount": 400}] * 10, "has_more": True}
    assert "- 15 more items (on the invoice): €60.00" in text(lines={**lines, "total_count": 25})
    assert "- 1 more item (on the invoice): €60.00" in text(lines={**lines, "total_count": 11})
    assert "- More items (on the invoice): €60.00" in text(lines=lines)


def text(**changes: Any) -> str:
    return TEMPLATES.render("receipt", {"object": WHOLE | changes}).text


def test_the_day_of_the_payment_is_not_the_day_of_the_invoice() -> None:
    assert "We received your payment of €119.00.\n" in text()
    assert "Invoice A-17 of 22 July 2023" in text()
    assert "€119.00 on 14 November 2023." in text(status_transitions={"paid_at": 1_700_000_000})


FREE = {
    "subtotal": 0,
    "total": 0,
    "amount_due": 0,
    "amount_paid": 0,
    "total_taxes": [],
    "lines": {"data": []},
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (FREE, "Your invoice comes to €0.00: there is nothing to pay."),
        (
            {"starting_balance": -11_900, "ending_balance": 0, "amount_due": 0, "amount_paid": 0},
            "Your invoice is settled, and you had nothing to pay.",
        ),
        ({"amount_paid": 0, "amount_remaining": 11_900}, "Nothing has been paid yet."),
    ],
)
def test_nothing_paid_is_no_payment(changes: dict[str, Any], says: str) -> None:
    mail = TEMPLATES.render("receipt", {"object": WHOLE | changes})
    assert says in mail.text
    assert says in mail.html
    assert mail.subject == "Your invoice (A-17)"
    assert "received" not in mail.text + mail.html


@pytest.mark.parametrize("other", [None, [], {}, {"amount_paid": None}, "invoice"])
def test_what_is_no_invoice(other: object) -> None:
    with pytest.raises(ValueError, match="needs an invoice"):
        bill(other)
