"""Whom mails come from: the deployment, or a tenant that has a sender of its own."""

from __future__ import annotations

from dataclasses import dataclass
from email.headerregistry import Address

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.channels.email import address


@dataclass(frozen=True, slots=True)
class Sender:
    """`reply_to`: where answers go, unless the mail itself says so."""

    address: Address
    reply_to: Address | None = None


class Senders:
    """Read once. Does not promise: that the mail server lets them pass; its DKIM and SPF must know them."""

    def __init__(self, settings: EmailSettings) -> None:
        """Errors: `SettingsInvalid`."""
        self._default = _sender("POSTROOM_EMAIL__FROM", settings.sender)
        self._of_tenants = {
            tenant: _sender(f"POSTROOM_EMAIL__SENDERS: {tenant}", each.sender, each.reply_to)
            for tenant, each in settings.senders.items()
        }

    def of(self, tenant: str) -> Sender:
        return self._of_tenants.get(tenant, self._default)


def _sender(setting: str, text: str, reply_to: str | None = None) -> Sender:
    try:
        return Sender(
            address.sender(text), address.recipient(reply_to, field="reply_to") if reply_to else None
        )
    except (ValueError, InvalidPayload) as error:
        raise SettingsInvalid([f"{setting}: {error}"]) from None
