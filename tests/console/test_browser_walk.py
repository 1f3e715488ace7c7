"""The walk of whoever is on call, in a real browser on the running product with real traffic."""

from __future__ import annotations

import re

from playwright.async_api import Browser, expect

from tests.console.browser import PHONE, opened
from tests.console.scene import Scene


async def test_a_broken_receivers_letters_are_found_mended_and_replayed(
    scene: Scene, browser: Browser
) -> None:
    await scene.webhooks("acme", 10)
    await scene.webhooks("globex", 60)
    await scene.let_die(60)
    async with opened(browser) as tab:
        page = tab.page
        await page.goto(f"{scene.url}/console")
        await page.get_by_label("Access token").fill(scene.api.token)
        await page.get_by_role("button", name="Sign in").click()
        tile = page.locator(".tile", has=page.get_by_role("heading", name="Dead letters"))
        await expect(tile.locator(".figure")).to_have_text("60")

        await tile.get_by_role("link", name="60", exact=True).click()
        fault = page.locator("#groups tbody tr")
        await expect(fault).to_have_count(1)
        await expect(fault).to_contain_text("answered 404")
        await page.keyboard.press("j")
        await page.keyboard.press("r")

        await expect(page.locator(".lead")).to_have_text("60 letters to 1 receiver.")
        await expect(page.locator("main")).to_contain_text(scene.broken.url())
        assert await scene.api.pool.fetchval("select count(*) from postroom.dead_letter") == 60

        scene.broken.behaviour = "ok"
        await page.get_by_label("Another pace:").fill("15")
        await page.get_by_role("button", name="Replay 60").click()
        await expect(page.locator("h1")).to_contain_text("Replay running")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("h1")).to_contain_text("paused")
        held = await scene.api.pool.fetchval("select count(*) from postroom.dead_letter")
        assert 0 < held < 60
        await page.get_by_role("button", name="Resume").click()
        # Live: nobody reloads the page while it counts.
        await expect(page.locator("#replay h1")).to_contain_text("over", timeout=20_000)
        await expect(page.locator("#replay .facts div", has_text="Done")).to_contain_text("60")
        await page.get_by_role("link", name="Overview").click()
        await expect(tile.locator(".figure")).to_have_text("0")
        assert tab.faults == []
    await scene.wait_for("select count(*) from postroom.dead_letter", 0)
    delivered = {received.id for received in scene.broken.received if received.valid}
    assert len(delivered) == 60


async def test_the_count_falls_while_somebody_watches(scene: Scene, browser: Browser) -> None:
    await scene.webhooks("globex", 20)
    await scene.let_die(20)
    scene.broken.behaviour = "ok"
    async with opened(browser) as tab:
        page = tab.page
        await page.goto(await scene.link())
        figure = page.locator(".tile", has_text="Dead letters").locator(".figure")
        await expect(figure).to_have_text("20")
        await expect(page.locator("[data-pulse]")).to_have_class(re.compile("on"))
        answer = await scene.api.post(
            "/v1/admin/outbox/replay", json={"filter": {"channel": "webhook"}, "pace_per_s": 5}
        )
        assert answer.json["replayed"] == 20
        await expect(figure).to_have_text("0", timeout=15_000)


async def test_keys_choose_rows_and_search(scene: Scene, browser: Browser) -> None:
    await scene.webhooks("globex", 3)
    await scene.let_die(3)
    async with opened(browser) as tab:
        page = tab.page
        await page.goto(await scene.link())
        await page.goto(f"{scene.url}/console/dead-letters?channel=webhook&tenant=globex")
        for key in ("j", "x", "j", "x"):
            await page.keyboard.press(key)
        await expect(page.get_by_role("button", name="Replay 2 chosen…")).to_be_enabled()
        await page.keyboard.press("r")
        await expect(page.locator(".lead")).to_have_text("2 letters to 1 receiver.")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("/")
        await page.keyboard.type("globex:invoice.paid:1")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_contain_text("invoice.paid")
        assert tab.faults == []


async def test_without_scripts_a_letter_is_replayed_all_the_same(scene: Scene, browser: Browser) -> None:
    await scene.webhooks("globex", 2)
    await scene.let_die(2)
    scene.broken.behaviour = "ok"
    async with opened(browser, scripts=False) as tab:
        page = tab.page
        await page.goto(await scene.link())
        await page.goto(f"{scene.url}/console/dead-letters")
        await page.get_by_role("link", name=re.compile("^Replay")).first.click()
        await page.get_by_role("button", name="Replay 2").click()
        await page.wait_for_url(re.compile("/console/replays/"))
        await scene.wait_for("select count(*) from postroom.delivery", 0)
        await page.reload()
        await expect(page.locator("h1")).to_contain_text("over")


async def test_on_a_phone_all_letters_of_a_page_are_chosen_at_once(scene: Scene, browser: Browser) -> None:
    await scene.webhooks("globex", 3)
    await scene.let_die(3)
    async with opened(browser, viewport=PHONE) as tab:
        page = tab.page
        await page.goto(await scene.link())
        await page.goto(f"{scene.url}/console/dead-letters?channel=webhook&tenant=globex")
        every = page.get_by_text("Choose all on this page")
        seen = await every.bounding_box()
        assert seen is not None
        assert seen["width"] > 100
        assert seen["height"] > 10
        await every.click()
        await expect(page.get_by_role("button", name="Replay 3 chosen…")).to_be_enabled()
        await tab.shoot("phone-chosen")
        await page.get_by_role("checkbox", name="Choose all on this page").click()
        await expect(page.get_by_role("button", name="Replay the chosen…")).to_be_disabled()
        assert await tab.violations() == []
        assert tab.faults == []
        assert await tab.overflow_px() == 0
