"""What others wrote is shown harmlessly: script, marks that turn text around, very long answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from postroom.base.settings import Settings
from postroom.console.pages.settings import setting_rows
from postroom.console.view.filters import visible
from postroom.outbox.model import Message
from tests.console.browser import opened
from tests.console.http import Visitor, visitor
from tests.console.scene import HOSTILE, Scene
from tests.fixtures.api import Api, running_api

SCRIPT = "<script>document.title='owned'</script>"


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def somebody(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as guest:
        await guest.sign_in(api.token)
        yield guest


def test_marks_that_turn_text_around_are_shown_as_what_they_are() -> None:
    assert visible("a\u202eb\u2066c\x07d") == "a[U+202E]b[U+2066]c[U+0007]d"
    assert visible("family 👨\u200d👩\u200d👧 مرحبا") == "family 👨\u200d👩\u200d👧 مرحبا"
    assert visible("x" * 30, 10) == "x" * 10 + "… (20 more characters)"


async def test_a_payload_and_a_mail_of_a_stranger_run_nothing(scene: Scene, browser: Browser) -> None:
    mail = {
        "to": "ada@example.com",
        "subject": f"Hi {HOSTILE}",
        "text": HOSTILE,
        "html": f"<p>Dear</p>{HOSTILE}",
    }
    [message_id] = await scene.publish([Message(channel="email", payload=mail, tenant=HOSTILE, key=HOSTILE)])
    async with opened(browser) as tab:
        page = tab.page
        await page.goto(await scene.link())
        await page.goto(f"{scene.url}/console/messages/{message_id}")
        assert "Dear" not in await page.content()
        await page.get_by_role("button", name="Show the payload").click()
        frame = page.frame_locator("iframe")
        await expect(frame.locator("p")).to_have_text("Dear")
        await expect(page.locator("main")).to_contain_text("[U+202E]gnirts[U+202C] 🧨")
        assert "owned" not in await page.title()
        assert await page.locator("main script").count() == 0
        # That the frame may not run the mail's script is what the browser says, and all it says.
        assert [fault for fault in tab.faults if "sandbox" not in fault.lower()] == []
    actions = [row["action"] for row in await scene.api.pool.fetch("select action from postroom.audit")]
    assert "message.reveal" in actions
    assert "message.preview" in actions


async def test_names_reasons_and_settings_of_strangers_are_escaped(api: Api, somebody: Visitor) -> None:
    pool = api.pool
    await pool.execute(
        "select postroom.publish(channel => 'email', payload => '{}', tenant => $1, type => $1, key => $1)",
        SCRIPT,
    )
    await pool.execute(
        """with gone as (delete from postroom.delivery returning *)
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, code)
        select message_id, n, seq, channel, $1, 1, 'ours', $1, $1, $1 from gone""",
        SCRIPT,
    )
    await pool.execute("update postroom.circuit set state = 'open', retry_at = now(), reason = $1", SCRIPT)
    await pool.execute(
        "insert into postroom.job (name, last_error, failures) values ('canary', $1, 1)", SCRIPT
    )
    await pool.execute("insert into postroom.audit (actor, action, subject) values ($1, $1, $1)", SCRIPT)
    await pool.execute("update postroom.token set name = $1", SCRIPT)
    message_id = await pool.fetchval("select id from postroom.message")
    for path in (
        "", "/messages", f"/messages/{message_id}", "/dead-letters", "/dead-letters/replay?channel=email",
        "/tasks", "/jobs", "/circuits", "/tokens", "/audit", f"/messages?q={SCRIPT}",
        f"/audit?actor={SCRIPT}", f"/dead-letters?tenant={SCRIPT}", f"/runbooks/{SCRIPT}",
        f"/nothing/{SCRIPT}",
    ):  # fmt: skip
        answer = await somebody.get(f"/console{path}")
        assert answer.status in (200, 303, 404), f"{path}: {answer.status}"
        assert "<script>document" not in answer.text, path


async def test_an_answer_of_a_megabyte_does_not_make_a_page_of_a_megabyte(
    api: Api, somebody: Visitor
) -> None:
    pool = api.pool
    message_id = await pool.fetchval("select postroom.publish(channel => 'email', payload => '{}')")
    await pool.execute(
        """insert into postroom.attempt (message_id, n, channel, attempt, outcome, reason, detail)
        values ($1, 0, 'email', 1, 'retry', $2, $2)""",
        message_id,
        SCRIPT + "x" * 1_000_000,
    )
    answer = await somebody.get(f"/console/messages/{message_id}")
    assert answer.status == 200
    assert len(answer.text) < 100_000
    assert "more characters" in answer.text
    assert "<script>document" not in answer.text


async def test_a_url_nobody_meant_is_answered_kindly(somebody: Visitor) -> None:
    for path in (
        "/messages/not-an-id", "/messages?channel=fax", "/messages?cursor=%00", "/messages?from=yesterday",
        "/dead-letters?cause=none", "/dead-letters/replay", "/dead-letters/replay?id=x", "/messages?q=%00",
        "/audit?cursor=AAAA", "/stripe?cursor=e30",
    ):  # fmt: skip
        answer = await somebody.get(f"/console{path}")
        assert answer.status == 400, f"{path}: {answer.status}"
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("in_flight", ["inf", "nan", "1e400", "2.5", "0", "9" * 30])
async def test_a_limit_that_is_no_whole_number_is_refused(
    api: Api, somebody: Visitor, in_flight: str
) -> None:
    answer = await somebody.post("/console/limits/set", [("channel", "email"), ("in_flight", in_flight)])
    assert answer.status == 400, answer.text
    assert await api.pool.fetchval("select count(*) from postroom.delivery_limit") == 0


def test_no_secret_stands_among_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2-hunter2"
    for name, value in {
        "DATABASE_URL": f"postgresql://u:{secret}@h/d", "METRICS_TOKEN": secret, "EMAIL__URL": f"smtp://u:{secret}@h",
        "STRIPE__WEBHOOK_SECRETS": f"whsec_{secret},whsec_{secret}2", "STRIPE__API_KEY": secret,
        "STRIPE__ACCOUNTS__EU__API_KEY": secret,
        "EXPORTS__URL": f"s3://{secret}@bucket", "EXPORTS__OPTIONS": f'{{"secret_access_key": "{secret}"}}',
    }.items():  # fmt: skip
        monkeypatch.setenv(f"POSTROOM_{name}", value)
    rows = {row.name: row.value for row in setting_rows(Settings())}
    assert not [name for name, value in rows.items() if secret in value]
    assert rows["POSTROOM_STRIPE__WEBHOOK_SECRETS"] == "2 set, hidden"
    assert rows["POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY"] == "set, hidden"
