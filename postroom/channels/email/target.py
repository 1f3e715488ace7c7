"""Where mail goes: the url of a mail server taken apart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from postroom.base.errors import SettingsInvalid
from postroom.base.secret_rules import is_local
from postroom.base.tls import verified_context

CA_SETTING = "POSTROOM_EMAIL__TLS_CA"
FORMS = "smtp://host:port, smtps://host:port or smtp+starttls://user:password@host:port"


class Tls(StrEnum):
    NONE = "smtp"
    IMPLICIT = "smtps"
    STARTTLS = "smtp+starttls"


_DEFAULT_PORT = {Tls.NONE: 25, Tls.IMPLICIT: 465, Tls.STARTTLS: 587}


@dataclass(frozen=True, slots=True)
class Target:
    """One mail server. `context` verifies certificates and host names; there is no way to turn that off."""

    host: str
    port: int
    tls: Tls
    username: str | None
    password: SecretStr | None
    context: ssl.SSLContext | None = field(repr=False)


def parse_target(url: SecretStr, *, tls_ca: Path | None, setting: str = "POSTROOM_EMAIL__URL") -> Target:
    """Read the url. Percent-encoded credentials are decoded.

    Errors: `SettingsInvalid`, whose texts name the setting and never hold the url.
    """

    def _fault(text: str) -> SettingsInvalid:
        return SettingsInvalid([f"{setting}: {text}"])

    parts = urlsplit(url.get_secret_value().strip())
    try:
        tls, port, host = Tls(parts.scheme), parts.port, parts.hostname
    except ValueError:
        raise _fault(f"not one of the forms {FORMS}") from None
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _fault(f"not one of the forms {FORMS}, without path or query")
    username = unquote(parts.username) if parts.username else None
    password = SecretStr(unquote(parts.password)) if parts.password is not None else None
    if (username is None) != (password is None):
        raise _fault("a user needs a password, and a password a user")
    if username is not None and tls is Tls.NONE and not is_local(host):
        raise _fault(
            "over smtp:// the password would go unencrypted; write smtp+starttls://user:password@host:587 or "
            "smtps://user:password@host:465 (smtp:// with a login is for this machine only)"
        )
    return Target(host, port or _DEFAULT_PORT[tls], tls, username, password, _context(tls, tls_ca))


def _context(tls: Tls, tls_ca: Path | None) -> ssl.SSLContext | None:
    if tls is Tls.NONE:
        return None
    return verified_context(tls_ca, setting=CA_SETTING)
