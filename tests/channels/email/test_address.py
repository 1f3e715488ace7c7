"""Addresses: what goes the short way is what the library says of it."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from postroom.base.errors import InvalidPayload
from postroom.channels.email import address

LOCAL = st.text("aZ0_+-.", min_size=1, max_size=70)
LABEL = st.text("aZ0-_.", max_size=66)
DOMAIN = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


@given(LOCAL, DOMAIN)
@example("a" * 64, "example.com")
@example("a" * 65, "example.com")
@example("a.b", ".".join(["d" * 60] * 4) + ".com")
@example("a", "EXAMPLE.com")
@example("a", "localhost")
@example("a", "xn--bcher-kva.example")
@example("a", "127.0.0.1")
@example("a..b", "example.com")
def test_a_plain_address_is_what_the_library_says(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    try:
        valid = validate_email(
            text, check_deliverability=False, allow_display_name=True, test_environment=True
        )
    except EmailNotValidError:
        with pytest.raises(InvalidPayload, match="no email address"):
            address.recipient(text, field="to")
        return
    for _ in range(2):  # the second time from memory
        found = address.recipient(text, field="to")
        assert (found.display_name, found.username, found.domain) == (
            "",
            valid.local_part,
            valid.ascii_domain,
        )
