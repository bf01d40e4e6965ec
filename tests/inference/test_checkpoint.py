"""A resumed run ends with the result of an uninterrupted one, bit for bit, and a wrong checkpoint is refused."""

import functools
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import pytest
import torch
from state_space_models import LinearGaussian

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter
from hmm_plating.inference.fingerprint import fingerprint


class Killed(Exception):
    pass


def kill_after(steps):
    def progress(step, total, info):
        if step == steps:
            raise Killed

    return progress


def assert_identical(first, second):
    assert first.groups() == second.groups()
    assert first.attrs == second.attrs
    for group in first.groups():
        assert first[group].identical(second[group])


@pytest.mark.parametrize("steps", [1, 3, 6, 8, 9])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, steps):
    """Killed before the first checkpoint, right after one, between two; checkpoints every 3 steps."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(11, seed=1)
    particle_filter = ParticleFilter(model, 30, predictive_draws=10)
    whole = particle_filter.run(y, seed=4)
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        particle_filter.run(y, seed=4, checkpoint=folder, checkpoint_interval=3, progress=kill_after(steps))
    seen = []
    resumed = particle_filter.run(
        y, seed=4, checkpoint=folder, checkpoint_interval=4, resume=True, progress=lambda step, *_: seen.append(step)
    )
    assert seen[0] == 3 * (max(steps - 1, 0) // 3) + 1 if steps % 3 else seen[0] in (steps - 2, steps + 1)
    assert_identical(whole, resumed)
    assert_identical(whole, particle_filter.run(y, seed=4, checkpoint=folder, resume=True))  # finished: nothing to do


def test_a_run_killed_while_writing_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    model = LinearGaussian.four_dimensional()
    y = model.simulate(8, seed=1)
    particle_filter = ParticleFilter(model, 30)
    whole = particle_filter.run(y)
    import numpy

    real, calls = numpy.savez, []

    def failing(file, **arrays):
        calls.append(arrays)
        if len(calls) == 4:  # records and state of the first checkpoint, records of the second, then its state
            file.write(b"half")
            raise Killed
        real(file, **arrays)

    monkeypatch.setattr(numpy, "savez", failing)
    with pytest.raises(Killed):
        particle_filter.run(y, checkpoint=tmp_path / "run", checkpoint_interval=2)
    monkeypatch.undo()
    assert not list((tmp_path / "run").glob("*.partial"))
    steps = []
    resumed = particle_filter.run(
        y, checkpoint=tmp_path / "run", checkpoint_interval=2, resume=True, progress=lambda s, *_: steps.append(s)
    )
    assert steps[0] == 3
    assert_identical(whole, resumed)


def test_each_record_is_written_once(tmp_path):
    """So that the cost of checkpoints is linear in the number of steps."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(12, seed=1)
    ParticleFilter(model, 30).run(y, checkpoint=tmp_path / "run", checkpoint_interval=5)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "run").iterdir()}
    assert set(sizes) == {"state.npz", "records-000000.npz", "records-000005.npz", "records-000010.npz"}
    assert sizes["records-000005.npz"] == pytest.approx(sizes["records-000000.npz"], rel=0.01)
    assert sizes["records-000010.npz"] < 0.5 * sizes["records-000000.npz"]


def test_a_recording_that_has_grown_continues(tmp_path):
    model = LinearGaussian.four_dimensional()
    y = model.simulate(9, seed=1)
    particle_filter = ParticleFilter(model, 30)
    particle_filter.run(y[:5], checkpoint=tmp_path / "run")
    grown = particle_filter.run(y, checkpoint=tmp_path / "run", resume=True)
    assert_identical(grown, particle_filter.run(y))


