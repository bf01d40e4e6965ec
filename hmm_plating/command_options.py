"""What the subcommands' options share: those that several have, types that refuse what cannot be used, and units."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

SQUARE_CENTIMETRE = 1e-4  # m²
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


def add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, metavar="FILE", help="model file, e.g. models/zinc.py")


def add_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=integer(0), default=0, help="random seed (default 0)")


def add_plating(command: argparse.ArgumentParser, cycles: int) -> None:
    """The given current; `cycles` is how many plate/strip cycles go before by default."""
    command.add_argument(
        "--cycles",
        type=integer(0),
        default=cycles,
        help=f"plate/strip cycles before the last plating (default {cycles})",
    )
    command.add_argument("--current", type=positive, default=1.0, metavar="MA", help="current density in mA/cm² (1)")
    command.add_argument("--plating-time", type=positive, default=60.0, metavar="S", help="seconds of plating (60)")


def add_area(command: argparse.ArgumentParser) -> None:
    command.add_argument("--area", type=positive, default=0.785, metavar="CM2", help="electrode area in cm² (0.785)")
