"""What a set of overtones can tell of a family of surfaces, at a glance."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from hmm_plating.report.figures.style import BLUE, GREY, WIDTH, style_axis
from hmm_plating.report.sensitivity import IDENTIFIED, Sensitivity


def sensitivity_figure(found: Sensitivity) -> Figure:
    """Left: predicted posterior over prior width of each parameter. Right: the combinations that the data tell apart.

    Rows on the right are combinations, best known first, with their width relative to the prior; colours are weights in
    prior standard deviations.
    """
    names = [name.replace("_", " ") for name in found.values]
    ratios = [
        posterior / prior
        for posterior, prior in zip(found.posterior_deviation.values(), found.prior_deviation.tolist(), strict=True)
    ]
    eigenvalues, vectors = found.directions
    widths = torch.rsqrt(1 + eigenvalues).tolist()
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.barh(names, ratios, color=[BLUE if ratio <= IDENTIFIED else GREY for ratio in ratios])
    left.set_xlim(0, 1)
    left.invert_yaxis()
    style_axis(left, "posterior / prior width")
    image = right.imshow(vectors.mT.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    right.set_xticks(range(len(names)), names, rotation=20, ha="right")
    right.set_yticks(range(len(widths)), [f"{width:.2g}" for width in widths])
    style_axis(right, ylabel="width / prior")
    figure.colorbar(image, ax=right, label="weight").ax.tick_params(labelsize=7)
    return figure
