"""A table with something to encrypt: whoever owns it says how it is read, counted and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from postroom.base.db import Record
from postroom.encryption.keyring import Keyring


@dataclass(frozen=True, slots=True)
class EncryptedTable:
    """Read in batches along its key, which begins after `start`.

    `mark` finds the end of a batch, `rows` what in it the current key has not encrypted, `counts` how much
    lies under which key. `encrypt` makes of a row the parameters of `store`; it raises `Unreadable`.
    `secrets`: encrypted only under keys that derive.
    """

    name: str
    start: tuple[object, ...]
    mark: str
    rows: str
    counts: str
    encrypt: Callable[[Record, Keyring], tuple[object, ...]]
    store: str
    secrets: bool = False
