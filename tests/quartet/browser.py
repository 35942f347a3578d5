"""Pages opened in a real browser: what it complains about, what does not fit, and which words it cannot draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.tools import tool

WIDTHS = (1200, 400)
"""A desk and a telephone [px]."""
FIRST_CHINESE = "\u2e80"
MARK_FIRST_CHINESE = """() => {
  const seen = {};
  for (const node of document.querySelectorAll("main *:not(svg *)")) {
    const texts = [...node.childNodes].filter(child => child.nodeType === Node.TEXT_NODE);
    const own = texts.map(child => child.data).join("");
    const style = getComputedStyle(node), key = style.font + style.fontVariantNumeric;
    if (/[\\u2e80-\\uffff]/.test(own) && (seen[key] = (seen[key] || 0) + 1) <= 3) node.setAttribute("data-look", "");
  }
  return [...document.querySelectorAll("[data-look]")].map(node => node.textContent);
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool("chromium"), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def complaints(browser: Browser, file: Path) -> list[str]:
    """What is wrong with a page at a desk and on a telephone; empty for a page that is right."""
    return [f"{width} px: {text}" for width in WIDTHS for text in _at(browser, file, width)]


def _at(browser: Browser, file: Path, width: int) -> Iterator[str]:
    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    try:
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: said.extend(_outside(request.url, file)))
        page.goto(file.as_uri())
        page.evaluate("document.fonts.ready")
        yield from said
        if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
            yield f"the page is {needed} px wide"
        yield from (f"not drawn: {text}" for text in _undrawn(page))
    finally:
        page.close()


def _outside(url: str, file: Path) -> list[str]:
    """A request for anything but the page itself and what it carries."""
    return [] if url == file.as_uri() or url.startswith("data:") else [f"asks for {url}"]


def _undrawn(page: Page) -> Iterator[str]:
    """Texts with more Chinese characters than the page's own font drew, of the first few in each style."""
    texts = page.evaluate(MARK_FIRST_CHINESE)
    session = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        session.send(f"{domain}.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    nodes = session.send("DOM.querySelectorAll", {"nodeId": root, "selector": "[data-look]"})["nodeIds"]
    for text, node in zip(texts, nodes, strict=True):
        fonts: list[dict[str, Any]] = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        drawn = sum(font["glyphCount"] for font in fonts if font["isCustomFont"])
        if drawn < sum(character >= FIRST_CHINESE for character in text):
            yield text
