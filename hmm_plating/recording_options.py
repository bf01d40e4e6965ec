"""Options of the subcommands that read instrument files: what a file does not say itself."""

from __future__ import annotations

import argparse
from typing import Any

from hmm_plating.command_options import integer, positive
from hmm_plating.errors import InputError
from hmm_plating.recording import Hints
from hmm_plating.recording.formats import parse_columns


def add_hints(parser: Any) -> None:
    """Add the options to a subcommand."""
    parser.add_argument(
        "--columns",
        type=_columns,
        metavar="MAP",
        help="which column of the QCM's file is what, for a table of unknown layout: "
        "'time=HEADER,f3=HEADER,D3=HEADER,…', f3/n for Δf/n, also current, charge, potential",
    )
    parser.add_argument(
        "--electrochemistry-columns",
        type=_columns,
        metavar="MAP",
        help="the same of the potentiostat's file: 'time=HEADER,current=HEADER,potential=HEADER'",
    )
    parser.add_argument(
        "--scan-rate", type=positive, metavar="V/S", help="sweep rate of the potential in V/s, for a file without time"
    )
    parser.add_argument("--sensor", type=integer(1), metavar="N", help="which of several sensors (default: the first)")


def hints_of(options: argparse.Namespace) -> Hints:
    """What the options say."""
    return Hints(options.columns, options.electrochemistry_columns, options.scan_rate, options.sensor)


def _columns(text: str) -> dict[str, str]:
    try:
        return parse_columns(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
