"""A result as one HTML page that needs nothing else: style and pictures are inside."""

from __future__ import annotations

import base64
import io
import os
import platform
from collections.abc import Callable
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from arviz import InferenceData
from matplotlib.figure import Figure

from hmm_plating.atomic_file import atomic_write
from hmm_plating.errors import InputError
from hmm_plating.report import figures
from hmm_plating.report.checks import findings
from hmm_plating.report.cycles import cycle_summaries, cycle_table, faradaic_mass
from hmm_plating.report.result import (
    attributes,
    credible_interval,
    group,
    pooled,
    resonator,
    simulated_share,
    solver_share,
    variable,
    withheld,
)
from hmm_plating.report.score import Score, score

STYLE = """
:root { color-scheme: light dark; --text: #1c2126; --soft: #5a656f; --ground: #fff; --card: #f4f6f8; --line: #d5dbe0;
  --accent: #0072b2; --warn: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8eb; --soft: #a3adb6; --ground: #15191d; --card: #1f252a;
  --line: #39424a; --accent: #56b4e9; --warn: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem clamp(0.8rem, 3vw, 2rem) 4rem; color: var(--text);
  background: var(--ground); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.4rem 0; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 0.6rem; padding-top: 0.8rem; border-top: 1px solid var(--line); }
p, li, figcaption { max-width: 44rem; }
a { color: var(--accent); }
nav a { margin-right: 0.9rem; white-space: nowrap; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 0.7rem; margin: 1rem 0; }
dl.facts div { background: var(--card); border-radius: 0.5rem; padding: 0.55rem 0.8rem; }
dt { color: var(--soft); font-size: 0.82rem; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
dd.main { font-size: 1.12rem; font-weight: 600; }
figure { margin: 1.2rem 0; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 0.5rem; padding: 0.5rem; }
figcaption, caption { color: var(--soft); font-size: 0.9rem; margin-top: 0.5rem; text-align: left; }
caption { caption-side: bottom; padding-top: 0.4rem; max-width: min(44rem, 90vw); }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.22rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
.text td { text-align: left; white-space: pre-wrap; overflow-wrap: anywhere; }
.text th { vertical-align: top; }
.findings { border-left: 4px solid var(--warn); background: var(--card); padding: 0.6rem 1rem 0.6rem 1.6rem;
  border-radius: 0.3rem; }
.clear { border-left: 4px solid var(--accent); background: var(--card); padding: 0.6rem 1rem; border-radius: 0.3rem; }
pre { background: var(--card); padding: 0.8rem; border-radius: 0.5rem; overflow-x: auto; font-size: 0.86rem; }
"""

CAPTIONS = {
    "shifts": (
        "Measured frequency and dissipation shifts and their one-step-ahead prediction. Top: all overtones as "
        "measured (a dashed line is a withheld overtone). Below, one row per overtone: black dots are the "
        "measurements, the line is the predictive median and the band its 90 % interval, made before the dot was "
        "seen. For Δf the median is subtracted, because errors of a few hertz would vanish on the scale of the "
        "signal; orange triangles are dots beyond the axis. Nine dots in ten should lie inside the band. A withheld "
        "overtone is predicted from the others at the same time and was never used. Grey background: plating."
    ),
    "surfaces": (
        "Surfaces drawn from the posterior: vertical sections through the deposit (dark) under the liquid (light), "
        "the same scale on both axes, the crystal at the bottom. Rows are times, columns are independent draws. "
        "What the draws of one row share is what the measurement determines; what differs is what it leaves open. "
        "The crystal sees an average over its whole area: where a single island stands is not determined."
    ),
    "surface": (
        "What the surface is like over time: thickness (metal volume per area), root mean square roughness Sq, and "
        "solid fraction of the layer between the crystal and the highest metal. Line: median; dark and light bands "
        "hold the value with 50 and 90 % probability, given the data up to that time."
    ),
    "parameters": (
        "Other quantities of the model: the covered fraction of the crystal, side products that move with it as "
        "rigid mass, the fraction of the plating current that deposits metal, and the density of nuclei. A band "
        "that stays as wide as at the start is a quantity that this recording does not determine."
    ),
    "drive": ("What the potentiostat did: current and charge per area (plating is negative) and potential."),
    "cycles": (
        "Left: mass per electron. Blue and orange: slope of the Sauerbrey mass −Z_q Δf/(2 n f0²) on the charge "
        "during plating and stripping, mean over overtones, the bar their range; it exceeds M/z where liquid is "
        "trapped between the metal. Green: the posterior's metal alone, current efficiency at the end of plating "
        "times M/z. Right: stripped over plated charge, from the recorded current, and the share of the plated "
        "metal that the posterior says was stripped again. Green bars hold 90 %; both pair draws of different "
        "times, which makes them wide rather than narrow."
    ),
    "cycle_table": (
        "Charges from the recorded current; Coulombic efficiency is stripped over plated charge (* the recording "
        "ends during this cycle). Mass per electron: slope of the Sauerbrey mass on the charge, mean over overtones "
        "[90 % interval] (range of the overtones). Metal: posterior median [90 % interval] of current efficiency · "
        "M/z at the end of plating; metal recovered: share of the thickness plated in the cycle that is gone at its "
        "end."
    ),
    "filter": (
        "Health of the particle filter. The effective sample size says how many equally weighted particles the "
        "weighted ones are worth (dashed: all of them); the unique ancestors, how many particles of a step survive "
        "resampling. Both should stay well above a few dozen. A sudden drop of the log evidence marks data that "
        "surprised the model."
    ),
    "score": (
        "Predictions one step ahead. “in 90 %”: how many measurements the 90 % interval held; “interval” says "
        "whether that is compatible with 90 %. RMSE: error of the predictive mean, beside that of predictions "
        "without a model on the same steps. Last value + charge: the last value plus the charge of the step times "
        "the best constant. Interpolation: between the neighbouring seen overtones. Brinkman layer: a porous layer "
        "and a rigid mass fitted to the other overtones at each time. Ratio below 1: the model predicts better."
    ),
}


