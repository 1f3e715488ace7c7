"""How values look on a page: times, counts, durations, payloads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup, escape

from postroom.base.durations import span
from postroom.base.foreign_text import visible as visible


def ago(moment: datetime | None, never: str = "never") -> Markup:
    """A time as `3 min ago` or `in 2 h`, with the exact one on hover and for machines."""
    if moment is None:
        return escape(never)
    exact = moment.astimezone(UTC)
    left_s = (exact - datetime.now(UTC)).total_seconds()
    text = f"in {span(left_s)}" if left_s >= 1 else f"{span(-left_s)} ago" if left_s <= -1 else "now"
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(
        exact.isoformat(timespec="milliseconds"), f"{exact:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC", text
    )


def exact_time(moment: datetime | None) -> Markup:
    """A time to the millisecond, for a timeline."""
    if moment is None:
        return Markup("")
    exact = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="milliseconds"),
        f"{exact:%Y-%m-%d %H:%M:%S.%f} UTC",
        f"{exact:%H:%M:%S.%f}"[:-3],
    )


def milliseconds(value: int | None) -> str:
    """A measured length: one that rounds to nothing was still there."""
    return "–" if value is None else span(value / 1000) if value else "<1 ms"


def count(value: int, cap: int | None = None) -> str:
    """A number with thin thousands; one that stopped at `cap` says so."""
    if cap is not None and value >= cap:
        return f"{cap:,}+".replace(",", "\u202f")
    return f"{value:,}".replace(",", "\u202f")


def rate(per_s: float | None) -> str:
    if per_s is None:
        return "–"
    if per_s == 0:
        return "0/s"
    if per_s < 0.1:
        return f"{per_s * 60:.1f}/min"
    return f"{per_s:.1f}/s" if per_s < 10 else f"{per_s:,.0f}/s".replace(",", "\u202f")


def breakable(text: object, length_max: int = 200) -> Markup:
    """A dotted name that may break behind its dots."""
    return Markup(".<wbr>").join(escape(part) for part in visible(text, length_max).split("."))


def pretty(value: Any) -> str:
    """A payload as indented JSON, with hidden characters made visible."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return visible(text, 300_000)


def short(value: object) -> str:
    """The end of an id: ids made in one moment begin alike."""
    text = str(value)
    return text if len(text) <= 12 else "…" + text[-8:]


def url_query(values: dict[str, Any], **changes: Any) -> str:
    """`?…` of the filters that are set, with changes; nothing when none is."""
    chosen = {name: value for name, value in {**values, **changes}.items() if value not in (None, "")}
    return "?" + urlencode(chosen, doseq=True) if chosen else ""
