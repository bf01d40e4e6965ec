"""Emulators: networks that stand in for the transition step and for the load of a surface."""

from hmm_plating.emulator.emission_surrogate import EmissionSurrogate
from hmm_plating.emulator.transition_emulator import EmulatedStep
from hmm_plating.emulator.weights import ModelCard, load_weights, restore, save_weights

__all__ = ["EmissionSurrogate", "EmulatedStep", "ModelCard", "load_weights", "restore", "save_weights"]
