"""The page in headless Chromium, with Playwright: loads, follows, is operated by keys, asks nobody else.

Needs the extra `browser` and a Chromium: Playwright's own, one on the PATH, or the one that CHROMIUM names.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hmm_plating.watch import PageServer

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.slow

LOAD = 2.0  # s, that a page may take
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        yield opened
        opened.close()


class Opened:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser: Any, server: PageServer, size: str = "desktop", scheme: str = "light") -> None:
        width, height = SIZES[size]
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        begun = time.monotonic()
        self.page.goto(server.address)
        self.page.wait_for_selector("#shifts svg polyline")
        self.seconds = time.monotonic() - begun


@pytest.fixture
def opened(browser: Any, serve: Callable[[Path], PageServer], finished: Path) -> Iterator[Callable[..., Opened]]:
    server, pages = serve(finished), []
    server.reader.poll()

    def open_page(*words: str) -> Opened:
        pages.append(Opened(browser, server, *words))
        return pages[-1]

    yield open_page
    for each in pages:
        each.page.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_loads_at_once_fits_and_asks_nobody_else(opened: Callable[..., Opened], size: str, scheme: str) -> None:
    found = opened(size, scheme)
    assert found.seconds < LOAD
    assert found.complaints == []
    assert all(url.startswith("http://127.0.0.1:") for url in found.asked)
    assert found.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 25, 29)"}[scheme]
    assert found.page.locator("#shifts figure").count() == 8  # Δf and ΔD of four overtones
    assert found.page.locator("canvas").count() == 4
    assert "withheld" in found.page.locator("#shifts").inner_text()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_against_wcag_aa(opened: Callable[..., Opened], size: str, scheme: str) -> None:
    """axe-core (Deque): contrast, names, roles, order of headings."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
    found = axe.run(opened(size, scheme).page, options=rules).response
    wrong = {rule["id"]: [node["html"][:120] for node in rule["nodes"]] for rule in found["violations"]}
    assert wrong == {}
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    undecided = [node["html"] for rule in found["incomplete"] for node in rule["nodes"]]
    assert all(html.startswith("<text") for html in undecided)  # in figures, where axe does not find the ground


CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3).map((value) => value / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
  };
  return [...document.querySelectorAll("svg text")].map((node) => {
    const pair = [luminance(getComputedStyle(node).fill), luminance(ground(node.closest("svg")))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_in_figures_stands_out(opened: Callable[..., Opened], scheme: str) -> None:
    """Contrast of WCAG 2.1, 1.4.3: at least 4.5."""
    found = opened("desktop", scheme).page.evaluate(CONTRASTS)
    assert len(found) > 50
    assert min(found) >= 4.5


def test_names_in_the_run_are_shown_as_text(opened: Callable[..., Opened]) -> None:
    """The known result's source holds a script element."""
    page = opened().page
    assert "<script>alert(1)</script>" in page.locator("#facts").inner_text()
    assert page.locator("script").count() == 1


def test_all_is_reached_and_operated_by_keys(opened: Callable[..., Opened]) -> None:
    page = opened().page
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or reached[-1] == "BODY"
        if reached[-1] == "BODY":
            break
    assert {"window", "residual", "theme"} <= set(reached)
    assert reached.count("svg") == page.locator("svg:visible").count()
    chart = page.locator("#quantities svg").first
    chart.focus()
    last = chart.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    assert chart.get_attribute("aria-valuenow") == "0"
    assert chart.get_attribute("aria-valuetext") != last
    page.keyboard.press("ArrowRight")
    assert chart.get_attribute("aria-valuenow") == "1"
    page.locator("#theme").focus()
    page.keyboard.press("End")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.wait_for_selector("#shifts svg polyline")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_every_figure_and_picture_has_a_name(opened: Callable[..., Opened]) -> None:
    page = opened().page
    for place in ("svg[role]", "canvas"):
        names = [each.get_attribute("aria-label") for each in page.locator(place).all()]
        assert all(names)
        assert len(set(names)) == len(names)


def test_follows_a_store_through_a_restart_and_its_absence(
    browser: Any, serve: Callable[[Path], PageServer], grow: Callable[[int], Path], tmp_path: Path
) -> None:
    server = serve(grow(20))
    server.reader.start()
    page = Opened(browser, server).page
    steps = page.locator("#now div", has_text="steps")

    def shows(text: str) -> None:
        sync_api.expect(steps).to_contain_text(text, timeout=12_000)

    shows("20")
    assert "7 s" in page.locator("#now div", has_text="behind the instrument").inner_text()
    grow(33)
    shows("33")
    shutil.move(server.reader.path, tmp_path / "elsewhere")
    sync_api.expect(page.locator("#problem")).to_contain_text("does not exist", timeout=12_000)
    assert page.locator("#shifts polyline").count() == 8  # what was read stays
    grow(5)  # a filter that starts anew
    shows("5")
    sync_api.expect(page.locator("#problem")).to_be_hidden()
    page.close()


def test_says_when_the_server_is_gone_and_goes_on_when_it_is_back(
    browser: Any, serve: Callable[[Path], PageServer], finished: Path
) -> None:
    server = serve(finished)
    server.reader.poll()
    page = Opened(browser, server).page
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    sync_api.expect(page.locator("#problem")).to_contain_text("start it again", timeout=12_000)
    again = PageServer(server.reader, port)
    threading.Thread(target=again.serve_forever, daemon=True).start()
    sync_api.expect(page.locator("#problem")).to_be_hidden(timeout=12_000)
    page.close()
    again.shutdown()
    again.server_close()
