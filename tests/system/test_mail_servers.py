"""Mail through a real Postfix, and its bounces back from a real Dovecot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import Unavailable
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.bounces import imap
from postroom.channels.email.bounces.job import bounces_job
from postroom.channels.email.bounces.return_path import return_path
from postroom.encryption.keyring import NO_KEYS
from postroom.health.bounces import check_bounces
from postroom.outbox.ledger.resend import resend
from postroom.outbox.model import Cause, Delivered, Message, Rejected, RetryLater, Trip
from postroom.worker.model import JobContext
from tests.factories.claims import make_claim
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.mail_servers import LOGIN, SIZE_MAX, URL_LOGIN, MailServers, killing, mail_servers, report
from tests.fixtures.roles import as_role, pool_as
from tests.processes.commands import environment

pytestmark = pytest.mark.needs("postconf", "dovecot")

WAIT_S: Final = 60.0
SECRET: Final = "a secret of the tests, for return paths"
NUMBERS: Final = count()
NOTED: Final = (
    "select provider, kind, permanent, recipient, reason from postroom.email_event order by at, kind"
)
SUPPRESSED: Final = "select address, reason from postroom.suppression order by address"
COUNTED: Final = "select label, sum(value)::int from postroom.tally where name = 'email_event' group by label"
STATES: Final = "select outcome from postroom.attempt order by ended_at"


@pytest.fixture(scope="module")
def servers() -> Iterator[MailServers]:
    with mail_servers() as servers:
        yield servers


@pytest.fixture
def bounces(servers: MailServers) -> Path:
    """The folder in which Dovecot finds what Postfix delivers there; empty for each test."""
    folder = servers.home / "mail" / LOGIN[0]
    for name in ("new", "cur"):
        for path in (folder / name).glob("*"):
            path.unlink()
    return folder


def settings_for(servers: MailServers, **more: object) -> EmailSettings:
    values = {
        "url": f"smtp://127.0.0.1:{servers.smtp}",
        "from": "Shop <shop@shop.test>",
        "timeout_s": 30.0,
        "tls_ca": servers.ca_file,
        "bounces_address": "*@back.shop.test",
        "bounces_secrets": SECRET,
        "bounces_url": f"imap://{URL_LOGIN}@127.0.0.1:{servers.imap}/INBOX",
    }
    return EmailSettings.model_validate({**values, **more})


@asynccontextmanager
async def opened(pool: Pool, settings: EmailSettings) -> AsyncIterator[EmailAdapter]:
    adapter = EmailAdapter(settings=settings, pool=pool_as(pool, "runner"), clock=SystemClock())
    try:
        yield adapter
    finally:
        await adapter.close()


async def try_once(pool: Pool, settings: EmailSettings, **payload: object) -> Any:
    body = {"to": "ann@shop.test", "subject": "Hello", "text": "Good day", **payload}
    async with opened(pool, settings) as adapter:
        return await adapter.deliver(
            make_claim(message_id=uuid4(), destination="email", payload=json.dumps(body))
        )


async def test_postfix_takes_a_mail_and_dovecot_has_it(pool: Pool, servers: MailServers) -> None:
    subject = f"Übung {uuid4()}"
    outcome = await try_once(pool, settings_for(servers), subject=subject, text="Grüße\n.\nend")
    assert isinstance(outcome, Delivered)
    assert outcome.detail is not None
    assert "queued as" in outcome.detail
    folder = servers.home / "mail" / "ann@shop.test" / "new"
    async with asyncio.timeout(WAIT_S):
        while not (mails := [message_from_bytes(path.read_bytes()) for path in folder.glob("*")]):
            await asyncio.sleep(0.02)
    [mail] = mails
    assert mail["Return-Path"].endswith("@back.shop.test>")
    assert len(mail["Return-Path"]) == len("<@back.shop.test>") + 48
    assert b"Gr\xc3\xbc\xc3\x9fe\n.\nend" in mail.get_payload(decode=True)


async def test_what_postfix_refuses(pool: Pool, servers: MailServers) -> None:
    settings = settings_for(servers)
    unknown = await try_once(pool, settings, to="nobody@shop.test")
    assert isinstance(unknown, Rejected)
    assert (unknown.cause, unknown.reason) == (
        Cause.PERMANENT,
        "the mail server refused the recipient: 550 5.1.1",
    )
    full = await try_once(pool, settings, to="full@shop.test")
    assert isinstance(full, RetryLater)
    assert (full.cause, full.trip, full.reason) == (
        Cause.PASSING,
        Trip.NO,
        "the mail server refused the recipient: 452 4.2.2",
    )
    large = await try_once(pool, settings, text="x" * SIZE_MAX)
    assert isinstance(large, Rejected)
    assert large.reason.endswith("552 5.3.4 (too large for it)")


async def test_tls_and_login_of_postfix(pool: Pool, servers: MailServers) -> None:
    port = servers.submission
    right = settings_for(servers, url=f"smtp+starttls://{URL_LOGIN}@localhost:{port}")
    assert isinstance(await try_once(pool, right), Delivered)
    refused = {
        "the mail server refused the sender: 530 5.7.0": f"smtp://127.0.0.1:{port}",
        "the mail server's certificate cannot be verified": f"smtp+starttls://{URL_LOGIN}@127.0.0.1:{port}",
        "the mail server refused the login: 535 5.7.8": f"smtp+starttls://bounces:old@localhost:{port}",
    }
    for reason, url in refused.items():
        outcome = await try_once(pool, settings_for(servers, url=url))
        assert isinstance(outcome, RetryLater)
        assert (outcome.reason, outcome.cause, outcome.trip) == (reason, Cause.OURS, Trip.NOW)
    unknown = settings_for(servers, url=right.url, tls_ca=None)
    outcome = await try_once(pool, unknown)
    assert (outcome.reason, outcome.code) == (
        "the mail server's certificate cannot be verified",
        "certificate",
    )


# ---- bounces


class Reader:
    """The job, with a mailbox and a ledger; and the engine that sends what it is about."""

    def __init__(self, pool: Pool, engine: AdapterEngine, settings: EmailSettings, folder: Path) -> None:
        self.pool, self.engine, self.settings, self.folder = pool, engine, settings, folder

    async def run(self) -> int:
        runner = pool_as(self.pool, "runner")
        job = bounces_job(pool=runner, settings=self.settings, keyring=NO_KEYS, clock=SystemClock())
        return await job.run(JobContext(once=True))

    async def send(self, to: str | list[str] = "gone@remote.test", *, deliver: bool = True) -> UUID:
        payload = {"to": to, "subject": "Hello", "text": "Hi"}
        [message_id] = await self.engine.publish([Message(channel="email", payload=payload)])
        if deliver:
            await self.engine.drain()
        return message_id

    async def arrived(self, count: int = 1) -> list[Path]:
        async with asyncio.timeout(WAIT_S):
            while len(mails := [*self.folder.glob("new/*"), *self.folder.glob("cur/*")]) < count:
                await asyncio.sleep(0.02)
        return mails

    def put(self, raw: str) -> None:
        """Into the mailbox, as if a server had delivered it."""
        (self.folder / "new").mkdir(parents=True, exist_ok=True)
        path = self.folder / "new" / f"{next(NUMBERS)}.{uuid4().hex}.test"
        path.write_text(raw)
        for each in (path, path.parent, self.folder, *self.folder.glob("*")):
            os.chown(each, 65534, 65534)

    def unread(self) -> None:
        """Somebody marks every mail as unread."""
        for path in self.folder.glob("cur/*"):
            path.rename(self.folder / "cur" / (path.name.partition(":")[0] + ":2,"))

    def read(self) -> list[bool]:
        return ["S" in path.name.rpartition(":2,")[2] for path in self.folder.glob("*/*.*") if path.is_file()]

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.pool.fetch(statement)]


@pytest.fixture
async def reader(dsn: str, pool: Pool, servers: MailServers, bounces: Path) -> AsyncIterator[Reader]:
    settings = settings_for(servers)
    async with opened(pool, settings) as adapter:
        yield Reader(pool, await AdapterEngine(dsn, pool, adapter).start(), settings, bounces)


def back_of(reader: Reader, message_id: UUID) -> str | None:
    return return_path(reader.settings, message_id, time.time())


async def test_a_real_bounce_suppresses_once_also_under_replay(reader: Reader) -> None:
    """Postfix takes the mail, its next hop says that nobody is there, and Postfix reports it."""
    message_id = await reader.send()
    assert await reader.rows(STATES) == [("delivered",)]
    await reader.arrived()
    assert await reader.run() == 1
    said = "550 5.1.1 <g***@remote.test>: Recipient address rejected: No such user"
    assert await reader.rows(NOTED) == [("mailbox", "bounced", True, "g***@remote.test", said)]
    assert await reader.rows(SUPPRESSED) == [("gone@remote.test", f"bounced at mailbox: {said}")]
    assert reader.read() == [True]
    assert await reader.run() == 0  # it is flagged
    await reader.pool.execute("delete from postroom.suppression")  # an operator knows better
    reader.unread()
    assert await reader.run() == 1
    assert await reader.rows(SUPPRESSED) == []
    assert await reader.rows(COUNTED) == [("mailbox bounced", 1)]
    story = await reader.rows("select message_id from postroom.email_event")
    assert story == [(message_id,)]


async def test_a_mail_to_whom_bounced_is_not_sent_again(reader: Reader) -> None:
    await reader.send()
    await reader.arrived()
    await reader.run()
    await reader.send()
    assert await reader.rows(STATES) == [("delivered",), ("suppressed",)]


async def test_who_was_released_and_bounces_again_is_suppressed_again(reader: Reader) -> None:
    message_id = await reader.send()
    await reader.arrived()
    await reader.run()
    await reader.pool.execute("delete from postroom.suppression")
    async with transaction(reader.pool) as conn:
        await resend(conn, message_id, actor="test")
    await reader.engine.drain()
    await reader.arrived(2)
    await reader.run()
    assert [row[0] for row in await reader.rows(SUPPRESSED)] == ["gone@remote.test"]
    assert await reader.rows(COUNTED) == [("mailbox bounced", 2)]


async def test_what_is_forged_or_of_no_mail_is_left_alone(reader: Reader) -> None:
    ours = await reader.send("ann@example.com", deliver=False)
    other = EmailSettings.model_validate({"bounces_address": "*@back.shop.test", "bounces_secrets": "wrong"})
    reader.put(report(return_path(other, ours, time.time()), "ann@example.com"))
    reader.put(report(back_of(reader, uuid4()), "ann@example.com"))
    reader.put(report("bounces@shop.test", "ann@example.com"))
    reader.put(f"Subject: I am away\nTo: {back_of(reader, ours)}\n\nuntil Monday\n")
    assert await reader.run() == 4
    assert (await reader.rows(NOTED), await reader.rows(SUPPRESSED)) == ([], [])
    assert await reader.rows(COUNTED) == [("mailbox unmatched", 3)]
    assert reader.read() == [True] * 4
    assert await reader.run() == 0


async def test_who_has_a_mail_cannot_have_others_suppressed_with_its_return_path(reader: Reader) -> None:
    one = await reader.send("ann@example.com", deliver=False)
    two = await reader.send(["bob@example.com", "eve@example.com"], deliver=False)
    # Ann's mail was forwarded, and it is Ann whose address bounces, whatever the report says.
    reader.put(report(back_of(reader, one), "victim@example.com"))
    reader.put(report(back_of(reader, two), "victim@example.com", "BOB@example.com"))
    await reader.run()
    assert [row[0] for row in await reader.rows(SUPPRESSED)] == ["ann@example.com", "bob@example.com"]
    assert sorted(row[2:4] for row in await reader.rows(NOTED)) == [
        (False, ""),
        (True, "a***@example.com"),
        (True, "b***@example.com"),
    ]


async def test_many_reports_of_one_sending_are_one_event(reader: Reader) -> None:
    """Whoever was mailed may write as many as they like; each has another Message-ID."""
    message_id = await reader.send("ann@example.com", deliver=False)
    back = back_of(reader, message_id)
    for _ in range(45):  # more than a batch
        reader.put(report(back, "ann@example.com"))
    assert await reader.run() == 45
    assert len(await reader.rows(NOTED)) == 1
    assert reader.read() == [True] * 45


async def test_a_complaint_suppresses_and_a_delay_does_not(reader: Reader) -> None:
    complained = await reader.send("ann@example.com", deliver=False)
    delayed = await reader.send("bob@example.com", deliver=False)
    reader.put(report(back_of(reader, complained), kind="feedback-report"))
    reader.put(report(back_of(reader, delayed), "bob@example.com").replace("failed", "delayed"))
    await reader.run()
    assert await reader.rows(SUPPRESSED) == [("ann@example.com", "complained at mailbox")]
    assert sorted(row[1] for row in await reader.rows(NOTED)) == ["complained", "deferred"]


@pytest.mark.rows_by_hand
async def test_a_report_of_a_mail_whose_payload_is_gone_is_shown_and_suppresses_nobody(
    reader: Reader,
) -> None:
    message_id = await reader.send("ann@example.com", deliver=False)
    await reader.pool.execute("update postroom.message set payload = '{}'")
    reader.put(report(back_of(reader, message_id), "ann@example.com"))
    await reader.run()
    assert [row[1:4] for row in await reader.rows(NOTED)] == [("bounced", False, "")]
    assert await reader.rows(SUPPRESSED) == []


async def test_a_large_mail_is_read_as_far_as_its_report_goes(reader: Reader) -> None:
    message_id = await reader.send("ann@example.com", deliver=False)
    reader.put(report(back_of(reader, message_id), "ann@example.com") + "x" * imap.MAIL_BYTES_MAX * 4)
    await reader.run()
    assert len(await reader.rows(SUPPRESSED)) == 1


async def test_while_the_database_refuses_a_mail_stays_unread(reader: Reader) -> None:
    message_id = await reader.send("ann@example.com", deliver=False)
    reader.put(report(back_of(reader, message_id), "ann@example.com"))
    await reader.pool.execute("alter table postroom.suppression add constraint away check (false) not valid")
    with pytest.raises(Exception, match="away"):
        await reader.run()
    assert (await reader.rows(NOTED), reader.read()) == ([], [False])
    await reader.pool.execute("alter table postroom.suppression drop constraint away")
    await reader.run()
    assert (len(await reader.rows(SUPPRESSED)), reader.read()) == (1, [True])


async def test_killed_between_the_commit_and_the_flag_it_suppresses_once(
    reader: Reader, servers: MailServers, dsn: str, tmp_path: Path
) -> None:
    await reader.send()
    await reader.arrived()
    victim: list[int] = []
    async with killing(servers.imap, b"STORE", victim) as port:
        settings = {
            "POSTROOM_DATABASE_URL": as_role(dsn, "runner"),
            "POSTROOM_STATE_DIR": str(tmp_path),
            "POSTROOM_EMAIL__BOUNCES_ADDRESS": "*@back.shop.test",
            "POSTROOM_EMAIL__BOUNCES_SECRETS": SECRET,
            "POSTROOM_EMAIL__BOUNCES_URL": f"imap://{URL_LOGIN}@127.0.0.1:{port}",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "postroom", "work", "--job", "email-bounces", "--once"),
            env=environment(tmp_path, settings),
            stdout=asyncio.subprocess.DEVNULL,
        )
        victim.append(process.pid)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == -signal.SIGKILL
    assert reader.read() == [False]
    assert len(await reader.rows(SUPPRESSED)) == 1
    await reader.pool.execute("update postroom.suppression set reason = 'kept'")
    assert await reader.run() == 1
    assert await reader.rows(SUPPRESSED) == [("gone@remote.test", "kept")]
    assert await reader.rows(COUNTED) == [("mailbox bounced", 1)]


async def test_the_mailbox_over_tls_and_what_is_refused(servers: MailServers, bounces: Path) -> None:
    secured = {
        "imaps": f"imaps://{URL_LOGIN}@localhost:{servers.imaps}",
        "starttls": f"imap+starttls://{URL_LOGIN}@localhost:{servers.imap}/INBOX",
    }
    for url in secured.values():
        [finding] = await check_bounces(settings_for(servers, bounces_url=url))
        assert (finding.level, finding.text) == ("ok", "0 unread in INBOX at localhost")
    faults = {
        "certificate cannot be verified": f"imaps://{URL_LOGIN}@127.0.0.1:{servers.imaps}",
        "AUTHENTICATIONFAILED": f"imaps://b%C3%B6unces:old@localhost:{servers.imaps}",
        "doesn't exist": f"imaps://{URL_LOGIN}@localhost:{servers.imaps}/Elsewhere",
        "refused": f"imap://{URL_LOGIN}@127.0.0.1:1",
    }
    for said, url in faults.items():
        [finding] = await check_bounces(settings_for(servers, bounces_url=url))
        assert (finding.level, finding.command) == ("error", "postroom jobs run email-bounces")
        assert said in finding.text
    untrusted = settings_for(servers, bounces_url=secured["imaps"], tls_ca=None)
    [finding] = await check_bounces(untrusted)
    assert "certificate cannot be verified" in finding.text


async def test_a_mailbox_that_says_nothing_fails_the_run_in_time(
    pool: Pool, servers: MailServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "TIMEOUT_S", 0.2)
    stopped = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = settings_for(servers, bounces_url=f"imap://{URL_LOGIN}@127.0.0.1:{port}")
        job = bounces_job(pool=pool, settings=settings, keyring=NO_KEYS, clock=SystemClock())
        with pytest.raises(Unavailable, match="did not answer"):
            await job.run(JobContext(once=True))
        stopped.set()


async def test_without_a_mailbox_the_job_does_nothing(pool: Pool, servers: MailServers) -> None:
    settings = settings_for(servers, bounces_url=None)
    job = bounces_job(pool=pool, settings=settings, keyring=NO_KEYS, clock=SystemClock())
    assert await job.run(JobContext(once=True)) == 0
    [finding] = await check_bounces(settings)
    assert (finding.level, finding.command) == ("warning", "export POSTROOM_EMAIL__BOUNCES_URL=imaps://…")
    assert await check_bounces(EmailSettings()) == []
