"""A Stripe invoice as rows that add up: what a receipt prints, whatever the version of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


def bill(invoice: object) -> list[Row]:
    """The rows of an invoice, in order, each with `name`, `label` and `amount` in minor units.

    Promise: `line` and `more` make `subtotal`; with all that follows they make `total`, and so on to `due`;
    `paid`, `settled` and `open`, less `overpaid`, make `due`. What no field of Stripe's explains is an
    `adjustment`. `tax_included` is a part of the total. An object without `total` is no whole invoice and
    has its lines and what was paid. Does not promise: every line, for Stripe leaves some out after ten.
    Errors: `ValueError` for what is no invoice, `TypeError` for an amount that is no number.
    """
    if not isinstance(invoice, dict) or invoice.get("amount_paid") is None:
        raise ValueError("bill needs an invoice with amount_paid")
    items = _items(invoice)
    if invoice.get("total") is None:
        return [*items, _row("paid", "Paid", invoice["amount_paid"])]
    return [*items, *_up_to_total(invoice, _sum(items), many=len(items) > 1), *_up_to_paid(invoice)]


def _items(invoice: Row) -> list[Row]:
    lines = invoice.get("lines") or {}
    shown = [
        _row("line", each.get("description") or "Item", each["amount"]) for each in lines.get("data") or ()
    ]
    missing = (lines.get("total_count") or 0) - len(shown)
    if (lines.get("has_more") or missing > 0) and invoice.get("subtotal") is not None:
        label = "1 more item" if missing == 1 else f"{missing} more items" if missing > 0 else "More items"
        shown.append(_row("more", f"{label} (on the invoice)", invoice["subtotal"] - _sum(shown)))
    return shown


def _up_to_total(invoice: Row, subtotal: int, *, many: bool) -> list[Row]:
    taxes = invoice.get("total_taxes") or invoice.get("total_tax_amounts") or ()
    included = [each for each in taxes if each.get("inclusive") or each.get("tax_behavior") == "inclusive"]
    grants = [
        each
        for each in invoice.get("total_pretax_credit_amounts") or ()
        if each.get("type") == "credit_balance_transaction"  # the others are the discounts once more
    ]
    between = _that_count(
        _row("discount", "Discount", -_sum(invoice.get("total_discount_amounts") or ())),
        _row("credit_grant", "Billing credit", -_sum(grants)),
        _row("shipping", "Shipping", (invoice.get("shipping_cost") or {}).get("amount_subtotal") or 0),
        _row("tax", "Tax", _sum(taxes) - _sum(included)),
    )
    between += _rest(invoice["total"] - subtotal - _sum(between))
    return [
        *([_row("subtotal", "Subtotal", subtotal)] if many or between else []),
        *between,
        _row("total", "Total", invoice["total"]),
        *_that_count(_row("tax_included", "Tax included in the total", _sum(included))),
    ]


def _up_to_paid(invoice: Row) -> list[Row]:
    total, paid = invoice["total"], invoice["amount_paid"]
    due = _or(invoice.get("amount_due"), total)
    left = _or(invoice.get("amount_remaining"), max(due - paid, 0))
    between = _balance(invoice)
    between += _rest(due - total - _sum(between), notes=invoice.get("pre_payment_credit_notes_amount") or 0)
    settled = due - paid - left
    return [
        *between,
        *([_row("due", "Amount due", due)] if between else []),
        *_that_count(_row("settled", "Settled otherwise", max(settled, 0))),
        _row("paid", "Paid", paid),
        *_that_count(
            _row("overpaid", "Paid more than due", max(-settled, 0)), _row("open", "Still open", left)
        ),
    ]


def _balance(invoice: Row) -> list[Row]:
    """What the customer's balance changed. Below zero it is the customer's credit."""
    before, after = invoice.get("starting_balance") or 0, invoice.get("ending_balance")
    if after is None:
        return []
    if before <= after <= 0:
        return _that_count(_row("credit", "Credit applied", before - after))
    return _that_count(
        _row("brought_forward", "Balance brought forward", before),
        _row("carried_forward", "Balance carried forward", -after),
    )


def _rest(amount: int, *, notes: int = 0) -> list[Row]:
    if amount and amount == -notes:
        return [_row("credit_note", "Credit note", amount)]
    return _that_count(_row("adjustment", "Adjustment", amount))


def _row(name: str, label: str, amount: int) -> Row:
    return {"name": name, "label": label, "amount": amount}


def _that_count(*rows: Row) -> list[Row]:
    return [row for row in rows if row["amount"]]


def _sum(rows: Iterable[Row]) -> int:
    return sum(row["amount"] for row in rows)


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
