"""What the settings say for all mails: who sells, in which language and time zone. A part of each version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:  # the process that renders has no settings: pydantic would take most of its start
    from postroom.base.email_settings import EmailSettings

FILE: Final = "_settings.json"


class Seller(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str = ""
    address: str = ""
    tax_ids: tuple[str, ...] = ()


class MailDefaults(msgspec.Struct, frozen=True, omit_defaults=True):
    """`locale` and `zone`: None where the settings name none."""

    locale: str | None = None
    zone: str | None = None
    seller: Seller = Seller()

    def to_text(self) -> str:
        """Empty where nothing is set: a version is then its templates alone."""
        return "" if self == NONE else msgspec.json.encode(self).decode()


NONE: Final = MailDefaults()


def defaults_of(settings: EmailSettings) -> MailDefaults:
    seller = settings.seller
    return MailDefaults(settings.locale, settings.zone, Seller(seller.name, seller.address, seller.tax_ids))


def read_defaults(text: str) -> MailDefaults:
    """What `to_text` made. Errors: `ValueError`."""
    return msgspec.json.decode(text, type=MailDefaults) if text else NONE


def seller_of(defaults: MailDefaults, data: Mapping[str, Any]) -> Seller:
    """Who sells what a mail is about. An event of a connected account is about what that account sells."""
    event, about = data.get("event"), data.get("object")
    name = about.get("account_name") if isinstance(about, Mapping) else None
    if isinstance(event, Mapping) and event.get("account"):
        return Seller(name=str(name or ""))
    if defaults.seller.name:
        return defaults.seller
    return msgspec.structs.replace(defaults.seller, name=str(name or ""))
