"""The solve by Numba kernels, on the CPU: threads share the pairs of surface and overtone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from hmm_plating.emission import kernels
from hmm_plating.emission.open_liquid import continue_above
from hmm_plating.emission.problem import SOLID, Accuracy, LatticeSolution, Problem, blank_solution
from hmm_plating.threads import in_threads

_CONTINUED = 64  # surfaces whose open liquid a thread continues at once


def solve_problem(
    problem: Problem, accuracy: Accuracy, single: bool, keep_field: bool | torch.dtype, keep_gradient: bool
) -> LatticeSolution:
    """Solve every pair; `single` is the precision of the recurrence, the rest as in `solve`."""
    stencil, own_stencil = (kernels.stencil(problem.lattice, real) for real in (np.float64, np.float32))
    surfaces, orders, planes, *cells = problem.field_shape
    depth, height, width = (1, *cells)[-3:]
    box_shape, area = (depth, height, width), depth * width
    fraction = np.ascontiguousarray(problem.fraction.cpu().numpy()).reshape(-1, *box_shape)
    medium = problem.medium.cpu().numpy().reshape(fraction.shape)
    fourier, reflections = transforms(depth, width), reflection_planes(problem, depth, width)
    own_fourier, own_reflections = tuple(part.astype(np.float32) for part in fourier), reflections.astype(np.float32)
    shape = (surfaces, orders, planes, *box_shape)
    guess = None if problem.guess is None else problem.guess.cpu().numpy().reshape(shape)
    solved = blank_solution(problem, torch.device("cpu"), keep_field, keep_gradient)
    load, field, gradient, count, error, converged = (part.numpy() for part in solved)
    # of length 0 for every pair where they are not wanted
    field = field.reshape(shape) if keep_field else np.empty((surfaces, orders, 0, *box_shape))
    gradient = (
        gradient.reshape(surfaces, orders, *box_shape)
        if keep_gradient
        else np.empty((surfaces, orders, 0, height, width), complex)
    )
    rising = np.empty((surfaces, orders, len(stencil.upward) if keep_gradient else 0, depth, width), complex)
    top = np.empty((surfaces, orders), np.int64)

    def given(surface: int, order: int) -> np.ndarray:
        if guess is None:
            return np.empty((0, *box_shape))
        return guess[surface, order].astype(np.float64, copy=False)

    def surface_of(surface: int, order: int) -> tuple:
        wave = problem.waves[order], problem.wavenumbers[order]
        return stencil, fraction[surface], medium[surface], problem.media[order], *wave

    def solve_double(surface: int, order: int) -> None:
        pair, status = (surface, order), kernels.BREAKDOWN
        start, kept = given(*pair), field[pair]
        while status == kernels.BREAKDOWN:
            load[pair], steps, error[pair], status, top[pair] = kernels.solve_surface(
                *surface_of(*pair),
                problem.flat_load[order],
                reflections[order],
                fourier,
                SOLID,
                accuracy.relative,
                accuracy.absolute[order],
                max(accuracy.applications - count[pair], 1),
                count[pair],
                start,
                kept,
                gradient[pair],
                rising[pair],
            )
            count[pair] += steps
            if status == kernels.BREAKDOWN and len(kept):
                start = kept.astype(np.float64)
            elif status == kernels.BREAKDOWN:  # once more, for the field to go on from
                kept = np.empty(shape[2:])
        converged[pair] = status == kernels.CONVERGED

    def solve_single(surface: int, order: int) -> None:
        solution, total, status = given(surface, order), math.inf, kernels.CONVERGED
        while status != kernels.NOT_CONVERGED:
            bottom, box, links, wet, held, factors, start, residual, first_load, ghosts = kernels.prepare_surface(
                *surface_of(surface, order), reflections[order], fourier, SOLID, solution
            )
            reference = problem.flat_load[order] * area + ghosts
            wanted = max(accuracy.absolute[order], accuracy.relative * abs(first_load - reference))
            if abs(total - first_load) <= wanted:  # confirmed in double precision
                total = first_load
                break
            unit = np.abs(residual).max() or 1.0
            residual /= unit
            correction = np.zeros(residual.shape, np.float32)
            total, steps, estimate, status = kernels.correct_load(
                own_stencil,
                box,
                links,
                wet.astype(np.float32),
                factors.astype(np.float32),
                own_reflections[order],
                own_fourier,
                residual.astype(np.float32),
                unit,
                first_load,
                reference,
                accuracy.relative,
                accuracy.absolute[order],
                max(accuracy.applications - count[surface, order], 1),
                count[surface, order],
                correction,
            )
            count[surface, order] += steps
            total = math.inf if status == kernels.BREAKDOWN else total
            solution = np.empty(shape[2:])
            start += unit * correction.astype(np.float64)
            kernels.unpack(start, wet, stencil, box, bottom, solution)
        load[surface, order], error[surface, order] = (total - ghosts) / area, estimate / area
        converged[surface, order] = status == kernels.CONVERGED
        if keep_field:
            field[surface, order] = solution
        if keep_gradient:
            kernels.differentiate(
                stencil,
                box,
                bottom,
                *surface_of(surface, order)[1:4],
                SOLID,
                start,
                gradient[surface, order],
            )
            kernels.leave_top(start, held, factors, stencil, box, rising[surface, order])
            top[surface, order] = bottom + box.height

    pairs = list(itertools.product(range(surfaces), range(orders)))
    in_threads(solve_single if single else solve_double, pairs)
    if keep_gradient:
        leaving = torch.from_numpy(rising).reshape(*rising.shape[:3], *cells[:-2], width)
        above = torch.from_numpy(top[:, 0])

        def continue_some(first: int) -> None:
            some = slice(first, first + _CONTINUED)
            planes = solved.field[some] if keep_field else None
            continue_above(problem, leaving[some], above[some], solved.gradient[some], planes)

        in_threads(continue_some, [(first,) for first in range(0, surfaces, _CONTINUED)])
    return LatticeSolution(*(part.to(problem.fraction.device) for part in solved))


def transforms(depth: int, width: int) -> tuple[np.ndarray, ...]:
    """Cosines and sines of the transform along x, of its lower half alone, and along z: each (modes, modes)."""
    along_x, along_z = (
        2 * math.pi / cells * np.outer(np.arange(modes), np.arange(modes))
        for cells, modes in ((width, width // 2 + 1), (depth, depth))
    )
    return np.cos(along_x), np.sin(along_x), np.cos(along_z), np.sin(along_z)


def reflection_planes(problem: Problem, depth: int, width: int) -> np.ndarray:
    """R of the half space over the number of its modes, real and imaginary, (overtone, 2, lane, lane, z, x)."""
    lanes = problem.reflections.shape[-2:]
    response = problem.reflections.reshape(-1, depth, width, *lanes) / (depth * width)
    return np.ascontiguousarray(np.stack([response.real, response.imag], 1).transpose(0, 1, 4, 5, 2, 3))
