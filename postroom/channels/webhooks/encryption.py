"""Signing secrets at rest: each encrypted for its table, column and row, so that none stands in for another.

Keys of before, which derive none, leave them as they are: a process of before could not read them.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pydantic import SecretStr

from postroom.base.db import Record, query
from postroom.encryption.keyring import PREFIX, Keyring
from postroom.encryption.tables import EncryptedTable

SECRET: Final = "secret"  # noqa: S105  the name of a column
PREVIOUS: Final = "previous_secret"
DEPLOYMENT: Final = None
"""In the place of an endpoint's id: the deployment's own secret, which signs for all urls of payloads."""


def encrypt_secret(secret: SecretStr, keyring: Keyring, *, row: UUID | None, column: str = SECRET) -> str:
    """A secret as it is kept. `row`: the endpoint's id, or `DEPLOYMENT`."""
    text = secret.get_secret_value()
    return keyring.encrypt(text.encode(), about=_about(row, column)) if keyring.derives else text


def open_secret(kept: str, keyring: Keyring, *, row: UUID | None, column: str = SECRET) -> SecretStr:
    """Errors: `Unreadable`."""
    if kept.startswith(PREFIX):
        return SecretStr(keyring.open(kept, about=_about(row, column)).decode())
    keyring.check_open()
    return SecretStr(kept)


def _about(row: UUID | None, column: str) -> str:
    return f"signing_secret:{column}" if row is None else f"endpoint:{column}:{row}"


def _encrypt_row(row: Record, keyring: Keyring) -> tuple[object, ...]:
    found: list[str | None] = []
    for column in (SECRET, PREVIOUS):
        kept, about = row[column], {"row": row["id"], "column": column}
        secret = None if kept is None else open_secret(kept, keyring, **about)
        found.append(None if secret is None else encrypt_secret(secret, keyring, **about))
    return row["key"], *found


ENDPOINTS: Final = EncryptedTable(
    name="endpoints",
    start=(UUID(int=0),),
    mark=query(__package__, "encryption_mark_endpoints"),
    rows=query(__package__, "encryption_list_endpoints"),
    counts=query(__package__, "encryption_count_endpoints"),
    encrypt=_encrypt_row,
    store=query(__package__, "encryption_store_endpoints"),
    secrets=True,
)
DEPLOYMENT_SECRET: Final = EncryptedTable(
    name="deployment_secret",
    start=(False,),
    mark=query(__package__, "encryption_mark_deployment"),
    rows=query(__package__, "encryption_list_deployment"),
    counts=query(__package__, "encryption_count_deployment"),
    encrypt=_encrypt_row,
    store=query(__package__, "encryption_store_deployment"),
    secrets=True,
)
