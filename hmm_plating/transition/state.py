"""The state of one plated surface, or of a batch of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hmm_plating.errors import InputError
from hmm_plating.transition.diffusion_layer import NODES
from hmm_plating.transition.interface import Interface, Parameters


class State(NamedTuple):
    """The plated metal between two observations.

    Charges are per area of crystal and count positive where they deposit metal. What has flowed is always accounted
    for: −∫j dt = n F c_s Δ(thickness) + Δ(deferred_charge) + Δ(side_charge), to round-off.

    Attributes:
        order_parameter: ξ, 1 metal, 0 liquid (..., y, x) or (..., z, y, x); row 0 at the crystal or on the metal of
            `base_thickness`.
        base_thickness: metal below row 0 [m] (...,).
        overpotential: η at the end of the last step [V] (...,); 0 where there is no metal surface.
        deferred_charge: charge not yet turned into metal [C/m²] (...,): positive while a bare crystal waits for nuclei,
            negative where nuclei were placed before their charge had flowed.
        side_charge: charge of other reactions [C/m²] (...,): cathodic losses positive, stripping current that found no
            metal negative.
        diffusion_layer: c̃ (..., node), the concentration of the cation relative to the bulk's from the surface (entry
            0) to the bulk, as `transition.diffusion_layer` has it; 1 without `Parameters.transport`.
        concentration: c̃ in the box, of the shape of the order parameter; or without entries (..., 0), where it is that
            at the top.
        potential: ψ = zFφ/(RT) of the electrolyte less that at the box top, likewise.
    """

    order_parameter: Tensor
    base_thickness: Tensor
    overpotential: Tensor
    deferred_charge: Tensor
    side_charge: Tensor
    diffusion_layer: Tensor
    concentration: Tensor
    potential: Tensor


def initial_state(order_parameter: Tensor, dimensions: int = 2) -> State:
    """State of a surface at rest, with nothing on the charge books.

    Args:
        order_parameter: in [0, 1], (..., y, x) in two dimensions, (..., z, y, x) in three.
        dimensions: 2 or 3.

    Raises:
        InputError: too few dimensions, or values outside [0, 1].
    """
    if order_parameter.ndim < dimensions:
        axes = "(..., y, x)" if dimensions == 2 else "(..., z, y, x)"
        raise InputError(f"order_parameter must have dimensions {axes}, got shape {tuple(order_parameter.shape)}")
    if not bool(((order_parameter >= 0) & (order_parameter <= 1)).all()):
        raise InputError("order_parameter must lie in [0, 1]: 1 metal, 0 liquid")
    zero = torch.zeros(order_parameter.shape[:-dimensions], dtype=order_parameter.dtype, device=order_parameter.device)
    none = zero[..., None][..., :0]
    return State(order_parameter, zero, zero, zero, zero, torch.ones(*zero.shape, NODES).to(zero), none, none)


def add_metal(state: State, order_parameter: Tensor, parameters: Parameters) -> State:
    """Union of the surface with new metal (nuclei), whose charge is booked as deferred: it has yet to flow.

    Args:
        state: of the surface.
        order_parameter: of the new metal, of the surface's shape; 0 where none is added.
        parameters: of the step.
    """
    union = torch.maximum(state.order_parameter, order_parameter)
    added = thickness(union - state.order_parameter, parameters.interface)
    return state._replace(
        order_parameter=union, deferred_charge=state.deferred_charge - parameters.charge_per_volume * added
    )


def thickness(order_parameter: Tensor, interface: Interface) -> Tensor:
    """Metal per area of crystal [m] (...,)."""
    axes = tuple(range(-interface.dimensions, 0))
    return order_parameter.mean(axes) * (order_parameter.shape[-2] * interface.spacing)
