"""Inference on state-space models and simulators written in Pyro; nothing here knows of plating."""

from hmm_plating.inference.arviz_export import load, save
from hmm_plating.inference.chains import run_chains
from hmm_plating.inference.linear_gaussian import PartiallyObservedNormal, observation_distribution, predict, update
from hmm_plating.inference.particle_filter import FilterState, ParticleFilter, StepInfo
from hmm_plating.inference.progress import progress_bar
from hmm_plating.inference.resampling import effective_sample_size, multinomial, residual, stratified, systematic

__all__ = [
    "FilterState",
    "PartiallyObservedNormal",
    "ParticleFilter",
    "StepInfo",
    "effective_sample_size",
    "load",
    "multinomial",
    "observation_distribution",
    "predict",
    "progress_bar",
    "residual",
    "run_chains",
    "save",
    "stratified",
    "systematic",
    "update",
]
