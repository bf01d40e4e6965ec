"""The Numba driver as a guest in the process of its caller."""

import os
import subprocess
import sys

PROGRAM = """
import torch
import hmm_plating as hp

torch.set_num_threads(1)
liquid, resonator = hp.Electrolyte(997.0, 0.89e-3), hp.Resonator(5e6)
hp.emission.solve(torch.zeros(2, 4), 5e-9, (3, 7), liquid, resonator, backend="numba")
print(torch.get_num_threads())
"""


def test_threads_of_torch_stay_as_many_as_they_were():
    """Numba's OpenMP layer sets the thread count of the whole process when it starts."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "3"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"
