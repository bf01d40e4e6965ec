"""A writer that adds to text files as instruments do, or faster."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np


def write_growing(contents: dict[Path, bytes], pieces: int, pause: float, seed: int = 0) -> None:
    """Add the bytes in pieces of random length, which end within lines, to all files in turn."""
    generator = np.random.default_rng(seed)
    cuts = {
        path: np.r_[0, np.sort(generator.integers(0, len(data), pieces - 1)), len(data)]
        for path, data in contents.items()
    }
    for piece in range(pieces):
        for path, data in contents.items():
            with open(path, "ab") as file:
                file.write(data[cuts[path][piece] : cuts[path][piece + 1]])
        time.sleep(pause)


if __name__ == "__main__":  # FILE=SOURCE …: another process
    files = dict(argument.split("=") for argument in sys.argv[3:])
    contents = {Path(path): Path(origin).read_bytes() for path, origin in files.items()}
    write_growing(contents, int(sys.argv[1]), float(sys.argv[2]))
