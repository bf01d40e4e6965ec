"""The three renderings of a table."""

import re

from hmm_plating.report.table import Table, number

TABLE = Table(("a", "long name"), (("1", "x<y"), ("22", "–")))


def test_text_is_aligned_to_the_right():
    assert TABLE.text() == " a  long name\n──  ─────────\n 1        x<y\n22          –"


def test_markdown_has_a_rule_and_one_line_per_row():
    lines = TABLE.markdown().splitlines()
    assert [line.count("|") for line in lines] == [3, 3, 3, 3]
    assert re.fullmatch(r"\|-+:\|-+:\|", lines[1])


def test_html_escapes_cells_and_caption():
    page = TABLE.html("a & b")
    assert "x&lt;y" in page
    assert "a &amp; b" in page


def test_number_has_a_dash_for_what_is_not_one():
    assert number(1.005, 1) == "1.0"
    assert number(float("nan"), 1) == "–"
