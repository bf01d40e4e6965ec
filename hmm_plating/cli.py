"""Command line: inspect, simulate, grow, filter, watch, forecast, report, export, train."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress

from hmm_plating import inference, recording, report
from hmm_plating.atomic_file import atomic_write, check_folder
from hmm_plating.command_options import (
    MILLIAMPERE_PER_SQUARE_CENTIMETRE,
    SQUARE_CENTIMETRE,
    add_area,
    add_model,
    add_plating,
    add_seed,
    integer,
    positive,
)
from hmm_plating.did_you_mean import closest
from hmm_plating.errors import ConvergenceError, InputError
from hmm_plating.export_command import add_export
from hmm_plating.filter_recording import DEFAULT_CHAINS, DEFAULT_PARTICLES, filter_recording, require_noise
from hmm_plating.follow_command import follow_files
from hmm_plating.forecast_command import add_forecast
from hmm_plating.grow_command import add_grow
from hmm_plating.inspect_command import add_inspect
from hmm_plating.model_file import load_model_file, model_file_errors
from hmm_plating.recording_options import add_hints, hints_of
from hmm_plating.run_store import open_run
from hmm_plating.shell_completion import add_completion
from hmm_plating.simulate_recording import Protocol, simulate_recording
from hmm_plating.surrogate_options import add_stand_ins, corrected_share, named_weights, stand_ins_of
from hmm_plating.train_command import add_train
from hmm_plating.watch_command import add_watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `hmm-plating`; returns 0, or 2 after one line on standard error when the input cannot be used."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if not words:
        parser.print_help()
        return 0
    options = parser.parse_args(words)
    options.command_line = shlex.join(["hmm-plating", *words])
    try:
        options.run(options)
    except (InputError, ConvergenceError) as error:
        return _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or "allocate memory" in str(error)):
            raise
        return _fail(f"out of memory, take fewer particles or a smaller grid ({error})")
    except KeyboardInterrupt:
        print("hmm-plating: interrupted; --resume continues a filter run", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    """Print the message in one line."""
    print(f"hmm-plating: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, as all other errors are."""

    def error(self, message: str) -> NoReturn:
        wrong = next((word.strip("':") for word in message.split() if word.startswith(("--", "'"))), "")
        meant = closest(wrong, self._words())
        advice = f"; did you mean {meant}?" if meant not in (None, wrong) else ""
        self.exit(2, f"{self.prog}: error: {message}{advice} (see {self.prog} --help)\n")

    def _words(self) -> list[str]:
        """Options and subcommands, also those of the subcommands."""
        words: list[str] = []
        for action in self._actions:
            words += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                words += action.choices
                words += [word for parser in action.choices.values() for word in parser._words()]
        return words


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hmm-plating",
        description="See the metal surface under an EQCM-D recording.",
        epilog="Start with your own files: hmm-plating inspect FILE [FILE …]; or without any: hmm-plating simulate "
        "--model models/zinc.py --output recording",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('hmm_plating')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_inspect(commands)

    simulate = commands.add_parser(
        "simulate",
        help="simulate a recording, with the true surface beside it",
        description="Simulate a recording in instrument files (qcmd.xlsx, echem.xlsx, quartz_in_air.xlsx), with the "
        "true surface beside it (truth.nc).",
    )
    add_model(simulate)
    simulate.add_argument("--output", required=True, metavar="FOLDER", help="folder to write the files into")
    add_seed(simulate)
    add_plating(simulate, cycles=1)
    simulate.add_argument("--stripping-time", type=float, default=55.0, metavar="S", help="seconds of stripping (55)")
    simulate.add_argument("--sampling", type=positive, default=0.5, metavar="S", help="sampling interval in s (0.5)")
    add_area(simulate)
    simulate.set_defaults(run=_simulate)

    add_grow(commands)

    filter_ = commands.add_parser(
        "filter",
        help="filter a recording: posterior of the surface over time",
        description="Filter a recording with a particle filter and write the posterior as ArviZ InferenceData.",
    )
    filter_.add_argument("recording", metavar="QCMD", help="file of the QCM, in any known format (see inspect)")
    filter_.add_argument(
        "--electrochemistry", metavar="FILE", help="file of the potentiostat (default: in QCMD, if that has it)"
    )
    filter_.add_argument("--air", metavar="FILE", help="file of the crystal in air: gives the electrolyte's viscosity")
    add_model(filter_)
    filter_.add_argument("--output", required=True, metavar="OUT.nc", help="result (netCDF; see --follow)")
    filter_.add_argument(
        "--particles",
        type=integer(1),
        default=DEFAULT_PARTICLES,
        metavar="N",
        help=f"particles of each chain ({DEFAULT_PARTICLES})",
    )
    filter_.add_argument(
        "--chains",
        type=integer(1),
        default=DEFAULT_CHAINS,
        metavar="C",
        help=f"independent filters, whose draws together show what each alone does not know ({DEFAULT_CHAINS})",
    )
    add_seed(filter_)
    filter_.add_argument(
        "--withhold", type=int, action="append", default=[], metavar="N", help="overtone to hide from the filter"
    )
    add_stand_ins(filter_)
    filter_.add_argument("--interval", type=positive, default=2.0, metavar="S", help="filter step in s (2)")
    filter_.add_argument(
        "--area", type=positive, metavar="CM2", help="electrode area in cm² (default: the file's own, else 0.785)"
    )
    filter_.add_argument(
        "--fundamental-frequency",
        type=positive,
        metavar="MHZ",
        help="of the crystal, in MHz (default: from the file, else 5)",
    )
    add_hints(filter_)
    filter_.add_argument(
        "--clock-offset", type=float, metavar="S", help="seconds to add to the potentiostat's time (default: estimated)"
    )
    filter_.add_argument(
        "--first-part",
        type=positive,
        metavar="S",
        help="estimate clock offset, reference and noise from the first seconds alone, as --follow does (there: 60)",
    )
    filter_.add_argument(
        "--follow", action="store_true", help="filter files that still grow; --output is then a zarr store, RUN.zarr"
    )
    filter_.add_argument("--idle", type=positive, metavar="S", help="end when nothing was added for so long (never)")
    filter_.add_argument(
        "--max-lag", type=positive, metavar="S", help="merge steps while the filter is further behind (never)"
    )
    filter_.add_argument("--checkpoint-interval", type=integer(1), default=20, metavar="STEPS", help="(20)")
    filter_.add_argument("--resume", action="store_true", help="continue a run that was cut off")
    filter_.add_argument(
        "--keep-checkpoint", action="store_true", help="keep the last state beside the result, for hmm-plating forecast"
    )
    filter_.set_defaults(run=_filter)

    add_watch(commands)
    add_forecast(commands)

    report = commands.add_parser(
        "report",
        help="make an HTML page from a result",
        description="Make one self-contained HTML page from a result; with --score only print the prediction scores.",
    )
    report.add_argument("result", metavar="RUN", help="result of hmm-plating filter: OUT.nc or RUN.zarr")
    report.add_argument("--output", metavar="PAGE.html", help="page to write (default: beside the result)")
    report.add_argument("--score", action="store_true", help="print the table of one-step-ahead prediction scores")
    report.set_defaults(run=_report)

    add_export(commands)
    add_train(commands)
    add_completion(parser)
    return parser


