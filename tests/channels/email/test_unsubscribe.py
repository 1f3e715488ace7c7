"""One click ends mail of one category, for one address of one tenant, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.base.settings import Settings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.unsubscribe_link import Unsubscribe, can_link, make_link, read_token
from postroom.dev.mailbox import Mailbox, ReceivedMail
from postroom.outbox.model import Message
from tests.fixtures.api import Api, running_api
from tests.fixtures.engine import AdapterEngine

SECRETS = "a secret of the test, new,a secret of the test, old"
BASE = "https://mail.shop.example/"
OFFER = {"to": "Ann <Ann@example.com>", "subject": "Offers", "text": "Cheap!", "category": "offers"}
WISH = Unsubscribe(UUID(int=7), "ann@example.com", "acme", "offers")
ENDED = "select outcome from postroom.attempt order by ended_at"


def settings_for(port: int, **more: object) -> EmailSettings:
    values = {
        "url": f"smtp://127.0.0.1:{port}",
        "from": "Shop <shop@shop.example>",
        "senders": {"acme": {"from": "Acme <news@acme.example>", "reply_to": "help@acme.example"}},
        "unsubscribe_url": BASE,
        "unsubscribe_secrets": SECRETS,
    }
    return EmailSettings.model_validate({**values, **more})


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    await mailbox.start()
    yield mailbox
    await mailbox.close()


@pytest.fixture
async def engine(dsn: str, pool: Pool, mailbox: Mailbox) -> AsyncIterator[AdapterEngine]:
    adapter = EmailAdapter(settings=settings_for(mailbox.port), pool=pool, clock=SystemClock())
    yield await AdapterEngine(dsn, pool, adapter).start()
    await adapter.close()


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(state_dir=tmp_path)
    settings.email.unsubscribe_secrets = SecretStr(SECRETS)
    async with running_api(dsn, settings) as api:
        yield api


async def send(
    engine: AdapterEngine, mailbox: Mailbox, tenant: str = "acme", **changes: object
) -> ReceivedMail:
    before = len(mailbox.mails)
    await engine.publish([Message(channel="email", payload={**OFFER, **changes}, tenant=tenant)])
    await engine.drain()
    return (await mailbox.wait_for(before + 1))[-1]


def path_of(mail: ReceivedMail) -> str:
    """Of the link, as a mail client takes it from the header (RFC 8058)."""
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail.message["List-Unsubscribe"]
    assert link.startswith(f"<{BASE}unsubscribe?t=")
    assert link.endswith(">")
    url = urlsplit(link[1:-1])
    return f"{url.path}?{url.query}"


async def test_one_click_ends_one_category_of_one_tenant(
    api: Api, engine: AdapterEngine, mailbox: Mailbox
) -> None:
    path = path_of(await send(engine, mailbox))
    for _ in range(2):  # a second click changes nothing
        clicked = await api.post(path, headers={}, data={"List-Unsubscribe": "One-Click"})
        assert (clicked.status, "a***@example.com" in clicked.text) == (200, True)
    await engine.publish([Message(channel="email", payload=OFFER, tenant="acme")])
    await engine.drain()
    await send(engine, mailbox, tenant="other")
    await send(engine, mailbox, category="news")
    await send(engine, mailbox, category=None)  # essential
    assert len(mailbox.mails) == 4
    outcomes = [row[0] for row in await api.pool.fetch(ENDED)]
    assert outcomes == ["delivered", "suppressed", "delivered", "delivered", "delivered"]
    listed = (await api.get("/v1/admin/unsubscribes?address=ANN@example.com")).json["items"]
    assert [(each["tenant"], each["category"]) for each in listed] == [("acme", "offers")]
    first = await api.pool.fetchval("select id from postroom.message order by id limit 1")
    assert listed[0]["message_id"] == str(first)


async def test_essential_mail_ignores_unsubscribes_and_never_a_hard_bounce(
    api: Api, engine: AdapterEngine, mailbox: Mailbox
) -> None:
    clicked = await api.post(
        path_of(await send(engine, mailbox)), headers={}, data={"List-Unsubscribe": "One-Click"}
    )
    assert clicked.status == 200
    await send(engine, mailbox, category=None)
    await api.pool.execute(
        "insert into postroom.suppression (address, reason) values ('ann@example.com', 'bounced at ses')"
    )
    await engine.publish([Message(channel="email", payload={**OFFER, "category": None}, tenant="acme")])
    await engine.drain()
    assert len(mailbox.mails) == 2
    assert [row[0] for row in await api.pool.fetch(ENDED)] == ["delivered", "delivered", "suppressed"]


async def test_a_look_changes_nothing(api: Api, engine: AdapterEngine, mailbox: Mailbox) -> None:
    """Scanners of mail follow every link in it."""
    path = path_of(await send(engine, mailbox))
    for method in ("GET", "HEAD"):
        looked = await api.call(method, path, headers={})
        assert looked.status == 200
        assert looked.headers["Referrer-Policy"] == "no-referrer"
    assert await api.pool.fetchval("select count(*) from postroom.unsubscribed") == 0


async def test_a_tenant_has_a_sender_of_its_own(engine: AdapterEngine, mailbox: Mailbox) -> None:
    own = await send(engine, mailbox)
    assert (own.sender, own.message["From"]) == ("news@acme.example", "Acme <news@acme.example>")
    assert own.message["Reply-To"] == "help@acme.example"
    assert own.message["Message-ID"].endswith("@acme.example>")
    asked = await send(engine, mailbox, reply_to="desk@acme.example")
    assert asked.message["Reply-To"] == "desk@acme.example"
    other = await send(engine, mailbox, tenant="other")
    assert (other.sender, other.message["Reply-To"]) == ("shop@shop.example", None)


async def test_a_template_shows_the_link(dsn: str, pool: Pool, mailbox: Mailbox, tmp_path: Path) -> None:
    (tmp_path / "offer.subject").write_text("Offers")
    (tmp_path / "offer.txt").write_text("Cheap! No more: {{ unsubscribe_url }}")
    link = '<mj-text><a href="{{ unsubscribe_url }}">No more</a></mj-text>'
    section = f"<mj-section><mj-column>{link}</mj-column></mj-section>"
    (tmp_path / "offer.mjml").write_text(f"<mjml><mj-body>{section}</mj-body></mjml>")
    settings = settings_for(mailbox.port, templates_dir=tmp_path)
    adapter = EmailAdapter(settings=settings, pool=pool, clock=SystemClock())
    engine = await AdapterEngine(dsn, pool, adapter).start()
    payload = {"to": "ann@example.com", "template": "offer", "category": "offers"}
    await engine.publish([Message(channel="email", payload=payload, tenant="acme")])
    await engine.drain()
    [mail] = await mailbox.wait_for(1)
    await adapter.close()
    link = mail.message["List-Unsubscribe"][1:-1]
    assert [link in part.get_content() for part in mail.message.iter_parts()] == [True, True]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"category": "Offers!"}, "category"),
        ({"cc": "bob@example.com"}, "category"),
        ({"headers": {"List-Unsubscribe": "<mailto:a@b.example>"}}, "headers.List-Unsubscribe"),
    ],
)
async def test_what_cannot_be_unsubscribed_from_is_refused(
    engine: AdapterEngine, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        engine.adapter.check({**OFFER, **changes})
    assert refused.value.field == field


async def test_without_a_way_to_unsubscribe_it_waits(dsn: str, pool: Pool, mailbox: Mailbox) -> None:
    settings = settings_for(mailbox.port, unsubscribe_secrets=None)
    adapter = EmailAdapter(settings=settings, pool=pool, clock=SystemClock())
    with pytest.raises(InvalidPayload, match="POSTROOM_EMAIL__UNSUBSCRIBE_SECRETS"):
        adapter.check(OFFER)
    engine = await AdapterEngine(dsn, pool, adapter).start()
    await engine.publish([Message(channel="email", payload=OFFER)])
    await engine.drain()
    await adapter.close()
    assert not mailbox.mails
    assert await pool.fetchval("select count(*) from postroom.delivery") == 1
    assert await pool.fetchval("select count(*) from postroom.attempt") == 0


async def test_a_tenant_that_no_message_can_have_is_refused(api: Api) -> None:
    tenant = "".join(chr(each) for each in range(200, 4_200))
    wish = {"address": "ann@example.com", "tenant": tenant, "category": "offers"}
    answer = await api.post("/v1/admin/unsubscribes", json=wish)
    assert (answer.status, answer.json["field"]) == (400, "tenant"), answer.text


def test_a_comma_alone_is_no_secret() -> None:
    assert can_link(settings_for(25))
    assert not can_link(settings_for(25, unsubscribe_secrets=" , "))


def test_a_link_is_ours_alone_and_the_same_each_time() -> None:
    secrets = SecretStr(SECRETS)
    token = make_link(BASE, secrets, WISH).partition("?t=")[2]
    assert token == make_link(BASE, secrets, WISH).partition("?t=")[2]
    assert "ann" not in token.lower()
    assert read_token(secrets, token) == WISH
    old = make_link(BASE, SecretStr(["a secret of the test", " old"][1]), WISH).partition("?t=")[2]
    assert read_token(secrets, old) == WISH


@pytest.mark.parametrize("cut", [1, 10, 40])
async def test_a_link_that_was_changed_or_made_by_others_does_nothing(api: Api, cut: int) -> None:
    token = make_link(BASE, SecretStr(SECRETS), WISH).partition("?t=")[2]
    other = make_link(BASE, SecretStr("somebody else's secret"), WISH).partition("?t=")[2]
    flipped = token[:cut] + ("A" if token[cut] != "A" else "B") + token[cut + 1 :]
    for each in (token[:-cut], flipped, other, "", "é", "A" * 3_000):
        assert (await api.post("/unsubscribe", params={"t": each}, headers={})).status == 404
        with pytest.raises(InvalidInput):
            read_token(SecretStr(SECRETS), each)
    assert await api.pool.fetchval("select count(*) from postroom.unsubscribed") == 0
