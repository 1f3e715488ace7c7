"""Debian's Chromium, driven by Playwright; it tells every console error and refused resource."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright

from tests.tools import require

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
DESKTOP = ViewportSize(width=1280, height=860)
PHONE = ViewportSize(width=375, height=812)
# What a page may break: nothing of WCAG 2.2 A and AA, nor of axe's own best practices.
AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# A mail has no landmarks and no heading of a page, which the best practices ask for.
WCAG_OPTIONS = AXE_OPTIONS | {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@dataclass(slots=True)
class Tab:
    """A page with a list of everything that went wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    async def violations(self, options: dict[str, list[str]] = AXE_OPTIONS) -> list[str]:
        """What axe-core finds, one line each. It is handed over by the debugger, so that our CSP stays."""
        script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        await self.page.evaluate(f"() => {{ {script}; window.axe = axe; }}")
        found: dict[str, Any] = await self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for each in found["violations"]
            for node in each["nodes"][:3]
        ]

    async def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        width: int = await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    async def shoot(self, name: str, *, full: bool = True) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=require("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, *, viewport: ViewportSize = DESKTOP, dark: bool = False, scripts: bool = True
) -> AsyncIterator[Tab]:
    """A tab of its own, with cookies of its own."""
    context = await browser.new_context(
        viewport=viewport, color_scheme="dark" if dark else "light", java_script_enabled=scripts,
        reduced_motion="reduce",
    )  # fmt: skip
    page = await context.new_page()
    page.set_default_timeout(15_000)
    tab = Tab(page)

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            tab.faults.append(f"{message.type}: {message.text}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: tab.faults.append(f"exception: {error}"))
    page.on(
        "requestfailed",
        lambda r: (
            tab.faults.append(f"failed: {r.url} {r.failure}") if r.failure != "net::ERR_ABORTED" else None
        ),
    )
    try:
        yield tab
    finally:
        await context.close()
