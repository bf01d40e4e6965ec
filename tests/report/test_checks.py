"""Each reason for caution appears when, and only when, it is there."""

import numpy as np

from hmm_plating.report.checks import findings
from hmm_plating.report.score import score


def test_a_sound_result_raises_nothing(result):
    assert findings(result, score(result)) == ()


def test_low_effective_sample_size_is_named(result):
    result.filter_stats["effective_sample_size"][:, :100] = 3.0
    (sentence,) = findings(result, None)
    assert "below 80 at 56 %" in sentence
    assert "lowest 6" in sentence


def test_few_ancestors_are_named_with_their_time(result):
    result.filter_stats["unique_ancestors"][1, 40] = 2  # the other chain kept 150
    assert findings(result, None) == ()
    result.filter_stats["unique_ancestors"][:, 50] = 2
    (sentence,) = findings(result, None)
    assert "Only 4 particles had descendants at 101 s" in sentence


def test_chains_that_disagree_are_named(result):
    result.posterior["roughness"][0] += 3e-9
    (sentence,) = findings(result, None)
    assert "most of the variance of roughness (9" in sentence


def test_lost_evidence_is_named(result):
    result.filter_stats["log_evidence_increment"][0, 7] = -np.inf
    assert "not finite at 1 of 360" in findings(result, None)[0]


def test_narrow_intervals_and_losing_to_a_baseline_are_named(result_factory):
    result = result_factory(noise_seen=0.3)
    result.posterior_predictive["dissipation_shift"][..., 3] += 1e-6
    sentences = " ".join(findings(result, score(result)))
    assert "too narrow" in sentences
    assert "baseline without any model predicts better for ΔD 9" in sentences


def test_missing_current_is_named(result):
    del result.constant_data["current_density"]
    assert any("No current" in sentence for sentence in findings(result, None))
