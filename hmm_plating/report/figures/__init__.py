"""Figures of a result, and of single surfaces, drawn with matplotlib's objects alone: no pyplot, any backend.

Units are the field's: Hz, 1e-6, nm, mA/cm². Dark bands hold 50 %, light bands 90 % of the draws. Plating is shaded.
"""

from hmm_plating.report.figures.growth import growth_animation, growth_figure
from hmm_plating.report.figures.over_time import (
    PARAMETERS,
    QUANTITIES,
    SURFACE,
    Quantity,
    drive_figure,
    filter_figure,
    interval_figure,
    overtone_colours,
    shift_figure,
)
from hmm_plating.report.figures.per_cycle import cycle_figure
from hmm_plating.report.figures.sections import surface_figure, velocity_figure
from hmm_plating.report.figures.sensitivity import sensitivity_figure
from hmm_plating.report.figures.surfaces import METAL_IN_LIQUID, morphology_figure

__all__ = [
    "METAL_IN_LIQUID",
    "PARAMETERS",
    "QUANTITIES",
    "SURFACE",
    "Quantity",
    "cycle_figure",
    "drive_figure",
    "filter_figure",
    "growth_animation",
    "growth_figure",
    "interval_figure",
    "morphology_figure",
    "overtone_colours",
    "sensitivity_figure",
    "shift_figure",
    "surface_figure",
    "velocity_figure",
]
