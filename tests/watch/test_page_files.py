"""The page's own files: nothing from elsewhere, nothing its policy forbids, labels, and legible colours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

FOLDER = files("hmm_plating.watch")
HTML, CSS, SCRIPT, ICON = (
    (FOLDER / f"page.{kind}").read_text("utf-8") if kind != "svg" else (FOLDER / "icon.svg").read_text("utf-8")
    for kind in ("html", "css", "js", "svg")
)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name: nothing is loaded from there


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(HTML)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


ELEMENTS = Elements().found


@pytest.mark.parametrize("text", [HTML, CSS, SCRIPT, ICON], ids=["html", "css", "js", "svg"])
def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    assert not re.findall(r"https?:|//[a-z0-9.-]+\.[a-z]+/|@import|url\(", text.replace(NAMESPACE, ""))


def test_links_and_scripts_are_of_the_same_origin_and_none_are_inline() -> None:
    """As the policy says: an inline script, style or handler would not run."""
    for tag, attributes in ELEMENTS:
        for name in ("src", "href"):
            assert attributes.get(name, "/").startswith(("/", "#")), attributes
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "script" or "src" in attributes


def test_the_script_never_makes_code_or_markup_of_text() -> None:
    """Names of files come from the run: they are put in as text."""
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in SCRIPT


def test_language_title_viewport_and_headings() -> None:
    tags = [tag for tag, _ in ELEMENTS]
    assert ("html", {"lang": "en"}) in ELEMENTS
    assert "title" in tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in ELEMENTS
    assert tags.count("h1") == 1
    assert tags.count("main") == 1


def test_every_control_has_a_label_and_every_reference_a_target() -> None:
    ids = [attributes["id"] for _, attributes in ELEMENTS if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes["for"] for tag, attributes in ELEMENTS if tag == "label"}
    controls = {attributes["id"] for tag, attributes in ELEMENTS if tag in ("select", "input")}
    assert controls
    assert controls == labelled
    for _, attributes in ELEMENTS:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    for name in re.findall(r'element\("([a-z-]+)"\)', SCRIPT):
        assert name in ids, name


def test_sections_that_the_script_fills_exist() -> None:
    ids = {attributes["id"] for _, attributes in ELEMENTS if "id" in attributes}
    assert set(re.findall(r'(?:reveal|put|list|chart)\("([a-z-]+)"', SCRIPT)) <= ids


def schemes() -> dict[str, dict[str, str]]:
    """{selector: its colours} of the rules that set them."""
    rules = re.findall(r"(:root[^{]*)\{([^}]*--text[^}]*)\}", CSS)
    return {selector.strip(): dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", body)) for selector, body in rules}


LIGHT = next(iter(schemes().values()))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)  # the lightest grey that passes AA


def test_there_are_two_schemes_and_the_chosen_dark_is_that_of_the_system() -> None:
    light, system, chosen = schemes().values()
    assert system == chosen
    assert light["ground"] != chosen["ground"]


@pytest.mark.parametrize("scheme", range(3))
def test_text_and_lines_stand_out(scheme: int) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for lines and dots (1.4.3, 1.4.11)."""
    colours = LIGHT | list(schemes().values())[scheme]
    for ground in ("ground", "card"):
        for text in ("text", "soft", "accent", "forecast"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["warn-text"], colours["warn-ground"]) >= 4.5
    assert contrast(colours["metal"], colours["liquid"]) >= 3


def test_every_colour_of_the_style_is_one_of_the_scheme() -> None:
    """So that the ratios above are those of the page."""
    outside = re.sub(r":root[^{]*\{[^}]*\}", "", CSS)
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?![^{]*\{)|rgb\(|hsl\(", outside)
    for name in re.findall(r"var\(--([a-z-]+)\)", outside):
        assert name in LIGHT, name
