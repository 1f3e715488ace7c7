"""What waits or is dead and cannot be opened here, or is not to be believed, as far as it is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from postroom.base.db import Connection, query
from postroom.base.encryption_keys import REQUIRED_SETTING, SETTING
from postroom.encryption.keyring import Keyring, Required
from postroom.health.findings import Finding, error, warning

_IN_USE: Final = query(__package__, "list_keys_in_use")
_OPEN_SECRETS: Final = query(__package__, "count_open_secrets")


async def check_keys(conn: Connection, keyring: Keyring) -> list[Finding]:
    """Looks at 2,000 of what waits and of what is dead."""
    rows = await conn.fetch(_IN_USE)
    missing, left_open = Counter[str](), Counter[str]()
    for row in rows:
        if not row["key"]:
            left_open[row["channel"]] += row["count"]
        elif row["key"] not in keyring.names:
            missing[row["key"]] += row["count"]
    found = list(_missing(missing))
    if keyring.required is not None:
        found += _open(left_open, keyring.required)
    if keyring.derives:
        found += _secrets(await conn.fetchval(_OPEN_SECRETS), refused=keyring.refuses_open())
    return found


def _missing(counts: Counter[str]) -> Iterator[Finding]:
    for key, count in counts.items():
        yield error(
            "encryption",
            f"{count} waiting or dead messages are encrypted with the key {key!r}, not in {SETTING}; "
            "give it to every process, and what waits goes out",
            "postroom encryption status",
        )


def _open(counts: Counter[str], required: Required) -> Iterator[Finding]:
    count = sum(n for channel, n in counts.items() if channel not in required.open_channels)
    if not count:
        return
    told = f"{count} waiting or dead messages are not encrypted"
    if required.refuses():
        yield error(
            "encryption",
            f"{told}, which {REQUIRED_SETTING} refuses: somebody publishes by SQL, or writes to the database",
            "postroom dead-letter list --cause ours",
        )
    else:
        since = f"{required.since:%Y-%m-%d %H:%M %Z}"
        yield warning("encryption", f"{told}, and will be refused from {since}", "postroom encryption rotate")


def _secrets(count: int, *, refused: bool) -> Iterator[Finding]:
    if count and refused:
        yield error(
            "encryption",
            f"{count} signing secrets are not encrypted, so nothing is signed with them: make new ones",
            "postroom endpoint list",
        )
    elif count:
        yield warning(
            "encryption", f"{count} signing secrets are not encrypted", "postroom encryption rotate"
        )
