"""The subcommand `watch`: a page in the browser that follows a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hmm_plating.command_options import positive
from hmm_plating.did_you_mean import no_such_file
from hmm_plating.errors import InputError
from hmm_plating.model_file import load_model_file
from hmm_plating.run_store import open_run
from hmm_plating.watch import PageServer, RunReader


def add_watch(commands: Any) -> None:
    """Add the subcommand to those of the command line."""
    watch = commands.add_parser(
        "watch",
        help="show a run in the browser, finished or growing",
        description="Serve a page that shows a run, finished or still growing, to browsers on this computer only "
        "(127.0.0.1). Ctrl-C ends it.",
        epilog="For example: hmm-plating watch OUT.nc, then open the address that it prints",
    )
    watch.add_argument("run_path", metavar="RUN", help="result (.nc) or growing store (.zarr) of hmm-plating filter")
    watch.add_argument("--port", type=_port, default=0, metavar="N", help="port to serve on (default: a free one)")
    watch.add_argument(
        "--model",
        metavar="FILE",
        help="the model file of the run, to show a forecast too; it is executed, and the run must keep its checkpoint",
    )
    watch.add_argument(
        "--forecast", type=positive, default=120.0, metavar="S", help="seconds that the forecast covers (120)"
    )
    watch.set_defaults(run=_watch)


def _port(text: str) -> int:
    """Type of an option: a port number."""
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 65535, got {text!r}")
    return int(text)


def _watch(options: argparse.Namespace) -> None:
    path = Path(options.run_path)
    if not path.exists():
        raise InputError(f"{no_such_file(path)}; give a result (.nc) or the store of a running filter (.zarr)")
    if path.is_file():
        open_run(path, without=["morphology"])  # says now what is wrong with it
    model = None if options.model is None else Path(options.model)
    if model is not None:
        load_model_file(model)  # says now what is wrong with it
    reader = RunReader(path, model, options.forecast)
    with PageServer(reader, options.port) as server:
        reader.start()
        print(f"{server.address}  (on this computer only; Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
