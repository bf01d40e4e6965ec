"""What the subcommands' options share: types that refuse what cannot be used, and units."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

MILLIAMPERE_PER_SQUARE_CENTIMETRE = 10.0  # A/m²


def integer(minimum: int) -> Callable[[str], int]:
    """Type of an option: a whole number of at least `minimum`."""

    def parse(text: str) -> int:
        if not (text.isdecimal() and minimum <= int(text) < 2**63):
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}, got {text!r}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """Type of an option: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value
