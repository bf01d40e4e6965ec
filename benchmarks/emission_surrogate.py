"""How wrong a surrogate of the emission is on a filter's own surfaces, in value and gradient, and how fast.

    NUMBA_NUM_THREADS=2 OMP_NUM_THREADS=2 python benchmarks/emission_surrogate.py WEIGHTS QCMD.xlsx ECHEM.xlsx \
        --air AIR.xlsx --model models/zinc.py

Without files the model's own recording. The surfaces are draws from the filtering distribution of a short run with the
true solver; the truth is that solver to 1e-4 of the excess. The gradient is that in the order parameter, which is what
inference takes it in. Solver and surrogate are timed in turns, of several passes of the surrogate; the solver starts
without a guess and, as in a filter, to 1e-2 of the excess or 0.1 Hz, or to 1e-3.
"""

from __future__ import annotations

import numpy as np
import torch
from recording_options import recording_and_model, surrogate_parser
from torch import Tensor
from turns import seconds

from hmm_plating import PlatingModel, emission
from hmm_plating.emulator import EmissionSurrogate
from hmm_plating.emulator.trust import descriptors
from hmm_plating.filter_recording import drives, observations
from hmm_plating.inference import ParticleFilter, systematic
from hmm_plating.instrument import Drive
from hmm_plating.report.table import Table

PARTICLES, EVERY, DRAWS = 32, 6, 6  # of the run, and surfaces taken every so many steps
TRUTH, WANTED, BATCH, ROUNDS, PASSES = 1e-4, 0.01, 128, 7, 20


def posterior_surfaces(model: PlatingModel, recording, steps: int, seed: int) -> Tensor:
    """Order parameters drawn from the filtering distribution at some times, (surface, y, x)."""
    particle_filter = ParticleFilter(model, PARTICLES, predictive_draws=0, posterior_draws=0)
    state, series, observed = particle_filter.init(seed=seed), drives(recording, model.instrument.lag_times), []
    data = observations(recording)
    torch.manual_seed(seed)
    for step in range(min(steps, len(data))):
        state, _ = particle_filter.update(state, data[step], Drive(*(entry[step] for entry in series)))
        if step % EVERY == EVERY - 1:
            observed.append(state.particles["order_parameter"][systematic(state.log_weights, DRAWS).unique()])
    fields = torch.cat(observed)
    fraction = model.surface_load.solid_fraction(fields)
    return fields[(fraction.flatten(1).amax(1) > 0) & (fraction[:, -1].amax(-1) == 0)]


def values(model: PlatingModel, surrogate: EmissionSurrogate, fields: Tensor) -> Table:
    """Errors of the excess, relative."""
    around = model.surface_load.surroundings
    fraction = model.surface_load.solid_fraction(fields)
    true = emission.load_impedance(fraction, *around, tolerance=TRUTH, absolute_tolerance=0.0)
    guess = surrogate.guess(fraction, *around)
    flat = emission.kanazawa_gordon(model.overtones, model.electrolyte, model.resonator)
    error = ((guess.load - flat) / (true - flat) - 1).abs().numpy()
    print(f"{len(fields)} surfaces, {100 * float(guess.trusted.double().mean()):.1f} % of them trusted\n")
    rows = [
        (
            str(n),
            f"{100 * np.mean(error[:, i] < WANTED):.1f} %",
            *(f"{100 * np.quantile(error[:, i], q):.2f} %" for q in (0.5, 0.95, 0.99)),
        )
        for i, n in enumerate(model.overtones)
    ]
    return Table(("overtone", "within 1 %", "median error", "95 %", "99 %"), tuple(rows))


def gradients(model: PlatingModel, surrogate: EmissionSurrogate, fields: Tensor) -> Table:
    """Correlation of the excess's gradient in the order parameter with the true one."""
    around = model.surface_load.surroundings
    leaf = fields.clone().requires_grad_()
    fraction = model.surface_load.solid_fraction(leaf)
    true = emission.load_impedance(fraction, *around, tolerance=TRUTH, absolute_tolerance=0.0)
    guessed = surrogate.load_impedance(fraction, *around)
    rows = []
    for index, overtone in enumerate(model.overtones):
        for part, name in enumerate(("real", "imaginary")):
            one, other = (
                torch.autograd.grad(torch.view_as_real(load)[:, index, part].sum(), leaf, retain_graph=True)[0]
                for load in (true, guessed)
            )
            each = torch.stack(
                [torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(one, other, strict=True)]
            )
            pooled = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
            quantiles = np.nanquantile(each.numpy(), (0.05, 0.5))
            rows.append((f"{overtone}, {name}", f"{float(pooled):.4f}", *(f"{q:.4f}" for q in quantiles)))
    return Table(("overtone", "all cells of all surfaces", "of one surface, 5 %", "median"), tuple(rows))


def throughput(model: PlatingModel, surrogate: EmissionSurrogate, fields: Tensor) -> Table:
    """Surfaces per second, in turns."""
    around = model.surface_load.surroundings
    fraction = model.surface_load.solid_fraction(fields)
    fraction = fraction[torch.arange(BATCH) % len(fraction)]

    def solver(tolerance: float, hertz: float):
        return lambda: emission.load_impedance(fraction, *around, tolerance=tolerance, absolute_tolerance=hertz)

    actions = {
        "solver, to 1e-3": solver(1e-3, 0.0),
        "solver, to 1e-2 or 0.1 Hz": solver(1e-2, 0.1),
        "surrogate, with trust": lambda: [surrogate.guess(fraction, *around) for _ in range(PASSES)],
    }
    with torch.no_grad():
        times = seconds(ROUNDS, *actions.values())
    times[-1] /= PASSES
    best, middle = times.min(1), np.median(times, 1)
    rows = [
        (name, f"{BATCH / middle[i]:.0f} ({BATCH / best[i]:.0f})", f"{middle[i] / middle[-1]:.1f}")
        for i, name in enumerate(actions)
    ]
    return Table(("", "surfaces per second, median (best)", "time of the surrogate"), tuple(rows))


def strange(model: PlatingModel, surrogate: EmissionSurrogate) -> Table:
    """Surfaces that no training held."""
    rows, columns = (count // model.grid.coarsening for count in model.grid.shape)
    shapes = torch.zeros(3, rows, columns, dtype=torch.float64)
    shapes[0, : rows - 4, 10:12] = 1
    shapes[1, :8] = 1
    shapes[1, 3:6, 20:30] = 0
    shapes[2, : rows // 2, ::4] = 1
    guess = surrogate.guess(shapes, model.surface_load.spacing, model.overtones, model.electrolyte, model.resonator)
    distance = surrogate.trust.mahalanobis(descriptors(shapes.float()))
    names = ("needle of two columns", "closed pore", "comb")
    found = [
        (name, f"{float(d):.0f}", "trusted" if bool(known) else "sent to the solver")
        for name, d, known in zip(names, distance, guess.trusted, strict=True)
    ]
    return Table(("", f"distance, {float(surrogate.trust.distance):.1f} is trusted", ""), tuple(found))


def main() -> None:
    parser = surrogate_parser(__doc__)
    parser.add_argument("--steps", type=int, default=140, help="filter steps of 2 s (140)")
    options = parser.parse_args()
    surrogate = EmissionSurrogate.load(options.weights)
    recording, model = recording_and_model(options)
    with torch.no_grad():
        fields = posterior_surfaces(model, recording, options.steps, options.seed)
    for table in (values, gradients, throughput):
        print(table(model, surrogate, fields).markdown(), end="\n\n")
    print(strange(model, surrogate).markdown())


if __name__ == "__main__":
    main()
