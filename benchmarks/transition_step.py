"""Speed of the default form's sub-steps, forwards and with the reverse.

    python benchmarks/transition_step.py

Million cell updates per second in double precision, all cells of the box counted, of `rollout.advance`: the stretch of
sub-steps between two shifts of the window. Plating at −0.05 V raises the surface by about four cells; rest is
galvanostatic, without current. Memory is the peak of a process of its own above what it held before the call (Linux's
VmHWM, reset before; tracemalloc misses what kernels allocate).
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch
from torch import Tensor
from turns import seconds

from hmm_plating.materials import Electrolyte, Metal
from hmm_plating.transition import Interface, Parameters, Transport, rollout
from hmm_plating.transition.coefficients import coefficients
from hmm_plating.transition.reference import Progress

ROUNDS, SPACING, WIDTH, LIFT, OVERPOTENTIAL = 7, 4e-9, 4, 4.0, -0.05
WATER = Electrolyte(density=997.05, viscosity=0.890e-3)
BOXES = ((64, 128), (128, 128), (256, 256), (512, 256), (32, 32, 32), (64, 64, 64))


def film(box: tuple[int, ...]) -> Tensor:
    """A film with waves of a sixteenth of the box about its middle."""
    *deep, rows, columns = box
    height = rows / 2 + rows / 16 * torch.cos(2 * math.pi * torch.arange(columns, dtype=torch.float64) / columns)
    if deep:
        height = height + rows / 32 * torch.cos(2 * math.pi * torch.arange(deep[0]).double() / deep[0])[:, None]
    return torch.sigmoid(4 * (height[..., None, :] - torch.arange(rows)[:, None] - 0.5) / WIDTH)


def islands(box: tuple[int, ...]) -> Tensor:
    """Hemispheres on the crystal, two along every lateral axis, that cover half of its length."""
    *deep, rows, columns = box
    period, radius = columns // 2, min(columns // 8, rows // 2)
    x, z = (((torch.arange(n) % period) - period / 2 + 0.5).double() for n in (columns, deep[0] if deep else columns))
    square = x**2 + (torch.arange(rows).double()[:, None] + 0.5) ** 2
    if deep:
        square = square + z[:, None, None] ** 2
    return torch.sigmoid(4 * (radius - square.sqrt()) / WIDTH)


def lithium(dimensions: int, strength: float) -> Parameters:
    interface = Interface(SPACING * WIDTH, SPACING, dimensions)
    return Parameters.from_materials(
        Metal.lithium(), WATER, interface, anisotropy_strength=strength, noise_amplitude=1.0
    )


def exchange(p: Parameters) -> float:
    """Exchange current density as a speed [cells/s]."""
    return float(p.exchange_current_density) / float(p.charge_per_volume) / SPACING


def plating_time(p: Parameters) -> float:
    return LIFT / (exchange(p) * -2 * math.sinh(0.5 * OVERPOTENTIAL / float(p.kinetic_voltage)))


def stretch(
    surface: Tensor,
    particles: int,
    strength: float,
    substeps: int | None = None,
    transport: Transport | None = None,
) -> Callable[[bool], tuple[Progress, Tensor]]:
    """A call of `rollout.advance`, with gradient or without, on lithium with cells of 4 nm.

    Args:
        surface: ξ of one particle.
        particles: copies of it.
        strength: of the anisotropy.
        substeps: of rest, at least so many; None: plating.
        transport: to solve for concentration, and at a finite conductivity for the potential, in the box.
    """
    p = replace(lithium(surface.ndim, strength), transport=transport)
    batch = torch.Size([particles])
    capillary = exchange(p) * float(p.capillary_length) / SPACING  # cells²/s
    eta = OVERPOTENTIAL / float(p.kinetic_voltage)
    duration = plating_time(p) if substeps is None else 0.098 * substeps / capillary
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(particles, *surface.shape, generator=generator, dtype=torch.float64)
    field = surface.expand_as(noise).contiguous()

    def call(gradient: bool) -> tuple[Progress, Tensor]:
        zero, given = torch.zeros(batch, dtype=torch.float64), field.clone().requires_grad_(gradient)
        agitation = noise.clone().requires_grad_(gradient)
        c = coefficients(p, batch, duration, field)
        inside = None if transport is None else torch.stack([torch.ones_like(field), torch.zeros_like(field)], 1)
        y = zero + (eta if substeps is None else 0.0)
        start = Progress(given, zero, zero + duration, y, zero, zero, inside)
        end = rollout.advance(start, agitation, c, substeps is not None, zero, WIDTH)
        if gradient:
            end.order_parameter.square().sum().backward()
        return end, end.order_parameter

    return call


def updates(call: Callable[[bool], tuple[Progress, Tensor]]) -> float:
    end, field = call(False)
    if bool((end.time_left > 0).any()):
        raise RuntimeError("the window must shift before the time is up: choose another case")
    return float(end.substeps.sum()) * field[0].numel()


def speeds(calls: Sequence[Callable[[bool], tuple[Progress, Tensor]]]) -> list[str]:
    """Median and best of each [million cell updates per second]."""
    counts = [updates(call) for call in calls]
    taken = seconds(ROUNDS, *(partial(call, False) for call in calls))
    return [
        f"{np.median(count / times) / 1e6:.0f} ({count / times.min() / 1e6:.0f})"
        for count, times in zip(counts, taken, strict=True)
    ]


def print_speeds() -> None:
    numba.set_num_threads(1)
    print(
        "| one thread, million cell updates per second, median (best) | film | film, anisotropic | islands | "
        "islands, anisotropic | rows with interface |"
    )
    print("|---" * 6 + "|")
    for box in BOXES:
        surfaces = (film(box), islands(box))
        calls = [stretch(surface, 1, strength) for surface in surfaces for strength in (0.0, 0.05)]
        shown = speeds(calls)
        live = [float((s * (1 - s) > 1e-6).any(-1).double().mean()) for s in surfaces]
        print(f"| {' × '.join(map(str, box))} | {' | '.join(shown)} | {live[0]:.0%}, {live[1]:.0%} |", flush=True)


def print_scaling() -> None:
    """A batch of 64 sections on one thread and on two."""
    call = stretch(islands((64, 128)), 64, 0.0)
    count = updates(call)

    def on(threads: int) -> None:
        numba.set_num_threads(threads)
        call(False)

    taken = seconds(ROUNDS, lambda: on(1), lambda: on(2)).min(1)
    numba.set_num_threads(1)
    rates = count / taken / 1e6
    print(
        f"\n64 sections of 64 × 128 with islands: {rates[0]:.0f} on one thread, {rates[1]:.0f} on two (best; ", end=""
    )
    print(f"{rates[1] / rates[0]:.2f} times)\n", flush=True)


def megabytes(entry: str) -> float:
    """VmRSS or VmHWM, the memory in use now and at its peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[entry].split()[0]) * 1024e-6


