"""Live updates in a browser: they rest while nobody looks, and hold nobody up who stops the service."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, expect

from postroom.admin.tokens import Scope
from postroom.base.db import Pool, transaction
from postroom.console.access.sign_in_link import create_sign_in_link
from postroom.encryption.keyring import NO_KEYS
from tests.console.browser import opened
from tests.console.scene import Scene
from tests.processes.commands import Running
from tests.processes.local_postgres import wait_until

LISTENING_S = 40.0
# A stream notices within a second; what is open may then end in peace. Without that it lasts 5 minutes.
STOPPED_S = 15.0
HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_the_stream_rests_while_the_page_is_hidden(scene: Scene, browser: Browser) -> None:
    async with opened(browser) as tab:
        page = tab.page
        await page.goto(await scene.link())
        await page.goto(f"{scene.url}/console/messages")
        pulse = page.locator("[data-pulse]")
        await expect(pulse).to_have_class(re.compile("on"))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        async with page.expect_event("requestfailed", lambda r: r.url.endswith("/console/live")):
            await page.evaluate(HIDE, True)
        await expect(pulse).not_to_have_class(re.compile("on"))
        # A change that everybody who listens hears of.
        await scene.webhooks("acme", 3)
        await scene.wait_for("select count(*) from postroom.delivery", 0)
        assert asked == []
        async with page.expect_request("**/console/live"):
            await page.evaluate(HIDE, False)
        await expect(pulse).to_have_class(re.compile("on"))
        await expect(page.locator("tr[data-row]")).to_have_count(3)


async def test_a_page_without_anything_live_shows_no_pulse_and_asks_for_none(
    scene: Scene, browser: Browser
) -> None:
    async with opened(browser) as tab:
        await tab.page.goto(await scene.link())
        await expect(tab.page.locator("[data-pulse]")).to_have_class(
            re.compile("on")
        )  # the overview has asked
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url))
        await tab.page.goto(f"{scene.url}/console/settings")
        await expect(tab.page.locator("[data-pulse]")).to_be_hidden()
        assert [url for url in asked if url.endswith("/live")] == []


async def test_all_of_a_page_is_chosen_at_once(scene: Scene, browser: Browser) -> None:
    await scene.webhooks("globex", 4)
    await scene.let_die(4)
    async with opened(browser) as tab:
        await tab.page.goto(await scene.link())
        await tab.page.goto(f"{scene.url}/console/dead-letters")
        await tab.page.get_by_label("Choose all on this page").check()
        await tab.page.get_by_role("button", name="Replay 4 chosen…").click()
        await expect(tab.page.locator(".lead")).to_have_text("4 letters to 1 receiver.")


async def test_an_open_stream_does_not_hold_up_a_shutdown(pool: Pool, dsn: str, tmp_path: Path) -> None:
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path), "POSTROOM_PORT": "0"}
    running = Running(["serve"], home=tmp_path, settings=settings)
    try:
        assert wait_until(lambda: running.says("http.listening"), limit_s=LISTENING_S), running.output
        plain = re.sub(r"\x1b\[[0-9;]*m", "", running.output)
        port = re.search(r"http.listening.*?port\W+(\d+)", plain)
        assert port is not None, plain
        base = f"http://127.0.0.1:{port[1]}"
        async with transaction(pool) as conn:
            link = await create_sign_in_link(conn, base, tuple(Scope), keyring=NO_KEYS)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            async with client.get(link) as entered:
                assert entered.status == 200
            async with client.get(f"{base}/console/live") as stream:
                await stream.content.readuntil(b"event: change")
                running.process.send_signal(signal.SIGTERM)
                assert wait_until(lambda: running.process.poll() is not None, limit_s=STOPPED_S)
        assert running.process.returncode == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(STOPPED_S)
