"""Every page, light and dark, on a page_factory and on a phone: accessible, quiet, and within its window."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, ViewportSize

from postroom.dev.stripe_events import encode, signed, snapshot_event
from postroom.outbox.model import Message
from tests.console.browser import DESKTOP, PHONE, Tab, opened
from tests.console.http import visitor
from tests.console.scene import HOSTILE, STRIPE_SECRET, Scene


@dataclass(frozen=True, slots=True)
class Look:
    dark: bool
    viewport: ViewportSize


LONG_ID = "sub_1Vez5s3mtmkoFQOvikFmp9nK0123456789"
LOOKS = {"light": Look(False, DESKTOP), "dark": Look(True, DESKTOP), "phone": Look(False, PHONE)}


WIDEST_TIMES = (
    "update postroom.stripe_event set received_at = now() - interval '9.9 min',"
    " event_created = now() - interval '19.8 min',"
    " settled_at = now() - interval '9.9 min' + interval '999 ms'"
)
"""How long a test took must not decide whether its page fits."""


async def _fill(scene: Scene) -> dict[str, str]:
    """Something on every page. Returns: the pages by name."""
    [first, *_] = await scene.webhooks("globex", 6)
    await scene.webhooks("acme", 6)
    mail = {"to": "ada@example.com", "subject": "Hi", "text": "Hello"}
    *_, exported = await scene.publish(
        [
            Message(channel="email", payload=mail, tenant="acme", correlation_id=first),
            Message(channel="email", payload={"no": HOSTILE}, tenant=HOSTILE, type=HOSTILE, key=HOSTILE),
            Message(channel="export", payload={"dataset": "invoices", "record": {"n": 1}}, tenant=HOSTILE),
        ]
    )
    for type_, id_ in (
        ("customer.created", "cus_console"),
        ("customer.subscription.trial_will_end", LONG_ID),
    ):
        bought = {"customer": "cus_1", "status": "past_due", "plan": {"product": LONG_ID}}
        body = encode(snapshot_event(type_, {"id": id_, "object": type_.split(".")[-2], **bought}))
        answer = await scene.api.post("/v1/stripe/webhook", data=body, headers=signed(body, STRIPE_SECRET))
        assert answer.status == 200, answer.text
    await scene.let_die(6)
    pool = scene.api.pool
    await scene.wait_for("select count(*) from postroom.delivery", 0)
    await pool.execute(
        "update postroom.circuit set state = 'open', retry_at = now(), reason = $1 where name = 'email'",
        HOSTILE,
    )
    await pool.execute(WIDEST_TIMES)
    endpoint = await pool.fetchval("select id from postroom.endpoint where tenant = 'globex'")
    started = await scene.api.post(
        "/v1/admin/endpoints", json={"tenant": "umbrella", "url": scene.good.url(), "description": HOSTILE}
    )
    parked = started.json["endpoint"]["id"]
    await scene.api.post(f"/v1/admin/endpoints/{parked}/park", json={"reason": HOSTILE})
    await scene.webhooks("umbrella", 3)
    async with visitor(scene.api) as guest:
        await guest.sign_in(scene.api.token)
        replay = await guest.post("/console/dead-letters/start", [("channel", "email"), ("pace", "1")])
        assert replay.status == 303, replay.text
    return {
        "overview": "",
        "messages": "/messages",
        "search": "/messages?q=acme",
        "waiting": "/messages?status=retry",
        "parked": "/messages?status=parked",
        "message": f"/messages/{first}",
        "replay": replay.headers["Location"].removeprefix("/console"),
        "webhook-parked": f"/webhooks/{parked}",
        "dead-letters": "/dead-letters",
        "dry-run": "/dead-letters/replay?channel=webhook",
        "stripe": "/stripe",
        "customers": "/customers?customer=cus_1",
        "webhooks": "/webhooks",
        "webhook": f"/webhooks/{endpoint}",
        "exports": "/exports?since=2026-01-01",
        "export": f"/messages/{exported}",
        "tasks": "/tasks",
        "jobs": "/jobs",
        "job": "/jobs/canary",
        "circuits": "/circuits",
        "channels": "/channels",
        "templates": "/templates",
        "settings": "/settings",
        "tokens": "/tokens",
        "audit": "/audit",
        "runbook": "/runbooks/DeliveriesLate",
        "sign-in": "/sign-in",
    }


async def _faults(tab: Tab, name: str) -> list[str]:
    found = [f"{name}: {line}" for line in await tab.violations()]
    if overflow_px := await tab.overflow_px():
        found.append(f"{name}: {overflow_px} px wider than the window")
    found += [f"{name}: {fault}" for fault in tab.faults]
    tab.faults.clear()
    return found


async def _look(tab: Tab, page: str, look: Look) -> list[str]:
    """The page that is open, seen so. Returns: what is wrong."""
    await tab.page.emulate_media(color_scheme="dark" if look.dark else "light", reduced_motion="reduce")
    await tab.page.set_viewport_size(look.viewport)
    found = await _faults(tab, page)
    await tab.shoot(page)
    return found


@pytest.mark.timeout(300)
async def test_every_page_is_accessible_and_quiet(scene: Scene, browser: Browser) -> None:
    """Each is loaded once, as a phone has it when it is turned, and its colours when evening comes."""
    pages = await _fill(scene)
    faults: list[str] = []
    async with opened(browser) as tab:
        await tab.page.goto(await scene.link())
        for page, path in pages.items():
            answer = await tab.page.goto(f"{scene.url}/console{path}")
            if answer is None or answer.status != 200 or "owned" in await tab.page.title():
                faults.append(f"{page}: answered {answer.status if answer else 'nothing'}")
            for name, look in LOOKS.items():
                faults += await _look(tab, f"{name}-{page}", look)
    assert faults == []


async def test_the_theme_that_was_chosen_stays(scene: Scene, browser: Browser) -> None:
    async with opened(browser) as tab:
        await tab.page.goto(await scene.link())
        await tab.page.get_by_role("button", name="Dark theme").click()
        assert await tab.page.get_attribute("html", "data-theme") == "dark"
        await tab.page.goto(f"{scene.url}/console/jobs")
        assert await tab.page.get_attribute("html", "data-theme") == "dark"
        assert await tab.violations() == []
