"""The page: valid, self-contained, complete, escaped, and written whole or not at all."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from arviz import InferenceData

from hmm_plating.errors import InputError
from hmm_plating.report import page
from hmm_plating.report.page import report_page, write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}
SECTIONS = ("Warnings", "Predictions", "Surface", "Model quantities", "Experiment", "Cycles", "Filter", "Reproduce")


class Outline(HTMLParser):
    """Checks nesting, and collects headings, pictures, links and anchors."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.add(tag)
        self.targets += [values[name] for name in ("src", "href", "srcset", "data") if name in values]
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def written(tmp_path_factory, result_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "page.html"
    write_report(result_factory(draws=100), path)
    assert [child.name for child in path.parent.iterdir()] == ["page.html"]
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_and_has_every_section(written):
    parsed = outline(written)
    assert written.startswith("<!DOCTYPE html>")
    assert parsed.headings == list(SECTIONS)
    assert {"header", "main", "section", "nav", "figure", "figcaption", "table", "caption"} <= parsed.tags


def test_page_needs_nothing_from_outside(written):
    parsed = outline(written)
    assert not [target for target in parsed.targets if not target.startswith(("data:image/png;base64,", "#"))]
    assert {target[1:] for target in parsed.targets if target.startswith("#")} <= parsed.anchors
    assert "http" not in written
    assert "url(" not in written
    assert "@import" not in written
    assert "script" not in parsed.tags


def test_pictures_are_png_with_alternative_text(written):
    images = outline(written).images
    assert len(images) == 7
    for image in images:
        assert len(image["alt"]) > 10
        assert base64.b64decode(image["src"].split(",", 1)[1]).startswith(b"\x89PNG\r\n")


def test_strings_from_the_file_are_escaped(written):
    assert "<script>alert" not in written
    assert "&lt;script&gt;alert" in written


def test_page_adapts_to_dark_and_small_screens(written):
    assert "prefers-color-scheme: dark" in written
    assert 'name="viewport"' in written


def test_summary_states_what_came_out(written):
    # the charge ends at +180 C/m² after three cycles of −600 + 540, its thickness at 9 nm with a spread of 1 nm
    median, lower, upper = (
        float(number) for number in re.search(r"final thickness.*?([\d.]+) nm \[([\d.]+), ([\d.]+)\]", written).groups()
    )
    assert median == pytest.approx(9.0, abs=0.5)
    assert upper - lower == pytest.approx(2 * 1.645, rel=0.3)  # 100 draws
    assert "-900.5" in written
    assert "models/zinc.py" in written


@pytest.mark.slow
@pytest.mark.parametrize("absent", ["posterior", "posterior_predictive", "constant_data", "filter_stats"])
def test_a_missing_group_leaves_a_page_that_says_so(result_factory, absent):
    result = result_factory(draws=20)
    del result.attrs["particles"]
    result.observed_data["frequency_shift"][10:30, 1] = np.nan
    reduced = InferenceData(attrs=result.attrs, **{name: result[name] for name in result.groups() if name != absent})
    text = report_page(reduced)
    assert outline(text).headings == list(SECTIONS)
    assert ("Not shown" in text) or absent == "filter_stats"
    assert "Overtone 5 has no value at 20 of 180 steps" in text


def test_without_observations_there_is_no_page(result, tmp_path):
    with pytest.raises(InputError, match="observed_data"):
        write_report(InferenceData(posterior=result.posterior), tmp_path / "page.html")


def test_missing_folder_is_an_input_error(result, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write_report(result, tmp_path / "nowhere" / "page.html")


def test_failure_leaves_the_old_page_and_nothing_else(result, tmp_path, monkeypatch):
    path: Path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*_):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(page, "report_page", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_report(result, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
