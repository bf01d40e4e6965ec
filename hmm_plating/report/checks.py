"""What a reader of a result should be wary of, in sentences."""

from __future__ import annotations

import numpy as np
from arviz import InferenceData

from hmm_plating.report.result import attributes, constant, group, variable
from hmm_plating.report.score import Score

LOW_EFFECTIVE_SAMPLE_SIZE = 0.1  # of the particles of all chains
FEW_ANCESTORS = 20  # in all chains
MOSTLY_BETWEEN_CHAINS = 0.5  # of a variance


def findings(result: InferenceData, score: Score | None) -> tuple[str, ...]:
    """Reasons for caution, the gravest first; empty where there are none."""
    return (*_filter(result), *(_predictions(score) if score is not None else ()), *_data(result))


def _filter(result: InferenceData) -> list[str]:
    statistics = group(result, "filter_stats")
    if statistics is None:
        return ["There is no filter_stats group: whether the particle filter held up cannot be told."]
    sentences = []
    if "log_evidence_increment" in statistics:
        increments = statistics["log_evidence_increment"].values
        if (lost := int((~np.isfinite(increments)).sum())) > 0:
            sentences.append(
                f"The log evidence is not finite at {lost} of {increments.size} steps: no particle explains the data "
                "there. Widen the model's priors or its noise."
            )
    particles = float(attributes(result).get("particles", np.nan)) * statistics.sizes["chain"]
    if "effective_sample_size" in statistics:
        size = statistics["effective_sample_size"].sum("chain").values.astype(float)
        limit = LOW_EFFECTIVE_SAMPLE_SIZE * particles if np.isfinite(particles) else 50.0
        if (share := float(np.mean(size < limit))) > 0.05:
            sentences.append(
                f"The effective sample size is below {limit:.0f} at {100 * share:.0f} % of the steps (lowest "
                f"{np.nanmin(size):.0f}): intervals there rest on few particles. Run more particles, or a second seed, "
                "and compare."
            )
    if "unique_ancestors" in statistics:
        ancestors = statistics["unique_ancestors"].sum("chain").values.astype(float)
        if (fewest := float(np.nanmin(ancestors))) < FEW_ANCESTORS:
            sentences.append(
                f"Only {fewest:.0f} particles had descendants at "
                f"{statistics['time'].values[int(np.nanargmin(ancestors))]:.0f} s: the draws after it are relatives of "
                "one another, too much alike in quantities that hardly change."
            )
    return [*sentences, *_chains(result)]


def _chains(result: InferenceData) -> list[str]:
    """Whether independent filters disagree: their spread then is mostly Monte Carlo error."""
    posterior = group(result, "posterior")
    if posterior is None or posterior.sizes.get("chain", 1) < 2:
        return []
    shares = {}
    for name in ("thickness", "roughness"):
        if name in posterior:
            between = posterior[name].mean("draw").var("chain").values
            total = between + posterior[name].var("draw").mean("chain").values
            if (total > 0).any():
                shares[name] = float(np.median(between[total > 0] / total[total > 0]))
    listed = [f"{name} ({100 * share:.0f} %)" for name, share in shares.items() if share > MOSTLY_BETWEEN_CHAINS]
    if not listed:
        return []
    return [
        f"The chains disagree: most of the variance of {' and '.join(listed)} lies between them. Each filter alone is "
        "too sure of itself; all together the intervals show its Monte Carlo error, and more particles narrow them."
    ]


def _predictions(score: Score) -> list[str]:
    sentences = []
    names = {"frequency_shift": "Δf/n", "dissipation_shift": "ΔD"}
    for verdict in ("too narrow", "too wide"):
        off = [c for c in score.channels if c.calibration(score.probability) == verdict]
        if off:
            listed = ", ".join(f"{names[c.channel]} {c.overtone} ({100 * c.coverage:.0f} %)" for c in off)
            sentences.append(
                f"The {100 * score.probability:.0f} % predictive interval is {verdict}: it holds {listed} of the data."
            )
    worse = [c for c in score.channels if c.ratio > 1]
    if worse:
        listed = ", ".join(f"{names[c.channel]} {c.overtone} ({c.ratio:.2f} times its error)" for c in worse)
        sentences.append(f"A baseline without any model predicts better for {listed}.")
    return sentences


def _data(result: InferenceData) -> list[str]:
    sentences = []
    shifts = variable(result, "observed_data", "frequency_shift").transpose("time", "overtone")
    dissipations = variable(result, "observed_data", "dissipation_shift").transpose("time", "overtone")
    missing = ~np.isfinite(shifts.values) | ~np.isfinite(dissipations.values)
    for index in np.flatnonzero(missing.any(0)):
        sentences.append(
            f"Overtone {int(shifts['overtone'].values[index])} has no value at {int(missing[:, index].sum())} of "
            f"{missing.shape[0]} steps."
        )
    if constant(result, "current_density") is None:
        sentences.append(
            "No current was recorded: the plated mass comes from the frequency alone, and there are no cycles to score."
        )
    return sentences
