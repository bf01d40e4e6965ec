"""Inference on state-space models and simulators written in Pyro; nothing here knows of plating."""

from hmm_plating.inference.arviz_export import concatenate, load, save
from hmm_plating.inference.backward_sampling import backward_sampling, transition_log_density
from hmm_plating.inference.calibration import Calibration, ecdf_band, pareto_k, simulation_based_calibration
from hmm_plating.inference.chains import run_chains
from hmm_plating.inference.conditionally_linear import LinearPart, observe_linear, start_linear
from hmm_plating.inference.differentiable_resampling import Soft, StopGradient
from hmm_plating.inference.filter_state import FilterState, StepInfo
from hmm_plating.inference.fixed_lag import LagWindow, fixed_lag_smoothing
from hmm_plating.inference.forecast import forecast
from hmm_plating.inference.genealogy import Genealogy, evidence_variance, mean_variance, surviving_lineages
from hmm_plating.inference.laplace_proposal import LaplaceProposal
from hmm_plating.inference.likelihood_free_vi import LFVI
from hmm_plating.inference.linear_gaussian import PartiallyObservedNormal, observation_distribution, predict, update
from hmm_plating.inference.liu_west import liu_west
from hmm_plating.inference.optimal_transport import OptimalTransport
from hmm_plating.inference.parameter_prior import ParameterPrior
from hmm_plating.inference.particle_filter import ParticleFilter
from hmm_plating.inference.pmmh import PMMH
from hmm_plating.inference.progress import progress_bar
from hmm_plating.inference.resampling import effective_sample_size, multinomial, residual, stratified, systematic
from hmm_plating.inference.sbi_bridge import from_sbi, to_sbi
from hmm_plating.inference.score import log_evidence
from hmm_plating.inference.secant_proposal import SecantProposal
from hmm_plating.inference.smc2 import SMC2
from hmm_plating.inference.smc_abc import SMCABC
from hmm_plating.inference.tempering import Tempering
from hmm_plating.inference.two_stage import TwoStage

__all__ = [
    "LFVI",
    "PMMH",
    "SMC2",
    "SMCABC",
    "Calibration",
    "FilterState",
    "Genealogy",
    "LagWindow",
    "LaplaceProposal",
    "LinearPart",
    "OptimalTransport",
    "ParameterPrior",
    "PartiallyObservedNormal",
    "ParticleFilter",
    "SecantProposal",
    "Soft",
    "StepInfo",
    "StopGradient",
    "Tempering",
    "TwoStage",
    "backward_sampling",
    "concatenate",
    "ecdf_band",
    "effective_sample_size",
    "evidence_variance",
    "fixed_lag_smoothing",
    "forecast",
    "from_sbi",
    "liu_west",
    "load",
    "log_evidence",
    "mean_variance",
    "multinomial",
    "observation_distribution",
    "observe_linear",
    "pareto_k",
    "predict",
    "progress_bar",
    "residual",
    "run_chains",
    "save",
    "simulation_based_calibration",
    "start_linear",
    "stratified",
    "surviving_lineages",
    "systematic",
    "to_sbi",
    "transition_log_density",
    "update",
]