def _simulate(options: argparse.Namespace) -> None:
    folder = Path(options.output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file: name a folder to write the files into")
    check_folder(folder if folder.exists() else folder.absolute().parent)
    build = load_model_file(options.model)
    protocol = Protocol(
        cycles=options.cycles,
        current_density=options.current * MILLIAMPERE_PER_SQUARE_CENTIMETRE,
        plating_time=options.plating_time,
        stripping_time=options.stripping_time,
        sampling=options.sampling,
        area=options.area * SQUARE_CENTIMETRE,
    )
    progress = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with model_file_errors(options.model), progress as bar:
        task = bar.add_task("simulate", total=None)
        simulated, truth = simulate_recording(
            build, protocol, options.seed, lambda step, total: bar.update(task, completed=step, total=total)
        )
    folder.mkdir(exist_ok=True)
    files = recording.write(simulated, folder)
    truth.attrs["command"] = options.command_line
    with atomic_write(folder / "truth.nc") as temporary:
        truth.to_netcdf(temporary, engine="h5netcdf")
    for path in (*files, folder / "truth.nc"):
        print(path)


def _filter(options: argparse.Namespace) -> None:
    if options.follow:
        follow_files(options)
        return
    if options.idle is not None or options.max_lag is not None:
        raise InputError(f"{'--idle' if options.idle is not None else '--max-lag'} is for --follow")
    output = Path(options.output)
    if output.suffix != ".nc":
        raise InputError(f"--output {output}: results are netCDF, name the file with .nc (.zarr with --follow)")
    if output.is_dir():
        raise InputError(f"--output {output} is a folder: name a file")
    check_folder(output.absolute().parent)
    checkpoint = output.with_suffix(".checkpoint")
    if not options.resume and checkpoint.is_dir() and any(checkpoint.iterdir()):
        raise InputError(f"{checkpoint} keeps a run: continue it with --resume, or delete the folder")
    stand_ins = stand_ins_of(options)
    build = load_model_file(options.model)
    model_text = Path(options.model).read_text(encoding="utf-8", errors="replace")
    raw = recording.read(
        options.recording,
        options.electrochemistry,
        options.air,
        area=None if options.area is None else options.area * SQUARE_CENTIMETRE,
        fundamental_frequency=None if options.fundamental_frequency is None else options.fundamental_frequency * 1e6,
        clock_offset=options.clock_offset,
        hints=hints_of(options),
        first_part=options.first_part,
    )
    resampled = recording.resample(raw, options.interval)
    require_noise(resampled)
    model = stand_ins.put_into(build(recording.first_steps(resampled)))
    try:
        with model_file_errors(options.model), inference.progress_bar() as progress:
            result = filter_recording(
                resampled,
                model,
                particles=options.particles,
                chains=options.chains,
                seed=options.seed,
                withhold=options.withhold,
                correct=corrected_share(options),
                checkpoint=checkpoint,
                checkpoint_interval=options.checkpoint_interval,
                resume=options.resume,
                progress=progress,
            )
    except (InputError, ConvergenceError) as error:
        if not (options.resume or isinstance(error.__cause__, OSError)):  # resumed, it would end there again
            shutil.rmtree(checkpoint, ignore_errors=True)
        raise
    result.attrs.update(
        model=str(options.model), model_text=model_text, command=options.command_line, **named_weights(options)
    )
    inference.save(result, output)
    if not options.keep_checkpoint:
        shutil.rmtree(checkpoint)
    print(output)


def _report(options: argparse.Namespace) -> None:
    if options.score:
        print(report.score(open_run(options.result)))
        return
    page = Path(options.output) if options.output else Path(options.result).with_suffix(".html")
    if page.suffix != ".html":
        raise InputError(f"--output {page}: the page is HTML, name the file with .html")
    check_folder(page.absolute().parent)
    report.write_report(open_run(options.result), page)
    print(page.absolute())


if __name__ == "__main__":
    sys.exit(main())
