"""Emulators: networks that stand in for the transition step and for the load of a surface."""

from hmm_plating.emulator.weights import ModelCard, load_weights, restore, save_weights

__all__ = ["ModelCard", "load_weights", "restore", "save_weights"]
