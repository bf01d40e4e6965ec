"""Machine code that was just compiled and machine code from Numba's cache give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import torch
import hmm_plating as hp

wall = 4 + 2 * torch.cos(2 * torch.pi * torch.arange(24, dtype=torch.float64) / 24)
fraction = (wall - torch.arange(10)[:, None]).clamp(0, 1)
volume = torch.stack([fraction, fraction.roll(5, -1)])
for cells, dimensions in ((fraction, 2), (volume, 3)):
    liquid, resonator = hp.Electrolyte(997.0, 0.89e-3), hp.Resonator(5e6)
    load = hp.emission.load_impedance(cells, 5e-9, (3, 7), liquid, resonator, dimensions=dimensions)
    print([value.hex() for value in torch.view_as_real(load).flatten().tolist()])
"""


@pytest.mark.slow
def test_cached_code_rounds_as_fresh_code(tmp_path: Path) -> None:
    """A run may be resumed by a process that compiles nothing, and must end with the same numbers."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert fresh.stdout == cached.stdout
