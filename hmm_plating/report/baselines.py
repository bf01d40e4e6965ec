"""Predictions that a physical model has to beat: what a recording says about itself without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from hmm_plating import emission
from hmm_plating.errors import InputError
from hmm_plating.materials import Electrolyte, Resonator
from hmm_plating.recording.resample import noise as noise_of_curve
from hmm_plating.report.result import FloatArray

THICKNESS_BOUNDS = (1e-9, 1e-6)  # of a Brinkman layer [m]
SENSITIVITY_SPREAD = 0.01  # Δf_n/n of one rigid film: each overtone weighs the crystal's radius in its own way
PERMEABILITY_LENGTH_BOUNDS = (2e-9, 2e-6)  # [m]


def persistence(shift: npt.ArrayLike) -> FloatArray:
    """The last value: shape (time, overtone), NaN at the first step."""
    values = np.asarray(shift, dtype=float)
    return np.concatenate([np.full_like(values[:1], np.nan), values[:-1]])


def charge_step(
    shift: npt.ArrayLike, charge_density: npt.ArrayLike, scored: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """The last value plus c_n times the charge of the step, c_n the best constant of every overtone.

    With c_n = n · 2 f0²/Z_q · M/(zF) this is Sauerbrey's and Faraday's law; the least-squares c_n over the scored steps
    themselves makes the baseline the best of its kind.

    Args:
        shift: Δf_n, shape (time, overtone).
        charge_density: shape (time,) [C/m²].
        scored: steps that c_n is fitted to, shape (time,).

    Returns:
        prediction, shape (time, overtone), NaN at the first step; c_n, shape (overtone,), shift per C/m².
    """
    last = persistence(shift)
    increment = np.diff(np.asarray(charge_density, dtype=float), prepend=np.nan)[:, None]
    change = np.asarray(shift, dtype=float) - last
    known = scored[:, None] & np.isfinite(change) & np.isfinite(increment)
    products = np.where(known, change * increment, 0.0).sum(0)
    squares = np.where(known, increment**2, 0.0).sum(0)
    factor = products / np.where(squares > 0, squares, np.nan)
    return last + factor * increment, factor


def interpolation(shift: npt.ArrayLike, overtones: Sequence[int], withheld: Sequence[int]) -> FloatArray:
    """Linear interpolation in n between the nearest seen overtones; beyond the last of them its value.

    Args:
        shift: Δf_n/n or ΔD_n, shape (time, overtone).
        overtones: orders n, ascending.
        withheld: orders to predict.

    Returns:
        shape (time, withheld).
    """
    values = np.asarray(shift, dtype=float)
    seen = _seen(overtones, withheld)
    orders = np.asarray(overtones)
    prediction = np.empty((len(values), len(withheld)))
    for column, order in enumerate(withheld):
        below, above = orders[seen & (orders < order)], orders[seen & (orders > order)]
        low = below[-1] if len(below) else above[0]
        high = above[0] if len(above) else below[-1]
        weight = 0.0 if low == high else (order - low) / (high - low)
        at_low, at_high = values[:, orders == low][:, 0], values[:, orders == high][:, 0]
        prediction[:, column] = (1 - weight) * at_low + weight * at_high
    return prediction


def withheld_predictions(
    shift_per_overtone: npt.ArrayLike,
    dissipation_shift: npt.ArrayLike,
    overtones: Sequence[int],
    withheld: Sequence[int],
    electrolyte: Electrolyte | None,
    resonator: Resonator,
    frequency_noise: npt.ArrayLike | None = None,
    dissipation_noise: npt.ArrayLike | None = None,
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """What withheld overtones are compared with: by name, (Δf_n/n [Hz], ΔD_n [1]), each (time, withheld).

    Args:
        shift_per_overtone: Δf_n/n, shape (time, overtone) [Hz].
        electrolyte: without it there is no Brinkman layer.
        dissipation_shift, overtones, withheld, resonator, frequency_noise, dissipation_noise: see
            `brinkman_prediction`.
    """
    predictions = {
        "interpolation": (
            interpolation(shift_per_overtone, overtones, withheld),
            interpolation(dissipation_shift, overtones, withheld),
        )
    }
    if electrolyte is not None and len(overtones) - len(withheld) >= 2:
        frequency, dissipation = brinkman_prediction(
            np.asarray(shift_per_overtone) * np.asarray(overtones),
            dissipation_shift,
            overtones,
            withheld,
            electrolyte,
            resonator,
            frequency_noise,
            dissipation_noise,
        )
        predictions["Brinkman layer"] = frequency / np.asarray(withheld), dissipation
    return predictions


def brinkman_prediction(
    frequency_shift: npt.ArrayLike,
    dissipation_shift: npt.ArrayLike,
    overtones: Sequence[int],
    withheld: Sequence[int],
    electrolyte: Electrolyte,
    resonator: Resonator,
    frequency_noise: npt.ArrayLike | None = None,
    dissipation_noise: npt.ArrayLike | None = None,
    sensitivity_spread: float = SENSITIVITY_SPREAD,
) -> tuple[FloatArray, FloatArray]:
    """Withheld overtones from a porous layer fitted to the others, step by step.

    The layer of Brinkman's equation (Daikhin and Urbakh, Langmuir 12 (1996) 6354) has a thickness and a permeability
    length; a rigid mass ≥ 0 under it takes up what is common to Δf_n/n. The three are fitted at every step to all seen
    Δf_n/n and ΔD_n, each weighted by its noise; to that of Δf_n/n comes the share of itself by which overtones differ
    in mass sensitivity, without which the fit mistakes this difference for structure.

    Args:
        frequency_shift: from the wetted bare crystal, shape (time, overtone) [Hz], not divided by n.
        dissipation_shift: likewise, shape (time, overtone) [1].
        overtones: orders n, ascending.
        withheld: orders to predict; they are not read.
        electrolyte, resonator: the liquid and the crystal.
        frequency_noise: standard deviations of the noise of Δf_n, shape (overtone,) [Hz]; default from the series.
        dissipation_noise: those of ΔD_n [1]; likewise.
        sensitivity_spread: relative standard deviation of the mass sensitivity between overtones.

    Returns:
        Δf_n [Hz, not divided by n] and ΔD_n [1], both (time, withheld); NaN where fewer than two overtones are known.

    Raises:
        InputError: fewer than two overtones are left, or a withheld one is not in the recording.
    """
    orders = np.asarray(overtones, dtype=float)
    seen = _seen(overtones, withheld)
    if seen.sum() < 2:
        raise InputError("a Brinkman layer is fitted to two overtones or more; withhold fewer of them")
    frequency, dissipation = np.asarray(frequency_shift, dtype=float), np.asarray(dissipation_shift, dtype=float)
    noise = np.stack([_noise(frequency, frequency_noise) / orders, _noise(dissipation, dissipation_noise)])
    data = np.stack([frequency / orders, dissipation], axis=1)
    noise = np.hypot(noise, np.stack([sensitivity_spread * data[:, 0], np.zeros_like(dissipation)], axis=1))
    data, noise = data[:, :, seen], noise[:, :, seen]
    rigid, logarithms = _fit_layer(data, noise, orders[seen], electrolyte, resonator)
    wanted = np.asarray(withheld, dtype=float)
    predicted = _layer_shifts(logarithms, wanted, electrolyte, resonator)
    fitted = (np.isfinite(data).all(1).sum(-1) >= 2)[:, None]
    return (
        np.where(fitted, wanted * (predicted[:, 0] + rigid[:, None]), np.nan),
        np.where(fitted, predicted[:, 1], np.nan),
    )


def _noise(series: FloatArray, given: npt.ArrayLike | None) -> FloatArray:
    """The given noise of every overtone, or that of the series (time, overtone) in equal steps; shape (overtone,)."""
    if given is not None:
        return np.asarray(given, dtype=float)
    return np.array([noise_of_curve(np.arange(len(series)), channel) for channel in series.T])


def _seen(overtones: Sequence[int], withheld: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which overtones are left to predict from."""
    missing = set(withheld) - set(int(order) for order in overtones)
    if missing:
        raise InputError(f"overtone {min(missing)} is not in the recording; it has {', '.join(map(str, overtones))}")
    seen = ~np.isin(np.asarray(overtones), np.asarray(withheld))
    if not seen.any():
        raise InputError("every overtone is withheld: there is nothing to predict them from")
    return seen


