"""All descriptors of a surface at once: what a surface is compared, summarised or reported by."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from hmm_plating.morphology.box_dimension import box_dimension
from hmm_plating.morphology.descriptors import (
    coverage,
    porosity,
    solid_volume_fraction,
    specific_area,
    surface_height,
    thickness,
)
from hmm_plating.morphology.height_parameters import (
    arithmetical_mean_height,
    autocorrelation_length,
    correlation_length,
    developed_interfacial_area_ratio,
    kurtosis,
    maximum_peak_height,
    root_mean_square_height,
    skewness,
)


class SurfaceDescriptors(NamedTuple):
    """Each (...,), in SI units; those of the height profile are of the topmost metal in every column.

    Attributes:
        thickness: metal volume per area [m].
        arithmetical_mean_height, root_mean_square_height, dendrite_height: Sa, Sq, Sp [m].
        skewness, kurtosis: Ssk, Sku [1].
        developed_interfacial_area_ratio: Sdr [1].
        autocorrelation_length, correlation_length: Sal (0.2) and that of 1/e [m].
        box_dimension: from the interface width up [1]; NaN on a bare crystal.
        porosity: pores and undercuts [1].
        solid_volume_fraction: metal below the highest asperity [1].
        coverage: of the crystal [1].
        specific_area: area in contact with liquid per metal volume [1/m].
    """

    thickness: Tensor
    arithmetical_mean_height: Tensor
    root_mean_square_height: Tensor
    dendrite_height: Tensor
    skewness: Tensor
    kurtosis: Tensor
    developed_interfacial_area_ratio: Tensor
    autocorrelation_length: Tensor
    correlation_length: Tensor
    box_dimension: Tensor
    porosity: Tensor
    solid_volume_fraction: Tensor
    coverage: Tensor
    specific_area: Tensor


def describe_surface(
    order_parameter: Tensor,
    spacing: float,
    interface_width: float,
    base_thickness: Tensor | float = 0.0,
    dimensions: int = 2,
) -> SurfaceDescriptors:
    """All descriptors of order parameters ξ (..., y, x), or (..., z, y, x) with `dimensions=3`.

    Raises:
        InputError: fields with fewer dimensions, or too narrow for boxes of two sizes above the interface width.
    """
    height = surface_height(order_parameter, spacing, base_thickness, dimensions)
    periods = (order_parameter.shape[-1], *order_parameter.shape[-dimensions:-2])
    smallest = max(1, round(interface_width / spacing))
    return SurfaceDescriptors(
        thickness(order_parameter, spacing, base_thickness, dimensions),
        arithmetical_mean_height(height, dimensions),
        root_mean_square_height(height, dimensions),
        maximum_peak_height(height, dimensions),
        skewness(height, dimensions),
        kurtosis(height, dimensions),
        developed_interfacial_area_ratio(height, spacing, dimensions),
        autocorrelation_length(height, spacing, dimensions),
        correlation_length(height, spacing, dimensions),
        box_dimension(order_parameter, smallest, max(2 * smallest, min(periods) // 4), dimensions),
        porosity(order_parameter, spacing, base_thickness, dimensions),
        solid_volume_fraction(order_parameter, spacing, base_thickness, dimensions),
        coverage(order_parameter, base_thickness, dimensions),
        specific_area(order_parameter, spacing, base_thickness, dimensions),
    )
