"""Likelihood-free variational inference."""

from hmm_plating.inference.likelihood_free_vi.guides import FlowGuide, MixtureGuide, NormalGuide
from hmm_plating.inference.likelihood_free_vi.likelihood_free_vi import LFVI
from hmm_plating.inference.likelihood_free_vi.ratio import RatioNetwork

__all__ = ["LFVI", "FlowGuide", "MixtureGuide", "NormalGuide", "RatioNetwork"]
