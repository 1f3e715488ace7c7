"""What templates may call on Stripe's values: money and dates."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from jinja2 import Undefined

from postroom.channels.email.locales import locale_of, localized_date, localized_money, zone_of

if TYPE_CHECKING:
    from babel import Locale

# Stripe's currencies without a minor unit, and with three digits. All others have two.
_ZERO_DECIMAL = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THREE_DECIMAL = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
# Stripe counts these in hundredths although nobody pays with them: shown without.
_WHOLE_IN_HUNDREDTHS = frozenset(["ISK", "UGX"])
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}


def money(amount: object, currency: object, locale: object = None, *, otherwise: str | None = None) -> str:
    """An amount in Stripe's minor units as people write it: `money(1250, "eur")` is `€12.50`.

    `locale`: as `locale_of` takes it; where it finds none, `otherwise` counts, which is the mail's.

    Errors: `ValueError` when the amount is no whole number or the currency no code of three letters.
    """
    _check_defined(amount, currency, locale)
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise ValueError("money needs an amount in whole minor units")  # noqa: TRY004 - shown to the template's author
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha():
        raise ValueError("money needs a currency of three letters")
    return _written(amount, currency.upper(), locale_of(locale) or locale_of(otherwise))


@lru_cache(maxsize=2_000)
def _written(amount: int, code: str, locale: Locale | None) -> str:
    """Kept, for a plan's price stands in a thousand mails, and several times in each."""
    exponent = 0 if code in _ZERO_DECIMAL else 3 if code in _THREE_DECIMAL else 2
    shown = 0 if code in _WHOLE_IN_HUNDREDTHS else exponent
    number = Decimal(amount).scaleb(-exponent)
    if locale:
        return localized_money(number, code, shown, locale)
    value = f"{abs(number):,.{shown}f}"
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SYMBOLS[code]}{value}" if code in _SYMBOLS else f"{sign}{value} {code}"


def date(
    value: object,
    form: str | None = None,
    *,
    locale: object = None,
    zone: object = None,
    otherwise: str | None = None,
) -> str:
    """Seconds since 1970 or ISO 8601 text, as a day: `23 November 2026`; `form` is strftime's.

    A text without a time zone is taken for UTC. `locale`: as `locale_of` takes it; where it finds none,
    `otherwise` counts, which is the mail's, and `form` goes before it. `zone`: whose day it is,
    `Europe/Berlin`; UTC without.

    Errors: `ValueError` when the value is neither, and for an unknown zone.
    """
    _check_defined(value, locale, zone)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("date needs seconds since 1970 or an ISO 8601 text")  # noqa: TRY004 - as above
    there = None if zone is None else str(zone)
    return _day(value, form, there, locale_of(locale) or locale_of(otherwise))


@lru_cache(maxsize=200)
def _day(value: int | float | str, form: str | None, zone: str | None, locale: Locale | None) -> str:
    """Kept, for the day of its payment stands three times in a mail."""
    there = zone_of(zone)
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        else:
            moment = datetime.fromtimestamp(value, UTC)
        moment = moment.astimezone(there)
    except (ValueError, OverflowError, OSError):
        raise ValueError("date needs seconds since 1970 or an ISO 8601 text") from None
    if form:
        return moment.strftime(form)
    return localized_date(moment.date(), locale) if locale else f"{moment.day} {moment:%B %Y}"


def _check_defined(*values: object) -> None:
    """With strict undefined values, printing what is missing raises the error that names it."""
    for value in values:
        if isinstance(value, Undefined):
            str(value)