def _layer_shifts(
    logarithms: FloatArray, overtones: FloatArray, electrolyte: Electrolyte, resonator: Resonator
) -> FloatArray:
    """(Δf_n/n, ΔD_n) of Brinkman layers over bare liquid; (..., [ln thickness, ln length]) -> (..., 2, overtone)."""
    thickness, length = torch.from_numpy(np.exp(logarithms)).unbind(-1)
    excess = emission.brinkman(thickness, length, overtones.tolist(), electrolyte, resonator)
    frequency, dissipation = emission.shifts(excess, 0.0, overtones.tolist(), resonator)
    return np.stack([frequency.numpy() / overtones, dissipation.numpy()], axis=-2)


def _fit_layer(
    data: FloatArray, noise: FloatArray, overtones: FloatArray, electrolyte: Electrolyte, resonator: Resonator
) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares at every step: the best point of a coarse grid, then Levenberg–Marquardt from it.

    The rigid shift is linear, hence eliminated (variable projection).

    Args:
        data: (Δf_n/n, ΔD_n), shape (time, 2, overtone); NaN where missing.
        noise: of the same, same shape.

    Returns:
        rigid shift of Δf_n/n, shape (time,), and (ln thickness, ln length), shape (time, 2).
    """
    weight = np.where(np.isfinite(data), 1 / noise, 0.0)
    target = np.nan_to_num(data)
    lower, upper = np.log(np.transpose([THICKNESS_BOUNDS, PERMEABILITY_LENGTH_BOUNDS]))

    def rigid_shift(shifts: FloatArray, target: FloatArray, weight: FloatArray) -> FloatArray:
        square = weight[..., 0, :] ** 2
        mean = (square * (target - shifts)[..., 0, :]).sum(-1) / np.maximum(square.sum(-1), 1e-300)
        return np.minimum(mean, 0.0)

    def residual(shifts: FloatArray, target: FloatArray, weight: FloatArray) -> FloatArray:
        difference = target - shifts
        difference[..., 0, :] -= rigid_shift(shifts, target, weight)[..., None]
        return (weight * difference).reshape(*difference.shape[:-2], -1)

    axes = [np.linspace(low, high, 31) for low, high in zip(lower, upper, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    table = _layer_shifts(grid, overtones, electrolyte, resonator)
    point = np.array([grid[(residual(table, y, w) ** 2).sum(-1).argmin()] for y, w in zip(target, weight, strict=True)])

    def evaluate(point: FloatArray) -> FloatArray:
        return residual(_layer_shifts(point, overtones, electrolyte, resonator), target, weight)

    damping = np.full(len(point), 1e-2)
    current = evaluate(point)
    for _ in range(40):
        jacobian = np.stack([(evaluate(point + 1e-6 * unit) - current) / 1e-6 for unit in np.eye(2)], axis=-1)
        normal = np.einsum("tri,trj->tij", jacobian, jacobian)
        diagonal = np.einsum("tii->ti", normal)
        normal = normal + np.eye(2) * (damping[:, None] * diagonal + 1e-12)[:, None, :]
        step = -np.linalg.solve(normal, np.einsum("tri,tr->ti", jacobian, current)[..., None])[..., 0]
        trial = np.clip(point + step, lower, upper)
        proposed = evaluate(trial)
        better = (proposed**2).sum(-1) < (current**2).sum(-1)
        point = np.where(better[:, None], trial, point)
        current = np.where(better[:, None], proposed, current)
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-9, 1e9)
    return rigid_shift(_layer_shifts(point, overtones, electrolyte, resonator), target, weight), point
