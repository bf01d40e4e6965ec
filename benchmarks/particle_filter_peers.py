"""Chopin's `particles` on the linear-Gaussian series of `particle_filter.py`: one time per line that asks for one.

Run by `particle_filter.py` with the interpreter of an environment that has it (`pip install particles`).
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import particles
from particles import kalman
from particles import state_space_models as ssm


def main() -> None:
    series = json.loads(sys.stdin.readline())
    model = kalman.LinearGauss(rho=0.9, sigmaX=1.0, sigmaY=0.2, sigma0=1.0)
    data = [np.atleast_1d(value) for value in series]
    for line in sys.stdin:
        count = int(line)
        bootstrap = ssm.Bootstrap(ssm=model, data=data)
        algorithm = particles.SMC(fk=bootstrap, N=count, resampling="systematic", ESSrmin=0.5)
        begin = time.process_time()
        algorithm.run()
        print(json.dumps([time.process_time() - begin, float(algorithm.logLt)]), flush=True)


if __name__ == "__main__":
    main()
