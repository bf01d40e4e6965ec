"""Morphology: surfaces to start from, families of surfaces to infer, and the numbers that describe a surface."""

from hmm_plating.morphology.box_dimension import box_dimension
from hmm_plating.morphology.descriptors import (
    coverage,
    dendrite_height,
    porosity,
    roughness,
    solid_volume_fraction,
    specific_area,
    surface_area_ratio,
    surface_height,
    thickness,
)
from hmm_plating.morphology.height_parameters import (
    arithmetical_mean_height,
    autocorrelation,
    autocorrelation_length,
    correlation_length,
    developed_interfacial_area_ratio,
    kurtosis,
    maximum_peak_height,
    root_mean_square_height,
    skewness,
)
from hmm_plating.morphology.neural_field import NeuralField
from hmm_plating.morphology.random_surface import (
    gaussian_heights,
    gaussian_surface,
    neural_surface,
    nucleated_surface,
)
from hmm_plating.morphology.summary import SurfaceDescriptors, describe_surface
from hmm_plating.morphology.surfaces import film, nucleation_sites, nuclei

__all__ = [
    "NeuralField",
    "SurfaceDescriptors",
    "arithmetical_mean_height",
    "autocorrelation",
    "autocorrelation_length",
    "box_dimension",
    "correlation_length",
    "coverage",
    "dendrite_height",
    "describe_surface",
    "developed_interfacial_area_ratio",
    "film",
    "gaussian_heights",
    "gaussian_surface",
    "kurtosis",
    "maximum_peak_height",
    "neural_surface",
    "nucleated_surface",
    "nucleation_sites",
    "nuclei",
    "porosity",
    "root_mean_square_height",
    "roughness",
    "skewness",
    "solid_volume_fraction",
    "specific_area",
    "surface_area_ratio",
    "surface_height",
    "thickness",
]
