"""Templates: the shipped ones with Stripe's data, and what a template cannot do to us."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postroom.channels.email.filters import date, money
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import TemplateFailed, TemplateFolders, Templates

INVOICE: dict[str, Any] = {
    "object": {
        "object": "invoice",
        "account_name": "Shop & Sons",
        "amount_due": 129_950,
        "amount_paid": 129_950,
        "amount_remaining": 129_950,
        "created": 1_690_000_000,
        "status_transitions": {"paid_at": 1_700_000_000},
        "currency": "eur",
        "customer_name": "Ann <b>bold</b>",
        "hosted_invoice_url": "https://invoice.example/i/1?a=1&b=2",
        "invoice_pdf": None,
        "next_payment_attempt": 1_700_500_000,
        "number": "A-17",
        "lines": {"data": [{"description": "Pro <plan>", "amount": 129_950, "currency": "eur"}]},
    }
}
SUBSCRIPTION: dict[str, Any] = {
    "object": {
        "object": "subscription",
        "status": "active",
        "cancel_at_period_end": True,
        "cancel_at": 1_700_000_000,
        "items": {
            "data": [
                {
                    "quantity": 2,
                    "price": {
                        "nickname": "Pro",
                        "unit_amount": 900,
                        "currency": "jpy",
                        "recurring": {"interval": "month"},
                    },
                },
                {"quantity": 1, "price": {"nickname": None, "unit_amount": None, "currency": "usd"}},
            ]
        },
    }
}
WELCOME: dict[str, Any] = {"object": {"object": "customer", "name": "Ann", "email": "ann@example.com"}}

SHIPPED = [
    ("receipt", INVOICE, ["€1,299.50", "14 November 2023", "A-17"]),
    ("payment_failed", INVOICE, ["€1,299.50", "https://invoice.example/i/1?a=1&b=2", "20 November 2023"]),
    ("subscription_changed", SUBSCRIPTION, ["will end on 14 November 2023", "¥900 each per month", "Plan"]),
    ("welcome", WELCOME, ["ready"]),
]


@pytest.fixture
def shipped() -> Templates:
    return Templates(TemplateFolders(None))


def write(folder: Path, name: str, *, subject: str = "s", txt: str = "t", mjml: str | None = None) -> None:
    body = "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>" if mjml is None else mjml
    (folder / f"{name}.subject").write_text(subject)
    (folder / f"{name}.txt").write_text(txt)
    (folder / f"{name}.mjml").write_text(f"<mjml><mj-body>{body}</mj-body></mjml>")


def test_the_shipped_templates_are_these() -> None:
    names = ["card_expires", "payment_failed", "receipt", "refund", "subscription_changed", "trial_ends"]
    assert TemplateFolders(None).names() == [*names, "welcome"]


@pytest.mark.parametrize(("name", "data", "words"), SHIPPED)
def test_shipped_templates_say_it_in_text_and_in_html(
    shipped: Templates, name: str, data: dict[str, Any], words: list[str]
) -> None:
    mail = shipped.render(name, data)
    assert mail.subject
    for word in words:
        assert word in mail.text
        assert word.replace("&", "&amp;") in mail.html
    assert "<mj-" not in mail.html
    assert "{{" not in mail.html + mail.text + mail.subject
    assert "<b>bold</b>" not in mail.html


def test_payment_failed_has_the_link_to_pay_as_a_link(shipped: Templates) -> None:
    html = shipped.render("payment_failed", INVOICE).html
    assert 'href="https://invoice.example/i/1?a=1&amp;b=2"' in html


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("canceled", "has ended"),
        ("past_due", "A payment for your subscription is overdue"),
        ("unpaid", "is unpaid"),
        ("trialing", "is in its trial."),
        ("incomplete", "as soon as its first payment"),
        ("incomplete_expired", "did not start"),
        ("paused", "is paused"),
        ("active", "updated"),
    ],
)
def test_subscription_changed_says_where_it_stands(shipped: Templates, status: str, says: str) -> None:
    mail = shipped.render("subscription_changed", {"object": {"status": status}})
    assert says in mail.text
    assert says in mail.html


@pytest.mark.parametrize(
    ("recurring", "says"),
    [
        ({"interval": "month", "interval_count": 3}, "Pro: €90.00 every 3 months\n"),
        ({"interval": "year", "interval_count": 1}, "Pro: €90.00 per year\n"),
        ({"interval": "month", "usage_type": "metered"}, "Pro: €90.00 per unit per month\n"),
        (None, "Pro: €90.00\n"),
    ],
)
def test_a_price_says_for_how_long_it_is(
    shipped: Templates, recurring: dict[str, Any] | None, says: str
) -> None:
    price = {"nickname": "Pro", "unit_amount": 9_000, "currency": "eur", "recurring": recurring}
    mail = shipped.render(
        "subscription_changed",
        {"object": {"status": "active", "items": {"data": [{"quantity": 1, "price": price}]}}},
    )
    assert says in mail.text
    assert says.partition(": ")[2].strip() in mail.html


def test_the_end_of_a_subscription_is_found_where_newer_versions_have_it(shipped: Templates) -> None:
    item = {"current_period_end": 1_700_000_000, "price": {"unit_amount": None}}
    ends = {"status": "past_due", "cancel_at_period_end": True, "items": {"data": [item]}}
    mail = shipped.render("subscription_changed", {"object": ends})
    assert mail.subject == "Your subscription will end"
    assert "is overdue.\nYour subscription will end on 14 November 2023." in mail.text


def test_what_is_still_open_is_what_payment_failed_asks_for(shipped: Templates) -> None:
    invoice = INVOICE["object"] | {"amount_due": 10_000, "amount_remaining": 4_000}
    mail = shipped.render("payment_failed", {"object": invoice})
    assert "€40.00" in mail.text
    assert "€100.00" not in mail.text + mail.html


def test_a_text_that_html_includes_is_escaped_there_and_only_there(tmp_path: Path) -> None:
    (tmp_path / "_greeting.txt").write_text("Dear {{ name }}")
    write(tmp_path, "own", txt='{% include "_greeting.txt" %}')
    (tmp_path / "own.mjml").write_text(
        '{% extends "_layout.mjml" %}{% block title %}x{% endblock %}'
        '{% block body %}<mj-text>{% include "_greeting.txt" %}</mj-text>{% endblock %}'
    )
    mail = Templates(TemplateFolders(tmp_path)).render("own", {"name": "<i>Ann</i>"})
    assert mail.text == "Dear <i>Ann</i>"
    assert "Dear &lt;i&gt;Ann&lt;/i&gt;" in mail.html


def test_what_stripe_leaves_out_is_named(shipped: Templates) -> None:
    with pytest.raises(
        TemplateFailed,
        match=r"^template receipt: _receipt\.txt, line 4: 'dict object' has no attribute 'currency'$",
    ):
        shipped.render("receipt", {"object": {"amount_paid": 1}})


@pytest.mark.parametrize("name", ["../receipt", "receipt.txt", "", "_layout", "no/pe", "Receipt", "a\nb"])
def test_names_that_are_no_template(shipped: Templates, name: str) -> None:
    with pytest.raises(TemplateFailed, match="unknown"):
        shipped.render(name, {})


def test_own_templates_come_first(tmp_path: Path) -> None:
    write(tmp_path, "welcome", subject="Mine, {{ object.name }}")
    folders = TemplateFolders(tmp_path)
    assert Templates(folders).render("welcome", WELCOME).subject == "Mine, Ann"
    write(tmp_path, "refund")
    assert "refund" in folders.names()


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ ''.format_map(x) }}{{ '{0.__class__}'.format(1) }}",
    "{% include '/etc/passwd' %}",
    "{% include '../adapter.py' %}",
    "{% set _ = data.update({'a': 1}) %}",
    "{{ range(10000000) | list }}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_cannot_leave_its_sandbox(tmp_path: Path, escape: str) -> None:
    write(tmp_path, "evil", txt=escape)
    with pytest.raises(TemplateFailed, match=r"^template evil: "):
        Templates(TemplateFolders(tmp_path)).render("evil", {})


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"txt": "{% if %}"}, "evil.txt, line 1"),
        ({"subject": "  "}, "the subject has 0 characters"),
        ({"subject": "x" * 501}, "the subject has 501 characters"),
        ({"txt": "one\n{{ 1 / 0 }}"}, "evil.txt, line 2: division by zero"),
        ({"mjml": "{{ object.x }}"}, "evil.mjml, line 1: 'object' is undefined"),
        ({"txt": "{{ 'x' | money('eur') }}"}, "whole minor units"),
        ({"mjml": "<mj-section>"}, "template evil: "),
        ({"mjml": "<mj-include path='/etc/passwd' />"}, "unable to load included template"),
        ({"txt": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"}, "nested too deeply"),
        ({"txt": "{% for n in range(99999) %}{{ 'x' * 100 }}{% endfor %}"}, "longer than 1000000 characters"),
    ],
)
def test_a_template_that_fails_says_where(tmp_path: Path, files: dict[str, str], says: str) -> None:
    write(tmp_path, "evil", **files)
    with pytest.raises(TemplateFailed, match="evil") as failed:
        Templates(TemplateFolders(tmp_path)).render("evil", {})
    assert says in str(failed.value)


def test_a_template_of_ones_own_in_the_shipped_frame_needs_no_object(tmp_path: Path) -> None:
    frame = '{% extends "_layout.mjml" %}{% block title %}Hi{% endblock %}'
    write(tmp_path, "own")
    (tmp_path / "own.mjml").write_text(frame + "{% block body %}<mj-text>{{ name }}</mj-text>{% endblock %}")
    assert "Ada" in Templates(TemplateFolders(tmp_path)).render("own", {"name": "Ada"}).html


def test_an_unknown_template_says_what_there_is_and_a_part_of_one_what_it_lacks(tmp_path: Path) -> None:
    templates = Templates(TemplateFolders(tmp_path))
    (tmp_path / "half.txt").write_text("x")
    with pytest.raises(TemplateFailed, match=r"'half' lacks half\.subject, half\.mjml"):
        templates.render("half", {})
    with pytest.raises(TemplateFailed, match=r"'wellcome' is unknown; known are .*welcome"):
        templates.render("wellcome", {})


@pytest.fixture
async def renderer(tmp_path: Path) -> AsyncIterator[Renderer]:
    renderer = Renderer(TemplateFolders(tmp_path), render_s=1.0)
    yield renderer
    await renderer.close()


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (LOOP, "took longer than 1 s"),
        ("{{ 'x' * 2000000000 }}", "needs too much memory"),
        ("{{ 'x' | center(2000000000) }}", "needs too much memory"),
        ("{{ 10 ** (10 ** 10) }}", "evil: "),
    ],
)
async def test_a_runaway_template_is_cut_and_the_next_one_renders(
    tmp_path: Path, renderer: Renderer, template: str, says: str
) -> None:
    write(tmp_path, "evil", txt=template)
    with pytest.raises(TemplateFailed, match=f"template evil: .*{says.removeprefix('evil: ')}"):
        await renderer.render("evil", {})
    assert (await renderer.render("welcome", WELCOME)).subject == "Welcome, Ann"


async def test_a_cancelled_rendering_never_answers_the_next_one(tmp_path: Path, renderer: Renderer) -> None:
    await renderer.render("welcome", WELCOME)
    write(tmp_path, "slow", txt=LOOP)
    task = asyncio.create_task(renderer.render("slow", {}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await renderer.render("welcome", WELCOME)).subject == "Welcome, Ann"


async def test_renderings_at_once_do_not_mix(renderer: Renderer) -> None:
    names = [f"n{number}" for number in range(50)]
    mails = await asyncio.gather(*(renderer.render("welcome", {"object": {"name": name}}) for name in names))
    assert [mail.subject for mail in mails] == [f"Welcome, {name}" for name in names]


async def test_a_runaway_template_costs_its_neighbours_nothing(tmp_path: Path, renderer: Renderer) -> None:
    write(tmp_path, "slow", txt=LOOP)
    jobs = [("welcome", WELCOME), ("slow", {}), ("welcome", WELCOME)]
    await renderer.render("welcome", WELCOME)
    first, failed, last = await asyncio.gather(
        *(renderer.render(*job) for job in jobs), return_exceptions=True
    )
    assert isinstance(failed, TemplateFailed)
    assert first == last == await renderer.render("welcome", WELCOME)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1250, "eur", "€12.50"),
        (-1250, "usd", "-$12.50"),
        (123456789, "gbp", "£1,234,567.89"),
        (500, "jpy", "¥500"),
        (500, "krw", "500 KRW"),
        (1250, "chf", "12.50 CHF"),
        (1250, "kwd", "1.250 KWD"),
        (500, "isk", "5 ISK"),
        (0, "eur", "€0.00"),
    ],
)
def test_money(amount: int, currency: str, shown: str) -> None:
    assert money(amount, currency) == shown


@pytest.mark.parametrize(
    ("amount", "currency"), [(1.5, "eur"), (None, "eur"), (True, "eur"), (1, "euro"), (1, None)]
)
def test_money_that_is_none(amount: object, currency: object) -> None:
    with pytest.raises(ValueError, match="money needs"):
        money(amount, currency)


def test_dates() -> None:
    assert date(0) == "1 January 1970"
    assert date("2026-05-04T10:00:00Z") == "4 May 2026"
    assert date("2026-05-04T23:30:00-05:00") == "5 May 2026"
    assert date("2026-05-04T23:30:00") == date("2026-05-04") == "4 May 2026"
    assert date(0, "%Y-%m-%d") == "1970-01-01"
    for wrong in (None, "soon", 10**18, True):
        with pytest.raises(ValueError, match="date needs"):
            date(wrong)


def test_the_process_that_renders_starts_without_what_it_seldom_needs() -> None:
    """Settings and the data of languages take longer to import than all the rest of it."""
    code = "import sys, postroom.channels.email.render_process; print({'pydantic', 'babel'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert told.stdout.strip() == b"set()"