def write_report(result: InferenceData, path: str | os.PathLike[str], first_cycle: int = 2) -> None:
    """Write the report of a result as one self-contained HTML file: complete, or not at all.

    Args:
        result: of `hmm-plating filter`; what it lacks is left out and said to be missing.
        path: of the page.
        first_cycle: from which plating cycle predictions are scored.

    Raises:
        InputError: the folder of `path` is missing or read-only; the result has no observed_data.
    """
    variable(result, "observed_data", "frequency_shift")
    with atomic_write(path) as temporary:
        temporary.write_text(report_page(result, first_cycle), encoding="utf-8")


def report_page(result: InferenceData, first_cycle: int = 2) -> str:
    """The page as a string; arguments and errors as for `write_report`."""
    scores, score_failure = _attempt(lambda: score(result, first_cycle))
    cycles = cycle_summaries(result)
    mass = faradaic_mass(result)
    particles = attributes(result).get("particles")
    sections = {
        "Warnings": _findings(result, scores),
        "Predictions": _figure(lambda: figures.shift_figure(result), "Frequency and dissipation shifts", "shifts")
        + (
            f"<p>Scored: {escape(scores.scope)}.</p>" + scores.table().html(CAPTIONS["score"])
            if scores is not None
            else _missing(score_failure)
        ),
        "Surface": _figure(lambda: figures.morphology_figure(result), "Sections through sampled surfaces", "surfaces")
        + _figure(lambda: figures.interval_figure(result), "Thickness, roughness and solid fraction", "surface"),
        "Model quantities": _figure(
            lambda: figures.interval_figure(result, figures.PARAMETERS), "Coverage, side mass and others", "parameters"
        ),
        "Experiment": _figure(lambda: figures.drive_figure(result), "Current, charge and potential", "drive"),
        "Cycles": (
            _figure(
                lambda: figures.cycle_figure(cycles, mass), "Mass per electron and efficiency of each cycle", "cycles"
            )
            + cycle_table(cycles).html(CAPTIONS["cycle_table"])
            if cycles
            else _missing("the result has no current or charge, hence no cycles")
        ),
        "Filter": _figure(
            lambda: figures.filter_figure(result, int(particles) if particles is not None else None),
            "Effective sample size, unique ancestors and log evidence",
            "filter",
        ),
        "Reproduce": _provenance(result),
    }
    anchors = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for title, anchor in anchors.items())
    body = "".join(
        f'<section id="{anchors[title]}"><h2>{escape(title)}</h2>{content}</section>'
        for title, content in sections.items()
    )
    title = f"Plated surface from {os.path.basename(str(attributes(result).get('source', '')) or 'a recording')}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{_summary(result, len(cycles))}<nav>{links}</nav></header>"
        f"<main>{body}</main></body></html>\n"
    )


