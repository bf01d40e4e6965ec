"""`hmm-plating filter --follow`: filter files that instruments are writing."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path

from hmm_plating.command_options import SQUARE_CENTIMETRE
from hmm_plating.errors import InputError
from hmm_plating.follow import Update, follow
from hmm_plating.model_file import load_model_file, model_file_errors
from hmm_plating.recording.growing_recording import FIRST_PART, GrowingRecording
from hmm_plating.recording_options import hints_of
from hmm_plating.surrogate_options import corrected_share, named_weights, stand_ins_of

STATUS = 10.0  # s between lines that say where the filter is


def follow_files(options: argparse.Namespace) -> None:
    """Run the subcommand with these options; ends after `--idle` or with Ctrl-C."""
    output = Path(options.output)
    if output.suffix != ".zarr":
        raise InputError(f"--output {output}: with --follow results are a zarr store, name it with .zarr")
    if options.resume or options.keep_checkpoint:
        name = "--resume" if options.resume else "--keep-checkpoint"
        raise InputError(
            f"{name} is not for --follow, which goes on with what is in its store and keeps the last state"
        )
    stand_ins = stand_ins_of(options)
    build = load_model_file(options.model)
    source = GrowingRecording(
        options.recording,
        options.electrochemistry,
        options.air,
        interval=options.interval,
        first_part=options.first_part or FIRST_PART,
        area=None if options.area is None else options.area * SQUARE_CENTIMETRE,
        fundamental_frequency=None if options.fundamental_frequency is None else options.fundamental_frequency * 1e6,
        clock_offset=options.clock_offset,
        hints=hints_of(options),
    )
    updates = follow(
        source,
        lambda recording: stand_ins.put_into(build(recording)),
        particles=options.particles,
        chains=options.chains,
        seed=options.seed,
        withhold=options.withhold,
        correct=corrected_share(options),
        store=output,
        checkpoint_interval=options.checkpoint_interval,
        idle=options.idle,
        max_lag=options.max_lag,
        attributes={
            "model": str(options.model),
            "model_text": Path(options.model).read_text(encoding="utf-8", errors="replace"),
            "command": options.command_line,
            **named_weights(options),
        },
        say=_say,
    )
    last: Update | None = None
    said = -STATUS
    try:
        with model_file_errors(options.model):
            for update in updates:
                for note in update.notes:
                    _say(note)
                if last is None:
                    for assumption in str(update.result.attrs["assumptions"]).split("; "):
                        _say(f"assumed: {assumption}")
                last = update
                if time.monotonic() - said > STATUS:
                    said = time.monotonic()
                    _say(_status(update))
        reason = f"nothing was added for {options.idle:g} s"
    except KeyboardInterrupt:
        reason = "interrupted"
    finally:
        updates.close()  # type: ignore[attr-defined]  # a generator
    if last is not None:
        _say(_status(last))
    _say(f"ended: {reason}; the same command goes on where it ended")
    print(output)


def _status(update: Update) -> str:
    size = float(update.result["filter_stats"]["effective_sample_size"].mean())
    merged = f", {update.skipped} steps merged" if update.skipped else ""
    return (
        f"step {update.step}, {update.time:.6g} s of the recording, {update.lag:.1f} s behind it, "
        f"effective sample size {size:.1f}{merged}"
    )


def _say(text: str) -> None:
    with suppress(OSError):  # a log on a full disk does not end a run
        print(f"hmm-plating: {text}", file=sys.stderr, flush=True)
