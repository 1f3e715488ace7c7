"""Mail addresses: checked before they come near a header or an SMTP command, masked in reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.errors import MessageError
from email.headerregistry import Address
from functools import lru_cache

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from postroom.base.errors import InvalidPayload

CHARACTERS_MAX = 450
"""With its name, escaped, it fits on one line of a header."""

PLAIN_CHARACTERS_MAX = 254
"""Of an address without a name (RFC 5321, 4.5.3.1)."""
# What the library takes as it stands; it looks at the domain.
_PLAIN = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
# Bounded, so that a server's long answer cannot make the search slow.
_ADDRESS = re.compile(r"""([^\s<>@,;:"'])[^\s<>@,;:"']{0,128}@([A-Za-z0-9.-]{1,255})""")


def refuse_line_breaks(text: str, *, field: str) -> str:
    """The text itself. Errors: `InvalidPayload` where it could open a header or a command of its own."""
    if _CONTROL.search(text):
        raise InvalidPayload(f"{field} holds a line break or another control character", field=field)
    return text


def recipient(text: str, *, field: str) -> Address:
    """Parse `a@example.com` or `Ann <a@example.com>`; the domain comes out in ASCII.

    Never asks DNS. Errors: `InvalidPayload` naming the field, never the address.
    """
    refuse_line_breaks(text, field=field)
    if len(text) > CHARACTERS_MAX:
        raise InvalidPayload(f"{field} is longer than {CHARACTERS_MAX} characters", field=field)
    try:
        if (plain := _PLAIN.fullmatch(text)) and len(text) <= PLAIN_CHARACTERS_MAX:
            return Address("", plain[1], _ascii_domain(plain[2]))
        valid = _validated(text)
    except EmailNotValidError as error:
        raise InvalidPayload(f"{field} is no email address: {mask(str(error))}", field=field) from None
    return Address(valid.display_name or "", valid.local_part, valid.ascii_domain)


@lru_cache(maxsize=1_000)
def _ascii_domain(domain: str) -> str:
    """Kept, for most customers share their domain with many. Errors: `EmailNotValidError`, which is not."""
    return _validated(f"a@{domain}").ascii_domain


def _validated(text: str) -> ValidatedEmail:
    return validate_email(text, check_deliverability=False, allow_display_name=True, test_environment=True)


def domain_of(text: str) -> str | None:
    """The domain of an address as `recipient` would have it, in lower case; None where there is none."""
    domain = text.strip().removesuffix(">").rpartition("@")[2].strip().lower()
    if domain.isascii():
        return domain or None
    try:
        return recipient(text, field="to").domain.lower()
    except InvalidPayload:
        return None


def sender(text: str) -> Address:
    """Parse the configured sender. Hosts without a dot are fine here: it is the operator's own.

    Errors: `ValueError` with a text that is safe to show.
    """
    name, _, spec = text.strip().rpartition("<")
    if _CONTROL.search(text):
        raise ValueError("it holds a line break or another control character")
    try:
        address = Address(name.strip().strip('"'), addr_spec=spec.removesuffix(">").strip())
    except (ValueError, IndexError, MessageError):
        raise ValueError("it is no email address") from None
    if not address.username or not address.domain or not address.addr_spec.isascii():
        raise ValueError("it is no email address in ASCII")
    return address


def mask(text: str) -> str:
    """Cut the local part of every address in the text: `ann@example.com` becomes `a***@example.com`."""
    return _ADDRESS.sub(r"\1***@\2", text)


def mask_these(text: str, addresses: Iterable[str]) -> str:
    """Cut the local part of these addresses. What else looks like one may be an id: `<42.ab@mx.example>`."""
    either = "|".join(map(re.escape, addresses))
    return re.sub(either, lambda found: mask(found[0]), text, flags=re.IGNORECASE)
