"""Sequential Monte Carlo approximate Bayesian computation."""

from hmm_plating.executor import DaskExecutor, WorkerProcesses, in_process
from hmm_plating.inference.smc_abc.acceptance import AcceptanceKernel, epanechnikov, gaussian, uniform
from hmm_plating.inference.smc_abc.adjustment import LinearAdjustment, MixtureAdjustment, NoAdjustment
from hmm_plating.inference.smc_abc.adjustment_choice import BestAdjustment
from hmm_plating.inference.smc_abc.algorithm import SMCABC
from hmm_plating.inference.smc_abc.distance import euclidean, mahalanobis, median_absolute_deviation, standard_deviation
from hmm_plating.inference.smc_abc.learned_summary import PosteriorMoments
from hmm_plating.inference.smc_abc.population import Population, PopulationInfo
from hmm_plating.inference.smc_abc.proposal import GlobalCovariance, LocalCovariance
from hmm_plating.inference.smc_abc.stopping import AcceptanceBelow, SimulationsAbove, TimeAbove, ToleranceReached
from hmm_plating.inference.smc_abc.tolerance import Quantile, Schedule, by_sample_size

__all__ = [
    "SMCABC",
    "AcceptanceBelow",
    "AcceptanceKernel",
    "BestAdjustment",
    "DaskExecutor",
    "GlobalCovariance",
    "LinearAdjustment",
    "LocalCovariance",
    "MixtureAdjustment",
    "NoAdjustment",
    "Population",
    "PopulationInfo",
    "PosteriorMoments",
    "Quantile",
    "Schedule",
    "SimulationsAbove",
    "TimeAbove",
    "ToleranceReached",
    "WorkerProcesses",
    "by_sample_size",
    "epanechnikov",
    "euclidean",
    "gaussian",
    "in_process",
    "mahalanobis",
    "median_absolute_deviation",
    "standard_deviation",
    "uniform",
]
