"""Inference on state-space models and simulators written in Pyro; nothing here knows of plating."""

from hmm_plating.inference.arviz_export import concatenate, load, save
from hmm_plating.inference.backward_sampling import backward_sampling, transition_log_density
from hmm_plating.inference.calibration import Calibration, ecdf_band, pareto_k, simulation_based_calibration
from hmm_plating.inference.chains import run_chains
from hmm_plating.inference.fixed_lag import LagWindow, fixed_lag_smoothing
from hmm_plating.inference.forecast import forecast
from hmm_plating.inference.genealogy import Genealogy, evidence_variance, mean_variance, surviving_lineages
from hmm_plating.inference.linear_gaussian import PartiallyObservedNormal, observation_distribution, predict, update
from hmm_plating.inference.liu_west import liu_west
from hmm_plating.inference.parameter_prior import ParameterPrior
from hmm_plating.inference.particle_filter import FilterState, ParticleFilter, StepInfo
from hmm_plating.inference.pmmh import PMMH
from hmm_plating.inference.progress import progress_bar
from hmm_plating.inference.resampling import effective_sample_size, multinomial, residual, stratified, systematic
from hmm_plating.inference.smc2 import SMC2

__all__ = [
    "PMMH",
    "SMC2",
    "Calibration",
    "FilterState",
    "Genealogy",
    "LagWindow",
    "ParameterPrior",
    "PartiallyObservedNormal",
    "ParticleFilter",
    "StepInfo",
    "backward_sampling",
    "concatenate",
    "ecdf_band",
    "effective_sample_size",
    "evidence_variance",
    "fixed_lag_smoothing",
    "forecast",
    "liu_west",
    "load",
    "mean_variance",
    "multinomial",
    "observation_distribution",
    "pareto_k",
    "predict",
    "progress_bar",
    "residual",
    "run_chains",
    "save",
    "simulation_based_calibration",
    "stratified",
    "surviving_lineages",
    "systematic",
    "transition_log_density",
    "update",
]
