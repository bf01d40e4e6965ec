"""The progress bar speaks to a terminal and to nothing else."""

import io
import sys

from state_space_models import LinearGaussian

from hmm_plating.inference import ParticleFilter, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress):
    model = LinearGaussian.scalar(0.9, 1.0, 1.0, 0.0, 1.0)
    ParticleFilter(model, 10).run(model.simulate(4, seed=0), progress=progress)


def test_silent_where_stderr_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar() as progress:
        run(progress)
        assert sys.stderr.getvalue() == ""


def test_shows_steps_and_effective_sample_size(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar() as progress:
        run(progress)
    text = sys.stderr.getvalue()
    assert "4/4" in text
    assert "effective sample size" in text


def test_the_callback_sees_every_step():
    seen = []
    run(lambda step, total, info: seen.append((step, total, info.effective_sample_size)))
    assert [(step, total) for step, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(1 <= size <= 10 for *_, size in seen)
