"""Machine code that was just compiled and machine code from Numba's cache give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EMISSION = """
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

TRANSITION = """
import torch
import hmm_plating as hp
from hmm_plating import transition

x = torch.arange(16, dtype=torch.float64)
surface = hp.morphology.film(60e-9 + 10e-9 * torch.cos(0.39 * x), 32, 20e-9, 5e-9)
noise = torch.randn(surface.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
bath, interface = hp.Electrolyte(997.0, 0.89e-3), transition.Interface(20e-9, 5e-9)
parameters = transition.Parameters.from_materials(
    hp.Metal.zinc(), bath, interface, noise_amplitude=3.0, anisotropy_strength=0.01
)
state = transition.initial_state(surface)
for _ in range(3):
    state = transition.step(state, -1000.0, 0.02, noise, parameters)
print(state.order_parameter.sum().item().hex(), state.overpotential.item().hex())
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [EMISSION, TRANSITION])
def test_cached_code_rounds_as_fresh_code(program: str, tmp_path: Path) -> None:
    """A run may be resumed by a process that compiles nothing, and must end with the same numbers."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbc"))
    assert fresh.stdout == cached.stdout
