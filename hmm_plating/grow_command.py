"""The subcommand `grow`: a surface under a given current, to look at."""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hmm_plating import recording
from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.command_options import (
    MILLIAMPERE_PER_SQUARE_CENTIMETRE,
    add_model,
    add_plating,
    add_seed,
    integer,
    positive,
)
from hmm_plating.errors import InputError
from hmm_plating.grow_surface import DEFAULT_PICTURES, grow_surface
from hmm_plating.model_file import load_model_file, model_file_errors
from hmm_plating.report.figures import growth_animation, growth_figure
from hmm_plating.simulate_recording import Protocol

_STRIPPING_TIME = 55.0  # s, that of `simulate`
_RESOLUTION = 200  # dots per inch of a film strip
_DIGITS = 5  # of the phase field in a file: more are noise, which makes files four times larger


def add_grow(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    grow = commands.add_parser(
        "grow",
        help="grow a surface under a given current, to look at",
        description="Grow one surface from the bare crystal under a given current: nothing is observed or inferred. "
        "Writes pictures of it and the numbers that describe it over time as netCDF, in SI units.",
    )
    add_model(grow)
    grow.add_argument("--output", required=True, metavar="OUT.nc", help="growth (netCDF)")
    grow.add_argument(
        "--figure",
        action="append",
        default=[],
        metavar="FILE",
        help="also draw it: a film strip (.png) or an animation (.gif); may be repeated",
    )
    add_seed(grow)
    add_plating(grow, cycles=0)
    grow.add_argument(
        "--stripping-time", type=positive, metavar="S", help=f"seconds of stripping in each cycle ({_STRIPPING_TIME:g})"
    )
    grow.add_argument("--interval", type=positive, default=1.0, metavar="S", help="step in s (1)")
    grow.add_argument(
        "--pictures", type=integer(1), default=DEFAULT_PICTURES, metavar="N", help=f"to keep ({DEFAULT_PICTURES})"
    )
    grow.add_argument(
        "--dimensions",
        type=int,
        choices=(2, 3),
        help="2: a section; 3: a box, as deep as it is wide unless its grid says otherwise (default: the model's)",
    )
    grow.set_defaults(run=_grow)


def _grow(options: argparse.Namespace) -> None:
    output, figures = Path(options.output), [Path(figure) for figure in options.figure]
    if output.suffix != ".nc":
        raise InputError(f"--output {output}: the growth is netCDF, name the file with .nc")
    for figure in figures:
        if figure.suffix not in (".png", ".gif"):
            raise InputError(f"--figure {figure}: name the file with .png for a film strip, .gif for an animation")
    for path in (output, *figures):
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file")
        check_folder(path.absolute().parent)
    if options.stripping_time is not None and options.cycles == 0:
        raise InputError(
            "--stripping-time needs --cycles: each cycle is a plating and a stripping before the last plating"
        )
    build = load_model_file(options.model)
    model_text = Path(options.model).read_text(encoding="utf-8", errors="replace")
    protocol = Protocol(
        cycles=options.cycles,
        current_density=options.current * MILLIAMPERE_PER_SQUARE_CENTIMETRE,
        plating_time=options.plating_time,
        stripping_time=options.stripping_time or _STRIPPING_TIME,
        rest_time=0.0,
        sampling=options.interval,
    )
    model = build(recording.validate(protocol.recording()))
    if options.dimensions is not None:
        model = replace(model, grid=model.grid.in_dimensions(options.dimensions))
    columns = TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn()
    with (
        model_file_errors(options.model),
        Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar,
    ):
        task = bar.add_task("grow", total=None)
        growth = grow_surface(
            model,
            protocol.current(),
            options.interval,
            seed=options.seed,
            pictures=options.pictures,
            progress=lambda step, total: bar.update(task, completed=step, total=total),
        )
    growth.attrs.update(command=options.command_line, model=str(options.model), model_text=model_text)
    drawn = [(path, _drawn(growth, path.suffix)) for path in figures]
    pictures = growth["order_parameter"]
    pictures.values = pictures.values.round(_DIGITS)
    with atomic_write(output) as temporary:
        compressed = {name: {"zlib": True} for name in growth.data_vars}
        growth.to_netcdf(temporary, engine="h5netcdf", encoding=compressed)
    for path, picture in drawn:
        with atomic_write(path) as temporary:
            temporary.write_bytes(picture)
    for path in (output, *figures):
        print(path)


def _drawn(growth: xr.Dataset, suffix: str) -> bytes:
    """The figure as the bytes of its file."""
    if suffix == ".gif":
        return growth_animation(growth)
    picture = io.BytesIO()
    growth_figure(growth).savefig(picture, format="png", dpi=_RESOLUTION)
    return picture.getvalue()
