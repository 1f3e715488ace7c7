"""What is sent is fixed at the first rendering, whatever becomes of the template's files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.encryption_keys import parse_keys
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.template import TemplateFolders
from postroom.channels.email.template_origin import TemplateOrigin, TemplateState, fetch_origin
from postroom.channels.email.template_store import content_hashes, prune_templates
from postroom.dev.mailbox import AfterData, Faults, Mailbox
from postroom.encryption.keyring import NO_KEYS, Keyring, Required, new_key
from postroom.outbox.ledger import replay, replay_runs
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.resend import resend
from postroom.outbox.ledger.story import fetch_message
from postroom.outbox.model import Message
from tests.channels.email.test_template import write
from tests.fixtures.engine import AdapterEngine

ANN = {"to": "ann@example.com", "template": "offer", "data": {"name": "Ann"}}
PASSING = "451 4.3.0 come back later"
FINAL = "554 5.6.0 not like this"


@dataclass
class Office:
    """One runner with one template, and a mail server."""

    engine: AdapterEngine
    mailbox: Mailbox
    folder: Path
    pool: Pool

    async def publish(self) -> UUID:
        [message_id] = await self.engine.publish([Message(channel="email", payload=ANN)])
        return message_id

    async def refused(self, answer: str) -> UUID:
        """A mail that the server did not take at the first attempt."""
        self.mailbox.faults.data_answer = answer
        message_id = await self.publish()
        await self.engine.drain()
        self.mailbox.faults = Faults()
        return message_id

    async def tried_again(self) -> str:
        """The subject of what goes out when all that waits is due."""
        await self.engine.travel(3_600)
        await self.engine.drain()
        return str(self.mailbox.mails[-1].message["Subject"])

    async def replay(self, message_id: UUID, *, fresh: bool = False) -> None:
        async with transaction(self.pool) as conn:
            await replay.replay_one(conn, message_id, actor="ada", fresh=fresh)

    async def resend(self, message_id: UUID, *, fresh: bool = False) -> None:
        async with transaction(self.pool) as conn:
            await resend(conn, message_id, actor="ada", fresh=fresh)

    async def preview(self, message_id: UUID) -> str:
        async with self.pool.acquire() as conn:
            story = await fetch_message(conn, message_id)
        adapter = self.engine.adapter
        assert isinstance(adapter, EmailAdapter)
        return (await adapter.preview(story.payload, content_hash=story.content_hash)).subject


def open_adapter(pool: Pool, mailbox: Mailbox, folder: Path, keyring: Keyring | None = None) -> EmailAdapter:
    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "from": "shop@shop.example"}
    settings = EmailSettings.model_validate({**options, "templates_dir": folder})
    return EmailAdapter(settings=settings, pool=pool, clock=SystemClock(), keyring=keyring or Keyring())


@pytest.fixture
async def office(dsn: str, pool: Pool, tmp_path: Path) -> AsyncIterator[Office]:
    (tmp_path / "_sign.txt").write_text("the first shop")
    write(tmp_path, "offer", subject="First, {{ name }}", txt='{% include "_sign.txt" %}')
    mailbox = Mailbox()
    await mailbox.start()
    adapter = open_adapter(pool, mailbox, tmp_path)
    yield Office(await AdapterEngine(dsn, pool, adapter).start(), mailbox, tmp_path, pool)
    await adapter.close()
    await mailbox.close()


def edit(folder: Path) -> None:
    write(folder, "offer", subject="Second, {{ name }}", txt="another text")


async def test_a_retry_sends_what_was_rendered_first_though_the_template_was_edited(office: Office) -> None:
    await office.refused(PASSING)
    edit(office.folder)
    (office.folder / "_sign.txt").write_text("the second shop")
    assert await office.tried_again() == "First, Ann"
    text = office.mailbox.mails[-1].message.get_body(("plain",))
    assert text is not None
    assert text.get_content().strip() == "the first shop"
    await office.publish()
    assert await office.tried_again() == "Second, Ann"


async def test_what_a_server_may_have_taken_is_sent_again_word_for_word(office: Office) -> None:
    """The case that a reader sees: two copies under one Message-ID."""
    office.mailbox.faults.after_data = AfterData.CLOSE
    await office.publish()
    await office.engine.drain()
    assert await office.pool.fetchval("select outcome from postroom.attempt") == "unknown"
    office.mailbox.faults = Faults()
    edit(office.folder)
    assert await office.tried_again() == "First, Ann"
    hashes = await office.pool.fetch("select distinct content_hash from postroom.attempt")
    assert len(hashes) == 1


async def test_whoever_was_refused_for_now_gets_what_the_others_have(office: Office) -> None:
    office.mailbox.faults.refuse["bob@example.com"] = "451 4.3.0 come back later"
    both = {**ANN, "to": ["ann@example.com", "bob@example.com"]}
    await office.engine.publish([Message(channel="email", payload=both)])
    await office.engine.drain()
    office.mailbox.faults = Faults()
    edit(office.folder)
    assert await office.tried_again() == "First, Ann"
    assert office.mailbox.mails[-1].recipients == ("bob@example.com",)


async def test_a_replay_sends_it_too_unless_it_is_asked_for_afresh(office: Office) -> None:
    first, second = await office.refused(FINAL), await office.refused(FINAL)
    edit(office.folder)
    await office.replay(first)
    assert await office.tried_again() == "First, Ann"
    await office.replay(second, fresh=True)
    assert await office.tried_again() == "Second, Ann"


async def test_what_was_delivered_is_sent_again_as_it_was_unless_it_is_asked_for_afresh(
    office: Office,
) -> None:
    message_id = await office.publish()
    assert await office.tried_again() == "First, Ann"
    edit(office.folder)
    await office.resend(message_id)
    assert await office.tried_again() == "First, Ann"
    await office.resend(message_id, fresh=True)
    assert await office.tried_again() == "Second, Ann"


async def test_a_preview_shows_what_was_sent_and_before_that_what_would_be(office: Office) -> None:
    waiting, sent = await office.publish(), await office.publish()
    assert await office.preview(waiting) == "First, Ann"
    await office.engine.drain()
    edit(office.folder)
    assert await office.preview(sent) == "First, Ann"


async def test_a_removed_template_is_still_sent_where_it_was_rendered_before(office: Office) -> None:
    tried = await office.refused(PASSING)
    for kind in ("subject", "txt", "mjml"):
        (office.folder / f"offer.{kind}").unlink()
    assert await office.preview(tried) == "First, Ann"
    assert await office.tried_again() == "First, Ann"
    never = await office.publish()
    await office.engine.drain()
    reason = "select reason from postroom.dead_letter where message_id = $1"
    assert "'offer' is unknown" in await office.pool.fetchval(reason, never)


async def test_what_could_not_be_rendered_is_fixed_by_mending_the_template(office: Office) -> None:
    write(office.folder, "offer", subject="{{ nmae }}")
    message_id = await office.publish()
    await office.engine.drain()
    write(office.folder, "offer", subject="Mended, {{ name }}")
    await office.replay(message_id)
    assert await office.tried_again() == "Mended, Ann"


async def test_a_replay_that_is_taken_back_keeps_what_was_rendered(office: Office) -> None:
    wanted = DeadLetterFilter(message_ids=(await office.refused(FINAL),))
    edit(office.folder)
    async with transaction(office.pool) as conn:
        undone = await replay_runs.start_run(conn, wanted, actor="ada")
        assert undone.run_id is not None
        assert await replay_runs.undo_run(conn, undone.run_id, actor="ada") == 1
        paused = await replay_runs.start_run(conn, wanted, actor="ada")
        assert paused.run_id is not None
        assert await replay_runs.pause_run(conn, paused.run_id, actor="ada") == 1
        assert await replay_runs.resume_run(conn, paused.run_id, actor="ada") == 1
    assert await office.tried_again() == "First, Ann"


async def test_a_version_is_kept_once_however_many_mails_it_renders(office: Office) -> None:
    for _ in range(30):
        await office.publish()
    await office.engine.drain()
    assert await office.pool.fetchval("select count(*) from postroom.email_template") == 1
    edit(office.folder)
    await office.publish()
    await office.engine.drain()
    assert await office.pool.fetchval("select count(*) from postroom.email_template") == 2


async def test_what_is_put_off_meanwhile_keeps_it(office: Office, dsn: str) -> None:
    message_id = await office.refused(PASSING)
    edit(office.folder)
    settings = EmailSettings(templates_dir=office.folder)  # it does not know the way out
    adapter = EmailAdapter(settings=settings, pool=office.pool, clock=SystemClock())
    try:
        other = await AdapterEngine(dsn, office.pool, adapter).start()
        await other.travel(3_600)
        await other.drain()
    finally:
        await adapter.close()
    reason = "select last_reason from postroom.delivery where message_id = $1"
    assert "is not set" in await office.pool.fetchval(reason, message_id)
    assert await office.tried_again() == "First, Ann"


async def test_another_runner_sends_what_the_first_one_rendered(office: Office, dsn: str) -> None:
    await office.refused(PASSING)
    edit(office.folder)
    adapter = open_adapter(office.pool, office.mailbox, office.folder)
    try:
        office.engine = await AdapterEngine(dsn, office.pool, adapter).start()
        assert await office.tried_again() == "First, Ann"
    finally:
        await adapter.close()


async def test_a_version_that_was_changed_in_the_database_is_not_sent(office: Office, dsn: str) -> None:
    """What a hash names cannot be replaced, and with a key of ours nobody else makes such a hash."""
    message_id = await office.refused(PASSING)
    await office.pool.execute(
        "update postroom.email_template set files = jsonb_set(files, '{offer.subject}', '\"Forged\"')"
    )
    edit(office.folder)
    adapter = open_adapter(office.pool, office.mailbox, office.folder)
    try:
        office.engine = await AdapterEngine(dsn, office.pool, adapter).start()
        await office.engine.travel(3_600)
        await office.engine.drain()
        letter = await office.pool.fetchrow("select cause, reason from postroom.dead_letter")
        assert letter is not None
        assert letter["cause"] == "ours"
        assert "is not kept any more" in letter["reason"]
        assert not office.mailbox.mails
        await office.replay(message_id, fresh=True)
        assert await office.tried_again() == "Second, Ann"
    finally:
        await adapter.close()


async def test_versions_that_nothing_uses_are_pruned(office: Office) -> None:
    await office.publish()
    await office.engine.drain()
    async with transaction(office.pool) as conn:
        assert await prune_templates(conn, days=400, batch_max=10) == 0
        await conn.execute("update postroom.email_template set last_used_at = now() - interval '401 days'")
        assert await prune_templates(conn, days=400, batch_max=10) == 1


async def test_a_person_is_told_whether_the_template_is_what_it_was(office: Office) -> None:
    async def told(message_id: UUID) -> TemplateOrigin | None:
        async with office.pool.acquire() as conn:
            found = (await fetch_message(conn, message_id)).content_hash
            return await fetch_origin(conn, found, keyring=NO_KEYS, folders=TemplateFolders(office.folder))

    message_id = await office.publish()
    assert await told(message_id) is None
    await office.engine.drain()
    same = await told(message_id)
    assert same is not None
    assert (same.template, same.state) == ("offer", TemplateState.SAME)
    edit(office.folder)
    changed = await told(message_id)
    assert changed is not None
    assert changed.state is TemplateState.CHANGED
    assert changed.version in changed.sentence
    assert "send what it was" in changed.sentence
    (office.folder / "offer.mjml").unlink()
    removed = await told(message_id)
    assert removed is not None
    assert removed.state is TemplateState.REMOVED
    await office.pool.execute("delete from postroom.email_template")
    gone = await told(message_id)
    assert gone is not None
    assert (gone.template, gone.state) == (None, TemplateState.NOT_KEPT)


def test_with_keys_a_version_has_a_hash_that_nobody_makes_without_them() -> None:
    plain = content_hashes({"offer.txt": "x"}, NO_KEYS)
    keyring = Keyring(
        parse_keys([new_key("k")]), required=Required(datetime(2020, 1, 1, tzinfo=UTC), (), SystemClock())
    )
    assert not set(plain) & set(content_hashes({"offer.txt": "x"}, keyring))
