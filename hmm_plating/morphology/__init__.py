"""Morphology: surfaces to start from, and the numbers that describe a surface."""

from hmm_plating.morphology.descriptors import (
    coverage,
    dendrite_height,
    roughness,
    solid_volume_fraction,
    surface_height,
    thickness,
)
from hmm_plating.morphology.surfaces import film, nuclei, poisson_sites

__all__ = [
    "coverage",
    "dendrite_height",
    "film",
    "nuclei",
    "poisson_sites",
    "roughness",
    "solid_volume_fraction",
    "surface_height",
    "thickness",
]
