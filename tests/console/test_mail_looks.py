"""The shipped mails in a browser, light and dark: nothing against WCAG, and nothing wider than a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from postroom.channels.email.template import TemplateFolders, Templates
from postroom.channels.email.template_check import read_sample
from tests.console.browser import PHONE, WCAG_OPTIONS, opened

FOLDERS = TemplateFolders(None)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_mails_can_be_read_by_everybody(browser: Browser, dark: bool) -> None:
    templates = Templates(FOLDERS)
    for name in FOLDERS.names():
        html = templates.render(name, read_sample(FOLDERS, name) or {}, locale="de" if dark else None).html
        async with opened(browser, viewport=PHONE, dark=dark) as tab:
            await tab.page.set_content(html)
            assert await tab.violations(WCAG_OPTIONS) == [], name
            assert await tab.overflow_px() == 0, name
            await tab.shoot(f"mail-{name}-{'dark' if dark else 'light'}")


async def test_the_amounts_of_a_receipt_belong_to_their_headers(browser: Browser) -> None:
    html = Templates(FOLDERS).render("receipt", read_sample(FOLDERS, "receipt") or {}).html
    async with opened(browser) as tab:
        await tab.page.set_content(html)
        cell = tab.page.get_by_role("row", name="Total").get_by_role("rowheader")
        assert await cell.all_inner_texts() == ["Subtotal", "Total"]
        headers = tab.page.get_by_role("columnheader")
        assert await headers.all_inner_texts() == ["Item", "Amount"]
