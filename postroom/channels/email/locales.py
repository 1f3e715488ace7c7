"""Money and days as people of a language write them; the data are those of Unicode's CLDR, from Babel."""

from __future__ import annotations

import copy
from datetime import UTC, date, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:  # late: most mails are in the language of their template
    from babel import Locale

LANGUAGES: Final = frozenset(["de", "en", "es", "fr", "it", "ja", "nl", "pt"])
"""With their countries 30 MB of memory; all that Babel has are 200, of the 512 that a rendering may have."""


def locale_of(wanted: object) -> Locale | None:
    """The first locale that is one of `LANGUAGES`, of a text (`de`, `de-AT`, `de_AT`) or of several.

    A country that is unknown counts as none. None where nothing fits, so that no customer's language
    fails a mail. Errors: `ValueError` for what is neither text, a list of it, nor None.
    """
    several = wanted if isinstance(wanted, list | tuple) else [] if wanted is None else [wanted]
    for each in several:
        if not isinstance(each, str):
            raise ValueError("a locale is a text such as de or de-AT, or a list of them")  # noqa: TRY004 - shown to the template's author
        parts = each.replace("_", "-").split("-")
        language = parts[0].lower()
        if language in LANGUAGES:
            return _parsed(language, parts[-1].upper() if len(parts) > 1 else None)
    return None


@lru_cache(maxsize=500)
def _parsed(language: str, country: str | None) -> Locale:
    from babel import Locale, UnknownLocaleError

    try:
        return Locale(language, country)
    except (UnknownLocaleError, ValueError):
        return Locale(language)


def tag_of(locale: Locale) -> str:
    """As it is written in HTML: `de-AT`."""
    return "-".join(filter(None, (locale.language, locale.territory)))


def zone_of(name: object) -> tzinfo:
    """UTC for None. Errors: `ValueError` for what is no name of a time zone."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (LookupError, OSError, ValueError):
        raise ValueError(f"{str(name)[:100]!r} is no time zone such as Europe/Berlin") from None


@lru_cache(maxsize=500)
def localized_money(value: Decimal, code: str, digits: int, locale: Locale) -> str:
    """`digits` are Stripe's: CLDR has fewer for some currencies, and would round."""
    pattern = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return str(pattern.apply(value, locale, currency=code, currency_digits=False))


@lru_cache(maxsize=500)
def localized_date(day: date, locale: Locale) -> str:
    """The long form: `14. November 2023`."""
    from babel.dates import format_date

    return format_date(day, "long", locale=locale)
