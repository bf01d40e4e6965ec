"""Transition: the phase-field step of electrodeposition that moves a surface from one observation to the next."""

from hmm_plating.transition.butler_volmer import butler_volmer
from hmm_plating.transition.interface import Interface, Parameters
from hmm_plating.transition.state import State, add_metal, initial_state
from hmm_plating.transition.step import CheckedStep, Step, potentiostatic_step, step
from hmm_plating.transition.transport import Transport

__all__ = [
    "CheckedStep",
    "Interface",
    "Parameters",
    "State",
    "Step",
    "Transport",
    "add_metal",
    "butler_volmer",
    "initial_state",
    "potentiostatic_step",
    "step",
]
