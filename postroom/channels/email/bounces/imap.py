"""The mailbox to which reports come, read by IMAP.

By the standard library, in a thread: a run a minute has no use for an event loop, and of the asynchronous
libraries the one that is kept is under the GPL.
"""

from __future__ import annotations

import asyncio
import imaplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from postroom.base.errors import SettingsInvalid, Unavailable
from postroom.base.secret_rules import is_local
from postroom.base.tls import verified_context
from postroom.channels.email.target import CA_SETTING

TIMEOUT_S: Final = 20.0
MAIL_BYTES_MAX: Final = 131_072
"""What is read of a mail: reports come first, and what they return follows."""
NEWEST_MAX: Final = 50_000
"""Unread mails are looked for among so many of the newest, so that the answer stays within imaplib's line."""
_FORMS: Final = "imaps://user:password@host/FOLDER or imap+starttls://user:password@host/FOLDER"
_OURS: Final = "POSTROOM_EMAIL__BOUNCES_URL"

T = TypeVar("T")


class Tls(StrEnum):
    NONE = "imap"
    IMPLICIT = "imaps"
    STARTTLS = "imap+starttls"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a mailbox. `context` verifies certificates and host names, always."""

    tls: Tls
    host: str
    port: int
    user: str
    password: SecretStr
    folder: str
    context: ssl.SSLContext = field(repr=False)


def parse_place(url: SecretStr, *, tls_ca: Path | None) -> Place:
    """Errors: `SettingsInvalid`, whose texts never hold the url."""
    parts = urlsplit(url.get_secret_value().strip())
    try:
        tls, port, host = Tls(parts.scheme), parts.port, parts.hostname
    except ValueError:
        raise SettingsInvalid([f"{_OURS}: not one of the forms {_FORMS}"]) from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    folder = unquote(parts.path.removeprefix("/")) or "INBOX"
    if not (host and user and password) or parts.query or parts.fragment:
        raise SettingsInvalid([f"{_OURS}: not one of the forms {_FORMS}"])
    if not (user + password + folder).isprintable() or not folder.isascii():
        raise SettingsInvalid([f"{_OURS}: a control character, or a folder's name outside ASCII"])
    if tls is Tls.NONE and not is_local(host):
        raise SettingsInvalid(
            [f"{_OURS}: the password would go unencrypted; write {_FORMS} (imap:// is for this machine only)"]
        )
    default_port = 993 if tls is Tls.IMPLICIT else 143
    context = verified_context(tls_ca, setting=CA_SETTING)
    return Place(tls, host, port or default_port, user, SecretStr(password), folder, context)


class Mailbox:
    """One session. Does not promise to see what somebody else has read: only unread mail is looked at."""

    def __init__(self, client: imaplib.IMAP4, count: int) -> None:
        self._client = client
        self._count = count

    async def list_unread(self) -> list[bytes]:
        """Their ids, the oldest first, of the `NEWEST_MAX` newest mails. Errors: `Unavailable`."""
        if not self._count:
            return []
        since = max(1, self._count - NEWEST_MAX + 1)
        answers = await self._ask("SEARCH", f"{since}:*", "UNSEEN")
        return [id_ for each in answers if isinstance(each, bytes) for id_ in each.split()]

    async def fetch(self, ids: Sequence[bytes]) -> list[bytes]:
        """The first `MAIL_BYTES_MAX` of each that is still there; they stay unread. Errors: `Unavailable`."""
        answers = await self._ask("FETCH", _listed(ids), f"(BODY.PEEK[]<0.{MAIL_BYTES_MAX}>)")
        return [each[1] for each in answers if isinstance(each, tuple)]

    async def mark_read(self, ids: Sequence[bytes]) -> None:
        r"""Flag them `\Seen`; they stay where they are. Errors: `Unavailable`."""
        await self._ask("STORE", _listed(ids), "+FLAGS.SILENT", r"(\Seen)")

    async def _ask(self, command: str, *words: str) -> list[Any]:
        return await _in_thread(lambda: _answer(self._client.uid(command, *words)))


@asynccontextmanager
async def open_mailbox(place: Place) -> AsyncIterator[Mailbox]:
    """Connect, log in, select the folder. Errors: `Unavailable`, which says what is wrong and no secret."""
    client = await _in_thread(lambda: _connect(place))
    try:
        yield Mailbox(*await _in_thread(lambda: _enter(client, place)))
        await _in_thread(client.logout)
    finally:
        with suppress(OSError):  # closed already
            client.socket().shutdown(socket.SHUT_RDWR)  # a thread that still waits for an answer wakes up
            await asyncio.to_thread(client.shutdown)


def _connect(place: Place) -> imaplib.IMAP4:
    if place.tls is Tls.IMPLICIT:
        return imaplib.IMAP4_SSL(place.host, place.port, ssl_context=place.context, timeout=TIMEOUT_S)
    return imaplib.IMAP4(place.host, place.port, timeout=TIMEOUT_S)


def _enter(client: imaplib.IMAP4, place: Place) -> tuple[imaplib.IMAP4, int]:
    if place.tls is Tls.STARTTLS:
        client.starttls(place.context)
    # By AUTHENTICATE where it is offered, for LOGIN knows ASCII only.
    login, password = place.user, place.password.get_secret_value()
    if "AUTH=PLAIN" in client.capabilities:
        client.authenticate("PLAIN", lambda _: f"\0{login}\0{password}".encode())
    else:
        client.login(login, password)
    quoted = place.folder.replace("\\", r"\\").replace('"', r"\"")
    counts = _answer(client.select(f'"{quoted}"'))
    return client, int(counts[-1])


def _answer(told: tuple[str, list[Any]]) -> list[Any]:
    """Errors: `imaplib.IMAP4.error` with the server's words."""
    if told[0] != "OK":
        raise imaplib.IMAP4.error(told[1][0])
    return told[1]


async def _in_thread(call: Callable[[], T]) -> T:
    """Errors: `Unavailable`."""
    try:
        return await asyncio.to_thread(call)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(f"the mailbox's certificate cannot be verified: {error.verify_message}") from None
    except TimeoutError:
        raise Unavailable(f"the mailbox did not answer within {TIMEOUT_S:g} s") from None
    except (imaplib.IMAP4.error, OSError, UnicodeError) as error:
        said = error.args[0] if error.args else ""
        words = said.decode(errors="replace") if isinstance(said, bytes) else str(error)
        raise Unavailable(f"the mailbox cannot be read: {words[:200]}") from None


def _listed(ids: Sequence[bytes]) -> str:
    return b",".join(ids).decode("ascii")