def peak(box: tuple[int, ...], least: int) -> float:
    """Megabytes that a gradient takes above what the process holds before."""
    numba.set_num_threads(1)
    stretch(film((8,) * (len(box) - 2) + (32, 8)), 1, 0.0, substeps=1)(True)  # compiles
    call = stretch(film(box), 1, 0.0, substeps=least)
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmRSS")
    call(True)
    return megabytes("VmHWM") - before


def print_gradients() -> None:
    numba.set_num_threads(1)
    heading = ("film at rest, one thread", "sub-steps", "value", "value and gradient", "ratio", "peak", "all states")
    print("| " + " | ".join(heading) + " |")
    print("|---" * 7 + "|")
    plane, cube = (128, 128), (64, 64, 64)
    for box, least in ((plane, 16), (plane, 128), (plane, 1024), ((32, 32, 32), 128), (cube, 128)):
        call = stretch(film(box), 1, 0.0, substeps=least)
        substeps = int(call(False)[0].substeps[0])
        value, both = np.median(seconds(3, partial(call, False), partial(call, True)), 1)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            memory = pool.submit(peak, box, least).result()
        print(
            f"| {' × '.join(map(str, box))} | {substeps} | {value:.3g} s | {both:.3g} s | {both / value:.2f} | "
            f"{memory:.0f} MB | {substeps * math.prod(box) * 8e-6:.0f} MB |",
            flush=True,
        )


def print_boxes() -> None:
    """Sub-steps with the concentration in the box, and with the potential, on one thread.

    An explicit step of diffusion is at most Δx²/(2dD) long, d the dimensions.
    """
    numba.set_num_threads(1)
    salt = Transport(concentration=1000.0, diffusivity=5e-10, layer_thickness=1e-4)
    print(
        "\n| plating, one thread | film, ξ and c̃ | film, full | islands, ξ and c̃ | islands, full | "
        "explicit steps in a sub-step, film, islands |"
    )
    print("|---" * 6 + "|")
    for box in BOXES:
        surfaces = film(box), islands(box)
        calls = [
            stretch(surface, 1, 0.0, transport=replace(salt, conductivity=conductivity))
            for surface in surfaces
            for conductivity in (math.inf, 5.0)
        ]
        shown = speeds(calls)
        explicit = plating_time(lithium(len(box), 0.0)) * 2 * len(box) * float(salt.diffusivity) / SPACING**2
        replaced = [f"{explicit / float(call(False)[0].substeps[0]):.0f}" for call in calls[::2]]
        print(f"| {' × '.join(map(str, box))} | {' | '.join(shown)} | {', '.join(replaced)} |", flush=True)


if __name__ == "__main__":
    print_speeds()
    print_boxes()
    print_scaling()
    print_gradients()
