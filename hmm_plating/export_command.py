"""The subcommand `export`: a result as a table, as figures for a journal, or as the model file that it came from."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from arviz import InferenceData
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.errors import InputError
from hmm_plating.report import cycle_summaries, figures
from hmm_plating.report.cycles import faradaic_mass
from hmm_plating.report.result import attributes
from hmm_plating.report.time_series import settings, time_series
from hmm_plating.run_store import open_run

_DOTS_PER_INCH = 300  # of PNG: what journals ask for
_LONGEST_TEXT = 32_767  # of a spreadsheet's cell


def add_export(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    export = commands.add_parser(
        "export",
        help="write a result as csv, xlsx, figures or its model file",
        description="Write a result in other forms, by the ending of each --output: .csv and .xlsx, the time series "
        "with intervals (xlsx: with all settings on a second sheet); .pdf, all figures at a journal's width, a page "
        "each; .png, the same, a file each; .py, the text of the model file that the result was made with.",
        epilog="For example: hmm-plating export OUT.nc --output series.csv --output figures.pdf",
    )
    export.add_argument("result", metavar="OUT.nc", help="result of hmm-plating filter")
    export.add_argument(
        "--output",
        required=True,
        action="append",
        metavar="FILE",
        help="file to write (repeatable): its ending decides",
    )
    export.add_argument(
        "--probability", type=_probability, default=0.9, metavar="P", help="that an interval holds (0.9)"
    )
    export.set_defaults(run=_export)


def _probability(text: str) -> float:
    """Type of an option: between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text!r}")
    return value


def _export(options: argparse.Namespace) -> None:
    outputs = [Path(name) for name in options.output]
    for output in outputs:
        if output.suffix not in _WRITERS:
            raise InputError(f"--output {output}: name the file with {', '.join(_WRITERS)}, got {output.suffix!r}")
        if output.is_dir():
            raise InputError(f"--output {output} is a folder: name a file")
        check_folder(output.absolute().parent)
    result = open_run(options.result)
    for output in outputs:
        for written in _WRITERS[output.suffix](result, output, options.probability):
            print(written)


def _csv(result: InferenceData, output: Path, probability: float) -> list[Path]:
    table = time_series(result, probability)
    with atomic_write(output) as temporary:
        table.to_csv(temporary)
    return [output]


def _workbook(result: InferenceData, output: Path, probability: float) -> list[Path]:
    table = time_series(result, probability)
    said = pd.Series({**settings(result), "probability of the intervals": str(probability)}, name="value")
    said = said.str.slice(stop=_LONGEST_TEXT).str.replace("^=", "'=", regex=True)  # text, never a formula
    with atomic_write(output) as temporary, pd.ExcelWriter(temporary, engine="openpyxl") as book:
        table.to_excel(book, sheet_name="time series")
        said.to_excel(book, sheet_name="settings", index_label="setting")
    return [output]


def _pdf(result: InferenceData, output: Path, probability: float) -> list[Path]:
    drawn = _figures(result, probability)
    with atomic_write(output) as temporary, PdfPages(temporary) as book:
        for figure in drawn.values():
            book.savefig(figure)
    return [output]


def _png(result: InferenceData, output: Path, probability: float) -> list[Path]:
    paths = []
    for name, figure in _figures(result, probability).items():
        path = output.with_name(f"{output.stem}-{name}.png")
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
        paths.append(path)
    return paths


def _model(result: InferenceData, output: Path, probability: float) -> list[Path]:
    text = attributes(result).get("model_text")
    if not text:
        raise InputError("the result does not hold the text of its model file; it was not made by hmm-plating filter")
    with atomic_write(output) as temporary:
        temporary.write_text(str(text), encoding="utf-8")
    return [output]


def _figures(result: InferenceData, probability: float) -> dict[str, Figure]:
    """Those that the result has what is needed for."""
    candidates: dict[str, Callable[[], Figure]] = {
        "shifts": lambda: figures.shift_figure(result, probability),
        "surfaces": lambda: figures.morphology_figure(result),
        "surface": lambda: figures.interval_figure(result),
        "parameters": lambda: figures.interval_figure(result, figures.PARAMETERS),
        "drive": lambda: figures.drive_figure(result),
        "cycles": lambda: figures.cycle_figure(cycle_summaries(result), faradaic_mass(result)),
        "filter": lambda: figures.filter_figure(result),
    }
    drawn, reasons = {}, []
    for name, draw in candidates.items():
        try:
            drawn[name] = draw()
        except InputError as error:
            reasons.append(str(error))
    if not drawn:
        raise InputError(f"the result has nothing to draw: {reasons[0]}")
    return drawn


_WRITERS: dict[str, Callable[[InferenceData, Path, float], list[Path]]] = {
    ".csv": _csv,
    ".xlsx": _workbook,
    ".pdf": _pdf,
    ".png": _png,
    ".py": _model,
}
