"""A Stripe invoice as rows that add up: what a receipt prints, whatever the version of the API."""

from __future__ import annotations

from collections.abc import Iterable
from gettext import NullTranslations
from typing import Any, Final

Row = dict[str, Any]

ITEM: Final = "Item"
MORE: Final = ("%(num)s more item (on the invoice)", "%(num)s more items (on the invoice)")
SOME_MORE: Final = "More items (on the invoice)"
LABELS: Final = {
    "subtotal": "Subtotal",
    "discount": "Discount",
    "credit_grant": "Billing credit",
    "shipping": "Shipping",
    "tax": "Tax",
    "adjustment": "Adjustment",
    "total": "Total",
    "tax_included": "Tax included in the total",
    "credit": "Credit applied",
    "brought_forward": "Balance brought forward",
    "carried_forward": "Balance carried forward",
    "credit_note": "Credit note",
    "due": "Amount due",
    "settled": "Settled otherwise",
    "paid": "Paid",
    "overpaid": "Paid more than due",
    "open": "Still open",
}


def bill(invoice: object, words: NullTranslations | None = None) -> list[Row]:
    """The rows of an invoice, in order, each with `name`, `label` and `amount` in minor units.

    `words`: the language of the labels; English without. Descriptions of lines are Stripe's.

    Promise: `line` and `more` make `subtotal`; with all that follows they make `total`, and so on to `due`;
    `paid`, `settled` and `open`, less `overpaid`, make `due`. What no field of Stripe's explains is an
    `adjustment`. `tax_included` is a part of the total. An object without `total` is no whole invoice and
    has its lines and what was paid. Does not promise: every line, for Stripe leaves some out after ten.
    Errors: `ValueError` for what is no invoice, `TypeError` for an amount that is no number.
    """
    if not isinstance(invoice, dict) or invoice.get("amount_paid") is None:
        raise ValueError("bill needs an invoice with amount_paid")
    words = words or NullTranslations()
    items = _items(invoice, words)
    if invoice.get("total") is None:
        rows = [_row("paid", invoice["amount_paid"])]
    else:
        rows = [*_up_to_total(invoice, _sum(items), many=len(items) > 1), *_up_to_paid(invoice)]
    return [*items, *({**row, "label": words.gettext(LABELS[row["name"]])} for row in rows)]


def _items(invoice: Row, words: NullTranslations) -> list[Row]:
    lines = invoice.get("lines") or {}
    shown: list[Row] = [
        {
            "name": "line",
            "label": each.get("description") or words.gettext(ITEM),
            "amount": each["amount"],
        }
        for each in lines.get("data") or ()
    ]
    missing = (lines.get("total_count") or 0) - len(shown)
    if (lines.get("has_more") or missing > 0) and invoice.get("subtotal") is not None:
        known = words.ngettext(*MORE, missing) % {"num": missing}
        label = known if missing > 0 else words.gettext(SOME_MORE)
        shown.append({"name": "more", "label": label, "amount": invoice["subtotal"] - _sum(shown)})
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
        _row("discount", -_sum(invoice.get("total_discount_amounts") or ())),
        _row("credit_grant", -_sum(grants)),
        _row("shipping", (invoice.get("shipping_cost") or {}).get("amount_subtotal") or 0),
        _row("tax", _sum(taxes) - _sum(included)),
    )
    between += _rest(invoice["total"] - subtotal - _sum(between))
    return [
        *([_row("subtotal", subtotal)] if many or between else []),
        *between,
        _row("total", invoice["total"]),
        *_that_count(_row("tax_included", _sum(included))),
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
        *([_row("due", due)] if between else []),
        *_that_count(_row("settled", max(settled, 0))),
        _row("paid", paid),
        *_that_count(_row("overpaid", max(-settled, 0)), _row("open", left)),
    ]


def _balance(invoice: Row) -> list[Row]:
    """What the customer's balance changed. Below zero it is the customer's credit."""
    before, after = invoice.get("starting_balance") or 0, invoice.get("ending_balance")
    if after is None:
        return []
    if before <= after <= 0:
        return _that_count(_row("credit", before - after))
    return _that_count(
        _row("brought_forward", before),
        _row("carried_forward", -after),
    )


def _rest(amount: int, *, notes: int = 0) -> list[Row]:
    if amount and amount == -notes:
        return [_row("credit_note", amount)]
    return _that_count(_row("adjustment", amount))


def _row(name: str, amount: int) -> Row:
    return {"name": name, "amount": amount}


def _that_count(*rows: Row) -> list[Row]:
    return [row for row in rows if row["amount"]]


def _sum(rows: Iterable[Row]) -> int:
    return sum(row["amount"] for row in rows)


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
