"""The shipped mails, word for word, and what they say in the cases where it is easily untrue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postroom.channels.email.template import TemplateFolders, Templates
from postroom.channels.email.template_check import read_sample
from tests.channels.email.test_template import write

FOLDERS = TemplateFolders(None)
TEMPLATES = Templates(FOLDERS)
GOLDEN = Path(__file__).parent / "golden"


def sample(name: str) -> dict[str, Any]:
    data = read_sample(FOLDERS, name)
    assert data is not None
    return data


def text(name: str, **changes: Any) -> str:
    data = sample(name)
    return TEMPLATES.render(name, {**data, "object": data["object"] | changes}).text


@pytest.mark.parametrize("name", FOLDERS.names())
def test_each_mail_says_this(name: str) -> None:
    mail = TEMPLATES.render(name, sample(name))
    assert f"{mail.subject}\n\n{mail.text.strip()}\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FOLDERS.names())
def test_html_is_light_or_dark_and_asks_nobody_for_fonts(name: str) -> None:
    html = TEMPLATES.render(name, sample(name)).html
    assert '<meta name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html
    assert "fonts.g" not in html


def test_a_template_of_ones_own_stays_as_light_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, "own")
    (tmp_path / "own.mjml").write_text(
        '{% extends "_layout.mjml" %}{% block title %}x{% endblock %}'
        "{% block body %}<mj-text>y</mj-text>{% endblock %}"
    )
    html = Templates(TemplateFolders(tmp_path)).render("own", {"object": {}}).html
    assert "color-scheme" not in html


def test_who_sells_is_a_file_of_the_team_and_a_part_of_the_version(tmp_path: Path) -> None:
    (tmp_path / "_seller.txt").write_text("Shop & Sons\n1 High Street\nVAT GB987654321\n")
    mail = Templates(TemplateFolders(tmp_path)).render("receipt", sample("receipt"))
    assert "From\nShop & Sons\n1 High Street\nVAT GB987654321\n" in mail.text
    assert "<b>From</b><br />Shop & Sons<br />1 High Street<br />VAT GB987654321</div>" in mail.html
    assert "Shop & Sons" in "".join(mail.files.values())


def test_who_buys_is_escaped_and_left_out_where_nothing_is_known() -> None:
    data = {"object": sample("receipt")["object"] | {"customer_name": "<i>Ann</i>"}}
    assert "<i>" not in TEMPLATES.render("receipt", data).html
    nobody = {"customer_name": None, "customer_address": None, "customer_tax_ids": None, "account_name": None}
    assert "Billed to" not in text("receipt", **nobody)
    assert "From" not in text("receipt", **nobody)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attempt_count": 1}, "try again on 4 January 2026"),
        (
            {"attempt_count": 3, "next_payment_attempt": None},
            "As of now, no further attempt is planned: please",
        ),
        ({"attempt_count": 3, "next_payment_attempt": None, "hosted_invoice_url": None}, "is planned.\n"),
    ],
)
def test_a_failed_payment_says_whether_it_is_tried_again(changes: dict[str, Any], says: str) -> None:
    assert says in text("payment_failed", **changes) + "\n"


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt_count": 1},
        {"attempt_count": 3, "collection_method": "send_invoice"},
        {"attempt_count": None},
    ],
)
def test_what_is_not_known_to_be_the_last_attempt_is_not_called_so(changes: dict[str, Any]) -> None:
    assert "attempt" not in text("payment_failed", next_payment_attempt=None, **changes)


def test_again_is_said_from_the_second_attempt_on() -> None:
    for attempts, again in [(1, False), (2, True)]:
        data = {"object": sample("payment_failed")["object"] | {"attempt_count": attempts}}
        mail = TEMPLATES.render("payment_failed", data)
        assert mail.subject.endswith("again") is again
        assert ("did not go through again" in mail.html) is again


def test_a_refund_is_what_this_event_gave_back() -> None:
    charge = sample("refund")["object"]
    whole = TEMPLATES.render("refund", {"object": charge | {"amount_refunded": 11_900}}).text
    assert "We have refunded €119.00 to your Visa card ending in 4242." in whole
    assert "in all" not in whole
    no_card = charge | {"payment_method_details": {"type": "sepa_debit"}, "billing_details": None}
    part = TEMPLATES.render("refund", {"object": no_card}).text
    assert part.startswith("Hello,\n\nWe have refunded €30.00. ")
    assert "Of your payment of €119.00, €30.00 has been refunded in all." in part


def test_a_refund_that_came_later_is_not_counted_with_this_one() -> None:
    charge = sample("refund")["object"]
    told = {"object": charge, "previous_attributes": {"amount_refunded": 1_000}}
    fetched = charge | {"amount_refunded": 9_000}
    said = TEMPLATES.render("refund", {"object": fetched, "event": {"data": told}}).text
    assert "We have refunded €20.00 to" in said
    assert "€30.00 has been refunded in all" in said


@pytest.mark.parametrize(
    ("changes", "says", "not_said"),
    [
        ({"cancel_at_period_end": True}, "ends with it, and you pay nothing", "paid one"),
        ({"cancel_at": 1_767_225_600}, "ends with it, and you pay nothing", "paid one"),
        ({"cancel_at": 1_777_225_600}, "continues as a paid one", "you pay nothing"),
        (
            {"trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}}},
            "it ends instead",
            "pause",
        ),
        ({"trial_settings": None}, "continues as a paid one", "Without"),
    ],
)
def test_a_trial_says_what_comes_after_it(changes: dict[str, Any], says: str, not_said: str) -> None:
    said = text("trial_ends", **changes)
    assert says in said
    assert not_said not in said


def test_a_card_of_a_payment_method_expires_as_well() -> None:
    card = {"brand": "jcb", "last4": "0505", "exp_month": 12, "exp_year": 2026}
    mail = TEMPLATES.render("card_expires", {"object": {"object": "payment_method", "card": card}})
    assert "Your JCB card ending in 0505 expires at the end of 12/2026." in mail.text
    assert "Change" not in mail.text
