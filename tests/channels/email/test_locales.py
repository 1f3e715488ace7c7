"""Money and days in the languages of the customers; what templates without a locale say stays as it was."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.channels.email.filters import date, money
from postroom.channels.email.locales import LANGUAGES, locale_of
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import TemplateFolders, Templates
from tests.channels.email.test_bill import invoices
from tests.channels.email.test_template import write


@pytest.mark.parametrize(
    ("locale", "amount", "currency", "says"),
    [
        ("de", 129_950, "eur", "1.299,50 €"),
        ("de-AT", 129_950, "eur", "€ 1.299,50"),
        ("de_DE", -129_950, "eur", "-1.299,50 €"),
        ("fr", 129_950, "eur", "1 299,50 €"),
        ("es", 1_299_950, "eur", "12.999,50 €"),
        ("it", 129_950, "eur", "1.299,50 €"),
        ("pt", 129_950, "eur", "€ 1.299,50"),
        ("pt-PT", 1_299_950, "eur", "12 999,50 €"),
        ("nl", 129_950, "eur", "€ 1.299,50"),
        ("ja", 1_299, "jpy", "¥1,299"),
        ("en-GB", 129_950, "usd", "US$1,299.50"),
        ("de", 1_250, "kwd", "1,250 KWD"),
        ("de", 1_250, "mmk", "12,50 MMK"),  # CLDR has no decimals of it, Stripe has two
        ("de-XX", 129_950, "eur", "1.299,50 €"),
        (["sv", "de"], 129_950, "eur", "1.299,50 €"),
        (None, 129_950, "eur", "€1,299.50"),
        ("sv", 129_950, "eur", "€1,299.50"),
        ([], 129_950, "eur", "€1,299.50"),
        ("../../etc", 129_950, "eur", "€1,299.50"),
    ],
)
def test_money(locale: Any, amount: int, currency: str, says: str) -> None:
    assert re.sub(r"\s", " ", money(amount, currency, locale)).replace("￥", "¥") == says


@given(
    st.integers(-10_000_000, 10_000_000),
    st.sampled_from(["eur", "jpy", "kwd", "huf", "mmk"]),
    st.sampled_from(sorted(LANGUAGES)),
)
def test_no_language_loses_or_moves_a_digit(amount: int, currency: str, language: str) -> None:
    shown = money(amount, currency, language)
    assert int("".join(re.findall(r"\d", shown))) == abs(amount)
    assert ("-" in shown) is (amount < 0)


@pytest.mark.parametrize(
    ("locale", "says"),
    [
        ("de", "14. November 2023"),
        ("en", "November 14, 2023"),
        ("en-GB", "14 November 2023"),
        ("es", "14 de noviembre de 2023"),
        ("fr", "14 novembre 2023"),
        ("it", "14 novembre 2023"),
        ("ja", "2023年11月14日"),
        ("nl", "14 november 2023"),
        ("pt", "14 de novembro de 2023"),
        (None, "14 November 2023"),
        ("sv", "14 November 2023"),
    ],
)
def test_days(locale: str | None, says: str) -> None:
    assert date(1_700_000_000, locale=locale) == says


def test_a_zone_says_whose_day_it_is() -> None:
    late = "2023-11-14T23:30:00Z"
    assert date(late) == "14 November 2023"
    assert date(late, zone="Europe/Berlin") == "15 November 2023"
    assert date(late, zone="America/New_York", locale="de") == "14. November 2023"
    assert date(late, "%H:%M", zone="Asia/Tokyo") == "08:30"


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../../etc/passwd", "", "Europe", 5])
def test_what_is_no_zone(zone: Any) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        date(1_700_000_000, zone=zone)


@pytest.mark.parametrize("wanted", [5, {"a": 1}, [5]])
def test_what_is_no_locale(wanted: Any) -> None:
    with pytest.raises(ValueError, match="a locale is a text"):
        locale_of(wanted)


@pytest.fixture(scope="module")
def localized(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """A receipt of a team's own: a row a line, its name and its amount."""
    folder = tmp_path_factory.mktemp("own")
    row = "{{ row.name }}={{ row.amount | money(object.currency, to) }}"
    write(folder, "own", txt=f"{{% for row in object | bill %}}\n{row}\n{{% endfor %}}")
    return Templates(TemplateFolders(folder))


@settings(max_examples=150, deadline=None)
@given(invoices(), st.sampled_from(["de", "fr-CA", "es", "it", "ja"]))
def test_what_a_receipt_prints_in_another_language_adds_up(
    localized: Templates, invoice: dict[str, Any], locale: str
) -> None:
    sums: Counter[str] = Counter()
    for line in localized.render("own", {"object": invoice, "to": locale}).text.splitlines():
        name, _, shown = line.partition("=")
        sums[name] += int("".join(re.findall(r"\d", shown))) * (-1 if "-" in shown else 1)
    items = sums["line"] + sums["more"]
    assert items + sums["discount"] + sums["tax"] == sums["total"] == invoice["total"]
    balance = sums["credit"] + sums["brought_forward"] + sums["carried_forward"]
    assert sums["total"] + balance == sums["paid"] + sums["open"] == invoice["amount_due"]
    assert sums["paid"] == invoice["amount_paid"]


async def test_they_work_where_templates_are_rendered(tmp_path: Path) -> None:
    txt = "{{ 1250 | money('eur', locales) }}, {{ 1700000000 | date(locale=locales, zone='Europe/Berlin') }}"
    write(tmp_path, "own", txt=txt)
    renderer = Renderer(TemplateFolders(tmp_path))
    try:
        done = await renderer.render("own", {"locales": ["de-AT"]})
    finally:
        await renderer.close()
    assert done.text.replace("\xa0", " ") == "€ 12,50, 14. November 2023"
