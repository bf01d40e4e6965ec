"""A table of text, and the three ways it is written: aligned, markdown, HTML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """Column names and rows of cells of the same number."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """Columns aligned by spaces, a rule under the header."""
        widths = self._widths()
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in self._lines()]
        return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])

    def markdown(self) -> str:
        """A pipe table, aligned in its source too."""
        widths = self._widths()
        lines = [
            "| " + " | ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in self._lines()
        ]
        return "\n".join([lines[0], "|" + "|".join("-" * (w + 1) + ":" for w in widths) + "|", *lines[1:]])

    def html(self, caption: str) -> str:
        """A table element; every cell is escaped, the caption is text."""
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return (
            f'<div class="wide"><table><caption>{escape(caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _lines(self) -> tuple[tuple[str, ...], ...]:
        return (self.header, *self.rows)

    def _widths(self) -> list[int]:
        return [max(len(line[column]) for line in self._lines()) for column in range(len(self.header))]


def number(value: float, decimals: int) -> str:
    """A number with fixed decimals, "–" where it is not finite."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else "–"
