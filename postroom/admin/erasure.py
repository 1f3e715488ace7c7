"""Erasing one person: their address is looked for in the whole ledger, and what holds it is emptied."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict, dataclass, field
from typing import Final
from uuid import UUID

from postroom.admin import audit
from postroom.admin.audit import Actor, record
from postroom.base.db import Connection, Transactions
from postroom.base.errors import InvalidInput
from postroom.channels.email.address import mask, recipient
from postroom.channels.email.suppressions import is_suppressed
from postroom.channels.exports.replace_store import search_files
from postroom.channels.exports.store import erase_records
from postroom.channels.stripe.erasure import erase_bodies, erase_objects
from postroom.channels.webhooks.erasure import erase_texts
from postroom.encryption.keyring import NO_KEYS, Keyring
from postroom.outbox.ledger import erasure as ledger
from postroom.outbox.store import cancel_message

BATCH_MAX: Final = 2_000
TRAIL_BATCH_MAX: Final = 10_000
LISTED_MAX: Final = 1_000
ADDRESS_LENGTH_MAX: Final = 320
START: Final = UUID(int=0)


@dataclass(slots=True)
class ErasureReport:
    """What was erased, and what a person still has to do.

    `export_files`: files in storage that hold a record of this person. The job `export-files` makes new ones
    without it, and looks for the address in older ones, too.
    `open_messages`: left alone because they wait or are being sent; erase again once they ended.
    `endpoints`: those whose url or tenant holds the address; a person changes them.
    `suppressed`: the address stays on the list of those never to mail, until somebody removes it.
    `unreadable`: encrypted messages and objects that no configured key opens; nobody could look into them.
    `resume_after`: set when time ran out; the same call with it goes on.
    """

    messages: int = 0
    dead_letters: int = 0
    attempts: int = 0
    cancelled: int = 0
    stripe_objects: int = 0
    audit_entries: int = 0
    replays: int = 0
    export_files: list[str] = field(default_factory=list)
    open_messages: list[UUID] = field(default_factory=list)
    endpoints: list[UUID] = field(default_factory=list)
    suppressed: bool = False
    unreadable: int = 0
    resume_after: UUID | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """One address: how it is kept, how a text is searched for it, and how the audit trail names it.

    `pattern` is PostgreSQL's, `opened` the same for what this process opened; `local` and `domains` are what
    they are made of.
    """

    address: str
    local: str
    domains: tuple[str, ...]
    pattern: str
    opened: re.Pattern[str]
    shown: str


def person(email: str) -> Person:
    """Errors: `InvalidPayload` for field `email`.

    The pattern finds the address in any case, percent-encoded, and after an escaped line break;
    never as a part of a longer one. `ada+news@…` is another address.
    """
    if len(email) > ADDRESS_LENGTH_MAX:
        raise InvalidInput(f"an address has at most {ADDRESS_LENGTH_MAX} characters", field="email")
    found = recipient(email, field="email")
    local, domain = found.username, found.domain
    domains = tuple(sorted({domain, _unicode(domain)}))
    forms = "|".join(re.escape(each) for each in domains)
    core = rf"{re.escape(local)}(@|%40)({forms})"
    pattern = rf"((?<![[:alnum:]._%+'-])|(?<=\\[nrtbf])){core}(?![[:alnum:]-]|\.[[:alnum:]])"
    opened = rf"(?:(?<![^\W_])(?<![._%+'-])|(?<=\\[nrtbf])){core}(?![^\W_]|-|\.[^\W_])"
    return Person(
        address=found.addr_spec.lower(),
        local=local,
        domains=domains,
        pattern=pattern,
        opened=re.compile(opened, re.IGNORECASE),
        shown=mask(found.addr_spec),
    )


async def erase(
    transactions: Transactions,
    *,
    who: Person,
    cancel_open: bool = False,
    after: UUID = START,
    time_max_s: float,
    keyring: Keyring = NO_KEYS,
    actor: Actor,
) -> ErasureReport:
    """Empty every message that holds the address, its attempts, letters and places in export files, and take
    it out of the trail, of what replays were asked for, and of the texts of endpoints.

    Walks the ledger in batches, each its own transaction with its own audit entry, so that it
    holds no lock for long and can go on where it stopped. `cancel_open` cancels what waits;
    otherwise that is listed and left alone: nothing is lost because somebody else was erased.
    """
    report = ErasureReport()
    ends_at = asyncio.get_running_loop().time() + time_max_s
    while asyncio.get_running_loop().time() < ends_at:
        async with transactions() as conn:
            mark = await ledger.fetch_batch_end(conn, after, batch_max=BATCH_MAX)
            if mark is None:
                break
            batch = await _erase_batch(conn, who, after, mark, keyring, cancel_open=cancel_open)
            if batch.messages or batch.attempts:
                await _record(conn, actor, "erasure.batch", who, batch)
        _add(report, batch)
        after = mark
    if not await _erase_trail(transactions, who, report, ends_at):
        report.resume_after = after
        return report
    async with transactions() as conn:
        return await _finish(conn, who, report, keyring, actor)


async def _erase_trail(
    transactions: Transactions, who: Person, report: ErasureReport, ends_at: float
) -> bool:
    """Returns: whether it came to the end of the trail in time."""
    after = 0
    while asyncio.get_running_loop().time() < ends_at:
        async with transactions() as conn:
            found = await audit.erase_address(
                conn, local=who.local, domains=who.domains, after=after, batch_max=TRAIL_BATCH_MAX
            )
        if found is None:
            return True
        after, count = found
        report.audit_entries += count
    return False


async def _erase_batch(
    conn: Connection, who: Person, after: UUID, mark: UUID, keyring: Keyring, *, cancel_open: bool
) -> ErasureReport:
    batch = ErasureReport()
    encrypted, batch.unreadable = await ledger.find_encrypted(conn, after, mark, who.opened, keyring)
    found = await ledger.find_messages(conn, after, mark, who.pattern, encrypted)
    if cancel_open:
        for row in found:
            if row["is_open"]:
                batch.cancelled += await cancel_message(conn, message_id=row["id"])
        found = await ledger.find_messages(conn, after, mark, who.pattern, encrypted)
    batch.open_messages = [row["id"] for row in found if row["is_open"]]
    ended = [row["id"] for row in found if not row["is_open"]]
    batch.messages, batch.dead_letters, batch.attempts = await ledger.erase_messages(
        conn, after, mark, who.pattern, ended
    )
    await erase_bodies(conn, ended)
    batch.export_files = await erase_records(conn, message_ids=ended)
    return batch


async def _finish(
    conn: Connection, who: Person, report: ErasureReport, keyring: Keyring, actor: Actor
) -> ErasureReport:
    report.stripe_objects, unreadable = await erase_objects(conn, who.pattern, who.opened, keyring)
    report.unreadable += unreadable
    report.replays = await ledger.erase_replays(conn, who.pattern)
    report.endpoints = await erase_texts(conn, who.pattern, listed_max=LISTED_MAX)
    await search_files(conn, pattern=who.opened.pattern)
    report.suppressed = await is_suppressed(conn, who.address)
    await _record(conn, actor, "erasure.done", who, report)
    return report


async def _record(conn: Connection, actor: Actor, action: str, who: Person, report: ErasureReport) -> None:
    detail = {
        name: value if isinstance(value, int) else len(value)
        for name, value in asdict(report).items()
        if name != "resume_after"
    }
    await record(conn, actor, action, who.shown, **detail)


def _add(report: ErasureReport, batch: ErasureReport) -> None:
    report.messages += batch.messages
    report.dead_letters += batch.dead_letters
    report.attempts += batch.attempts
    report.cancelled += batch.cancelled
    report.unreadable += batch.unreadable
    report.export_files = sorted({*report.export_files, *batch.export_files})[:LISTED_MAX]
    report.open_messages = [*report.open_messages, *batch.open_messages][:LISTED_MAX]


def _unicode(domain: str) -> str:
    try:
        return domain.encode("ascii").decode("idna")
    except UnicodeError:
        return domain
