"""The transition as Numba kernels: a few passes over the rows near one particle's interface per sub-step, and back."""

from hmm_plating.transition.kernels.entry import DEPLETED, NOT_CONVERGED, advance, blank_tape, reverse
from hmm_plating.transition.kernels.substep import Grid

__all__ = ["DEPLETED", "NOT_CONVERGED", "Grid", "advance", "blank_tape", "reverse"]
