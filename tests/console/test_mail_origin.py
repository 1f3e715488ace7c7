"""The page of a mail says what it was rendered from, and its preview shows that."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.base.settings import Settings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.template import TemplateFolders
from postroom.dev.mailbox import Mailbox
from postroom.outbox.model import Message
from tests.channels.email.test_template import write
from tests.console.http import visitor
from tests.fixtures.api import running_api
from tests.fixtures.engine import AdapterEngine
from tests.processes.commands import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    section = "<mj-section><mj-column><mj-text>{0} offer</mj-text></mj-column></mj-section>"
    write(tmp_path / "templates", "offer", mjml=section.format("First"))
    return tmp_path / "templates"


@pytest.fixture
async def sent(dsn: str, pool: Pool, folder: Path) -> AsyncIterator[UUID]:
    """A mail that went out before its template was edited."""
    mailbox = Mailbox()
    await mailbox.start()
    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "templates_dir": folder}
    adapter = EmailAdapter(settings=EmailSettings.model_validate(options), pool=pool, clock=SystemClock())
    engine = await AdapterEngine(dsn, pool, adapter).start()
    [message_id] = await engine.publish(
        [Message(channel="email", payload={"to": "ann@example.com", "template": "offer"})]
    )
    await engine.drain()
    assert len(mailbox.mails) == 1
    (folder / "offer.mjml").write_text((folder / "offer.mjml").read_text().replace("First", "Second"))
    yield message_id
    await adapter.close()
    await mailbox.close()


async def test_a_page_tells_of_the_change_and_shows_what_was_sent(
    dsn: str, tmp_path: Path, folder: Path, sent: UUID
) -> None:
    settings = Settings(state_dir=tmp_path, email=EmailSettings(templates_dir=folder))
    async with running_api(dsn, settings) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        page = await guest.get(f"/console/messages/{sent}")
        assert "Template offer, version" in page.text
        assert "changed since: retries and replays send what it was" in page.text
        assert "Send again afresh" in page.text
        shown = await guest.get(f"/console/messages/{sent}/preview")
        assert "First offer" in shown.text
        assert "Second offer" not in shown.text


def test_the_terminal_tells_of_it_too(dsn: str, tmp_path: Path, folder: Path, sent: UUID) -> None:
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_EMAIL__TEMPLATES_DIR": str(folder)}
    told = run("postroom", "messages", "show", str(sent), home=tmp_path, settings=settings)
    assert told.code == 0, told.err
    assert "Template offer, version" in told.out
    assert "changed since" in told.out
    told = run("postroom", "messages", "show", str(sent), "--json", home=tmp_path, settings=settings)
    assert json.loads(told.out)["template"]["state"] == "changed"


async def test_templates_are_listed_with_their_faults_and_shown_with_their_samples(
    dsn: str, tmp_path: Path, folder: Path
) -> None:
    settings = Settings(state_dir=tmp_path, email=EmailSettings(templates_dir=folder))
    async with running_api(dsn, settings) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        page = (await guest.get("/console/templates")).text
        assert "put data for it into offer.sample.json beside it" in page
        shipped = len(TemplateFolders(None).names())
        assert page.count("no fault") == shipped > 4
        (folder / "offer.sample.json").write_text("{}")
        assert (await guest.get("/console/templates")).text.count("no fault") == shipped + 1
        shown = await guest.get("/console/templates/preview?name=offer")
        assert "First offer" in shown.text
        assert "sandbox" in shown.headers["Content-Security-Policy"]
        assert (
            "<pre>s\n\nt</pre>" in (await guest.get("/console/templates/preview?name=offer&form=text")).text
        )
        assert "is unknown" in (await guest.get("/console/templates/preview?name=../offer")).text
        german = (await guest.get("/console/templates?locale=de")).text
        assert "/console/templates/preview?name=receipt&amp;form=text&amp;locale=de" in german
        shown = await guest.get("/console/templates/preview?name=receipt&form=text&locale=de")
        assert "Vielen Dank, Ada Lovelace." in shown.text
        assert (await guest.get("/console/templates?locale=xx")).status == 400
        gone = await guest.post("/console/templates/send-test", (("name", "ofer"), ("to", "me@example.com")))
        assert gone.status == 400
        assert await api.pool.fetchval("select count(*) from postroom.message") == 0
        data = (("name", "receipt"), ("to", "me@example.com"), ("locale", "de"))
        assert (await guest.post("/console/templates/send-test", data)).status == 303
        assert await api.pool.fetchval("select payload ->> 'locale' from postroom.message") == "de"
