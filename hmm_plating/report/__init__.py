"""What a result says: how well it predicted, its figures, its cycles, and all of it on one page."""

from hmm_plating.report.cycles import cycle_summaries, cycle_table, plating_cycles
from hmm_plating.report.page import write_report
from hmm_plating.report.score import Score, score
from hmm_plating.report.sensitivity import Sensitivity, sensitivity

__all__ = [
    "Score",
    "Sensitivity",
    "cycle_summaries",
    "cycle_table",
    "plating_cycles",
    "score",
    "sensitivity",
    "write_report",
]
