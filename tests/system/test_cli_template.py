"""`postroom template`: a mail is seen before anybody gets it, and a test goes the way of all others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.dev.mailbox import Mailbox
from tests.channels.email.test_template import write
from tests.fixtures.engine import AdapterEngine
from tests.processes.commands import Ended, run

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.created",
    "data": {"object": {"object": "customer", "id": "cus_1", "name": "Grace"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    write(folder, "offer", subject="For {{ name }}", txt="Dear {{ name }}")
    (folder / "offer.sample.json").write_text('{"name": "Ada"}')
    return folder


def template(folder: Path, *words: str, **settings: str) -> Ended:
    named = {"POSTROOM_EMAIL__TEMPLATES_DIR": str(folder), **settings}
    return run("postroom", "template", *words, home=folder.parent, settings=named)


def test_a_preview_needs_no_database_and_takes_sample_data_or_event(folder: Path) -> None:
    page = folder.parent / "offer.html"
    shown = template(folder, "preview", "offer", "--html", str(page))
    assert shown.code == 0, shown.err
    assert "Subject: For Ada\n\nDear Ada\n" in shown.out
    assert page.read_text().startswith("<!doctype html>")
    (folder.parent / "bob.json").write_text('{"name": "Bob"}')
    shown = template(folder, "preview", "offer", "--data", str(folder.parent / "bob.json"), "--json")
    assert (shown.json["subject"], shown.json["text"]) == ("For Bob", "Dear Bob")
    (folder.parent / "event.json").write_text(json.dumps(EVENT))
    shown = template(folder, "preview", "welcome", "--event", str(folder.parent / "event.json"))
    assert "Subject: Welcome, Grace" in shown.out


def test_what_cannot_be_previewed_is_wrong_use_and_says_why(folder: Path) -> None:
    (folder / "offer.sample.json").unlink()
    failed = template(folder, "preview", "offer")
    assert failed.code == 2
    assert "offer.sample.json" in failed.err
    (folder / "offer.sample.json").write_text("{}")
    failed = template(folder, "preview", "offer")
    assert failed.code == 2
    assert "'name' is undefined" in failed.err


def test_a_check_fails_where_a_template_does(folder: Path) -> None:
    assert template(folder, "check").code == 0
    (folder / "offer.sample.json").write_text("{}")
    failed = template(folder, "check", "--json")
    assert failed.code == 1
    [finding] = failed.json["findings"]
    assert (finding["template"], finding["kind"]) == ("offer", "fails")
    assert "'name' is undefined" in finding["text"]
    assert template(folder, "check", "welcome").code == 0


async def test_a_test_goes_through_the_ledger_and_is_marked(dsn: str, pool: Pool, folder: Path) -> None:
    sent = template(
        folder, "send-test", "offer", "--to", "me@example.com", "--json", POSTROOM_DATABASE_URL=dsn
    )
    assert sent.code == 0, sent.err
    row = await pool.fetchrow("select id::text, type from postroom.message")
    assert row is not None
    assert tuple(row) == (sent.json["id"], "template.test")
    mailbox = Mailbox()
    await mailbox.start()
    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "templates_dir": folder}
    adapter = EmailAdapter(settings=EmailSettings.model_validate(options), pool=pool, clock=SystemClock())
    try:
        await (await AdapterEngine(dsn, pool, adapter).start()).drain()
    finally:
        await adapter.close()
        await mailbox.close()
    [mail] = mailbox.mails
    assert mail.recipients == ("me@example.com",)
    assert (mail.message["Subject"], mail.message["X-Postroom-Test"]) == ("For Ada", "yes")
    audited = await pool.fetchrow("select action, subject, detail::text from postroom.audit")
    assert audited is not None
    assert (audited["action"], audited["subject"]) == ("template.send_test", sent.json["id"])
    assert "me@example.com" not in audited["detail"]
    again = template(
        folder, "preview", "offer", "--message", sent.json["id"], "--json", POSTROOM_DATABASE_URL=dsn
    )
    assert again.json["subject"] == "For Ada"
    assert await pool.fetchval("select count(*) from postroom.audit where action = 'message.preview'") == 1


def test_a_test_to_nowhere_is_refused(dsn: str, folder: Path) -> None:
    failed = template(folder, "send-test", "offer", "--to", "nobody", POSTROOM_DATABASE_URL=dsn)
    assert failed.code == 2
    assert "to" in failed.err
    failed = template(folder, "send-test", "ofer", "--to", "me@example.com", POSTROOM_DATABASE_URL=dsn)
    assert failed.code == 2
    assert "ofer" in failed.err
