"""Damaged instrument files by the thousand: what comes of reading them, per format.

    python benchmarks/corrupted_files.py --mutations 10000 [--genuine FOLDER] [--only NAME]

Cut, overwritten, shortened, repeated, exchanged and inflated copies of one generated file per format (60 samples), and
of genuine files where a folder is given. Exits with 1 if any gave another exception than InputError, or wrong numbers
without a word.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from damaged_files import (
    CUT,
    DIGITS,
    ERROR,
    EXCEPTION,
    PARTIAL,
    SILENT,
    STORED,
    UNCHANGED,
    Case,
    case,
    tally,
    tally_stored,
)
from instrument_files import FILES, OTHER_COLUMNS

from hmm_plating.recording import read

OUTCOMES = (ERROR, PARTIAL, UNCHANGED, DIGITS, CUT, SILENT, EXCEPTION)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--mutations", type=int, default=10_000, help="damaged copies per format")
    options.add_argument("--genuine", type=Path, help="folder of genuine files, of which copies are damaged too")
    options.add_argument("--only", default="", help="formats whose name contains this")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    print(f"{'format':28s}" + "".join(f"{name:>25s}" for name in OUTCOMES) + f"{'s':>8s}")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, made in _cases(Path(folder), given.genuine, given.only):
            start = time.perf_counter()
            found = tally(made, given.mutations, given.seed, lambda text: print(text, file=sys.stderr))
            took = time.perf_counter() - start
            bad += _row(name, found, took)
        for kind in () if given.genuine else STORED:
            if given.only in (name := f"stored recording {kind}"):
                start = time.perf_counter()
                found = tally_stored(
                    _recording(Path(folder)), Path(folder) / f"recording{kind}", given.mutations, given.seed
                )
                bad += _row(name, found, time.perf_counter() - start)
    return int(bad > 0)


def _row(name: str, found: Counter[str], took: float) -> int:
    """Print the line of a format; how many outcomes must not be."""
    print(f"{name:28s}" + "".join(f"{found[name]:25d}" for name in OUTCOMES) + f"{took:8.0f}", flush=True)
    return found[SILENT] + found[EXCEPTION]


def _recording(folder: Path) -> xr.Dataset:
    """Of the files that are damaged otherwise: a QCM's and a potentiostat's."""
    for name in ("QSoft text", "EC-Lab .mpt"):
        (folder / name.replace("/", " ")).write_bytes(FILES[name]())
    return read(folder / "QSoft text", folder / "EC-Lab .mpt")


def _cases(folder: Path, genuine: Path | None, only: str) -> list[tuple[str, Case]]:
    sources = [(name, make(), OTHER_COLUMNS if make.__name__ == "other_table" else "") for name, make in FILES.items()]
    if genuine is not None:
        files = sorted(path for path in genuine.iterdir() if path.is_file())
        files = [path for path in files if path.suffix != ".md" and not path.name.startswith("LICENSE")]
        sources = [(path.name, path.read_bytes(), "") for path in files]
    if importlib.util.find_spec("galvani") is None:
        sources = [source for source in sources if not source[0].endswith(".mpr")]
    return [
        (name, case(folder / name.replace("/", " "), data, columns)) for name, data, columns in sources if only in name
    ]


if __name__ == "__main__":
    sys.exit(main())