class Counting:
    """A model as in Pyro's own examples, which numbers its sites with an attribute of its own."""

    def init(self, state):
        self.t = 0
        state["x"] = pyro.sample("x_0", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    def step(self, state, y=None):
        self.t += 1
        state["x"] = pyro.sample(f"x_{self.t}", dist.Normal(state["x"] + self.t, 1.0).to_event(1))
        pyro.sample(f"y_{self.t}", dist.Normal(state["x"].sum(-1), 1.0), obs=y)


def test_plain_attributes_of_the_model_are_kept(tmp_path):
    y = torch.tensor([1.0, 3.0, 8.0, 15.0, 22.0])
    whole = ParticleFilter(Counting(), 20).run(y)
    with pytest.raises(Killed):
        ParticleFilter(Counting(), 20).run(y, checkpoint=tmp_path / "c", checkpoint_interval=2, progress=kill_after(3))
    assert_identical(whole, ParticleFilter(Counting(), 20).run(y, checkpoint=tmp_path / "c", resume=True))


class Passive:
    """A guide that leaves every draw to the model."""

    def init(self, state):
        pass

    def step(self, state, y):
        pass


def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    model = LinearGaussian.four_dimensional()
    y = model.simulate(6, seed=1)
    folder = tmp_path / "run"
    ParticleFilter(model, 30).run(y, checkpoint=folder)

    def resume(model=model, particles=30, y=y, seed=0, **options):
        ParticleFilter(model, particles, **options).run(y, seed=seed, checkpoint=folder, resume=True)

    resume()
    other = y.clone()
    other[2, 1] += 1e-9
    for change in ({"y": other}, {"y": y[:4]}):
        with pytest.raises(InputError, match="another series"):
            resume(**change)
    for change in (
        {"model": model._replace(noise=model.noise * 2)},
        {"particles": 31},
        {"seed": 1},
        {"ess_threshold": 0.6},
        {"predictive_draws": 3},
        {"guide": Passive()},
    ):
        with pytest.raises(InputError, match="another model, seed"):
            resume(**change)
    with pytest.raises(InputError, match="holds a checkpoint already"):
        ParticleFilter(model, 30).run(y, checkpoint=folder)


@pytest.mark.parametrize("name", ["state.npz", "records-000000.npz"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not a zip file"])
def test_damaged_checkpoints_are_refused(tmp_path, name, damage):
    model = LinearGaussian.scalar(0.9, 1.0, 1.0, 0.0, 1.0)
    y = model.simulate(4, seed=1)
    ParticleFilter(model, 10).run(y, checkpoint=tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=name):
        ParticleFilter(model, 10).run(y, checkpoint=tmp_path / "run", resume=True)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    model = LinearGaussian.scalar(0.9, 1.0, 1.0, 0.0, 1.0)
    y = model.simulate(2, seed=1)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "missing" / "run", tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="folder"):
            ParticleFilter(model, 10).run(y, checkpoint=folder, progress=kill_after(1))
    with pytest.raises(InputError, match="checkpoint_interval"):
        ParticleFilter(model, 10).run(y, checkpoint=tmp_path / "run", checkpoint_interval=0)
    with pytest.raises(InputError, match="resume needs the place of the checkpoint"):
        ParticleFilter(model, 10).run(y, resume=True)


@dataclass
class Settings:
    rate: float
    law: object = None

    @functools.cached_property
    def double(self):
        return 2 * self.rate

    def again(self):
        return self


def test_fingerprints_tell_contents_apart_and_ignore_caches():
    def shifted(by):
        return lambda x: x + by

    def cached(by):
        return functools.lru_cache(shifted(by))

    distinct = [
        1, 1.0, True, "1", None, [1], (1,), [1, [2]], [[1], 2], {"a": 1}, {"a": 2}, {"b": 1}, {1, 2}, torch.zeros(2),
        torch.zeros(2).double(), torch.zeros(2, 1), torch.zeros(3), Settings(1.0), Settings(2.0),
        shifted(1), shifted(2), lambda x: x * 2, lambda x: x * 3, dist.Normal(0.0, 1.0), dist.Normal(0.0, 2.0),
        Settings, Counting, functools.partial(max, 1), functools.partial(max, 2), Settings(1.0).again,
        Settings(2.0).again, cached(1), cached(2),
    ]  # fmt: skip
    prints = [fingerprint(value) for value in distinct]
    assert len(set(prints)) == len(prints)
    settings = Settings(1.0, law=dist.MultivariateNormal(torch.zeros(2), torch.eye(2) * 3))
    before = fingerprint(settings)
    assert settings.double == 2.0
    settings.law.precision_matrix  # noqa: B018  (computed and cached by torch)
    assert fingerprint(settings) == before
    circular = [1]
    circular.append(circular)
    assert fingerprint(circular) == fingerprint(circular)