def _summary(result: InferenceData, cycles: int) -> str:
    """What was recorded, with which model, and what came out."""
    given = attributes(result)
    observed = variable(result, "observed_data", "frequency_shift")
    time, overtones = observed["time"].values, observed["overtone"].values
    hidden = [str(order) for order, flag in zip(overtones, withheld(result), strict=True) if flag]
    facts = []
    posterior = group(result, "posterior")
    for name, label in (("thickness", "final thickness"), ("roughness", "final roughness Sq")):
        if posterior is not None and name in posterior:
            nm = credible_interval(1e9 * pooled(posterior[name].isel(time=-1)))
            facts.append((label, f"{nm.median:.1f} nm [{nm.lower:.1f}, {nm.upper:.1f}]", "main"))
    evidence = given.get("log_evidence")
    if evidence is not None:
        facts.append(("log evidence", ", ".join(f"{value:.1f}" for value in np.atleast_1d(evidence)), "main"))
    facts.append(("recorded", f"{time[-1] - time[0]:.0f} s in {len(time)} steps, {cycles} plating cycle(s)", "detail"))
    facts.append(("overtones", ", ".join(map(str, overtones)), "detail"))
    if hidden:
        facts.append(("withheld from the filter", ", ".join(hidden), "detail"))
    for name, label in (
        ("metal", "metal"),
        ("model", "model"),
        ("particles", "particles of each chain"),
        ("chains", "chains"),
        ("seed", "seed"),
    ):
        if name in given:
            facts.append((label, str(given[name]), "detail"))
    solved = solver_share(result)
    if solved is not None:
        facts.append(("loads by the true solver", f"{100 * solved:.0f} % of the surfaces", "detail"))
    simulated = simulated_share(result)
    if simulated is not None:
        facts.append(("steps by the simulated transition", f"{100 * simulated:.0f} % of the surfaces", "detail"))
    crystal = resonator(result)
    facts.append(("crystal", f"f0 = {crystal.fundamental_frequency / 1e6:.4g} MHz", "detail"))
    if "source" in given:
        facts.append(("source", str(given["source"]), "detail"))
    items = "".join(
        f'<div><dt>{escape(label)}</dt><dd class="{style}">{escape(value)}</dd></div>' for label, value, style in facts
    )
    return (
        f'<dl class="facts">{items}</dl><p>Square brackets hold the value with 90 % probability, given the model and '
        "the data up to that time.</p>"
    )


def _findings(result: InferenceData, scores: Score | None) -> str:
    sentences = findings(result, scores)
    if not sentences:
        return '<p class="clear">None: enough particles were kept, and intervals held as often as they say.</p>'
    return '<ul class="findings">' + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _provenance(result: InferenceData) -> str:
    """Command, attributes and versions: those of the run where it recorded them, this page's own beside them."""
    given = attributes(result)
    command = given.get("command")
    text = f"<pre>{escape(str(command))}</pre>" if command else ""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(_short(value))}</td></tr>'
        for name, value in sorted(given.items())
    )
    drawn = ", ".join(f"{name} {_version(name)}" for name in ("hmm_plating", "arviz", "matplotlib", "numpy"))
    return (
        "<p>The same recording, model, number of particles, seed and versions give the same numbers.</p>"
        f'{text}<div class="wide text"><table>'
        f"<caption>Attributes of the result.</caption><tbody>{rows}</tbody></table></div>"
        f"<p>Page drawn with Python {platform.python_version()}, {escape(drawn)}.</p>"
    )


def _short(value: Any, limit: int = 300) -> str:
    text = str(value)
    return text if len(text) <= limit else text[:limit] + " …"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _attempt(compute: Callable[[], Score]) -> tuple[Score | None, str]:
    try:
        return compute(), ""
    except InputError as error:
        return None, str(error)


def _missing(reason: str) -> str:
    return f"<p><em>Not shown: {escape(reason)}.</em></p>"


def _figure(draw: Callable[[], Figure], alternative: str, caption: str) -> str:
    """A figure element with the picture inside, or why there is none."""
    try:
        figure = draw()
    except InputError as error:
        return _missing(str(error))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=170)
    encoded = base64.b64encode(picture.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{escape(alternative)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(CAPTIONS[caption])}</figcaption></figure>"
    )
