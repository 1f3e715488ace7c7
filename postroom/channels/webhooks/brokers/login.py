"""The login of a broker: what the secret of its endpoint says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from postroom.base.errors import InvalidInput

CHARACTERS_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class Login:
    """`user` is empty where there is only a token."""

    user: str
    password: SecretStr


def read_login(secret: SecretStr | None) -> Login | None:
    """`user:password`, or a token, which has no colon. None where the broker asks for none."""
    text = secret.get_secret_value() if secret is not None else ""
    if not text:
        return None
    user, colon, password = text.partition(":")
    return Login(user, SecretStr(password)) if colon else Login("", SecretStr(text))


def check_login(secret: SecretStr) -> None:
    """Errors: `InvalidInput` for field `secret`, which never repeats it."""
    text = secret.get_secret_value()
    if len(text) > CHARACTERS_MAX or not text.isprintable():
        raise InvalidInput(
            f"a login is user:password or a token, in one line of at most {CHARACTERS_MAX:,} characters",
            field="secret",
        )
