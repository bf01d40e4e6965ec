"""Particle filter against exact answers: joint normals, enumeration, published log-likelihoods."""

import math

import arviz
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.special import logsumexp
from state_space_models import LinearGaussian, RegimeSwitching, published

from hmm_plating.errors import InputError
from hmm_plating.inference import ParticleFilter, multinomial, residual, stratified, systematic


def evidence_ratios(particle_filter, y, exact, runs):
    """Ẑ/Z of independent runs; its mean must be 1 (Del Moral 1996: the estimate is unbiased for every N)."""
    estimates = []
    for seed in range(runs):
        state = particle_filter.init(seed=seed)
        for value in y:
            state, _ = particle_filter.update(state, value)
        estimates.append(state.log_evidence)
    return np.exp(np.array(estimates) - exact)


@pytest.mark.parametrize("model", [LinearGaussian.scalar(0.9, 1.0, 0.5, 0.3, 2.0), LinearGaussian.four_dimensional()])
@pytest.mark.parametrize(("scheme", "threshold"), [(systematic, 0.5), (multinomial, 1.0)])
def test_evidence_is_unbiased(model, scheme, threshold):
    y = model.simulate(4, seed=2)
    y[2, 0] = math.nan
    particle_filter = ParticleFilter(model, 100, resampling=scheme, ess_threshold=threshold, predictive_draws=0)
    ratios = evidence_ratios(particle_filter, y, model.log_evidence(y), 100)
    assert abs(ratios.mean() - 1) < 3 * ratios.std(ddof=1) / math.sqrt(len(ratios))


@pytest.mark.parametrize("scheme", [systematic, stratified, residual, multinomial])
def test_filtered_moments(scheme):
    """Averages over 20 independent filters within 4 of their own standard errors, plus the O(1/N) bias."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(4, seed=7)
    means, seconds = [], []
    for seed in range(20):
        particle_filter = ParticleFilter(model, 400, resampling=scheme, predictive_draws=0)
        state = particle_filter.init(seed=seed)
        for value in y:
            state, info = particle_filter.update(state, value)
        draws = info.posterior["x"].numpy()
        means.append(draws.mean(0))
        seconds.append(np.einsum("ni,nj->ij", draws, draws) / len(draws))
    mean, covariance = model.filtered(y)
    expected = [(np.array(means), mean), (np.array(seconds), covariance + np.outer(mean, mean))]
    for estimates, exact in expected:
        error = np.abs(estimates.mean(0) - exact)
        assert (error < 4 * estimates.std(0, ddof=1) / math.sqrt(20) + 0.01).all()


@pytest.mark.slow
def test_marginalising_the_linear_part_is_exact_and_has_lower_variance():
    """Regime switching, T = 6: 2^7 chains enumerated. Doucet et al. (2000), section 3: the variance cannot grow."""
    y = torch.tensor([[0.2, -0.5], [1.4, 0.3], [0.2, 0.1], [2.5, 1.0], [-0.4, 0.2], [0.1, -1.3]], dtype=torch.float64)
    exact, mean, probability = RegimeSwitching(True).exact(y)
    ratios = {}
    for marginalise in (True, False):
        particle_filter = ParticleFilter(RegimeSwitching(marginalise), 60, predictive_draws=0)
        ratios[marginalise] = evidence_ratios(particle_filter, y, exact, 60)
        assert abs(ratios[marginalise].mean() - 1) < 3.5 * ratios[marginalise].std(ddof=1) / math.sqrt(60)
    assert ratios[True].std() < 0.5 * ratios[False].std()

    particle_filter = ParticleFilter(RegimeSwitching(True), 4000)
    posterior = particle_filter.run(y, seed=1).posterior.isel(chain=0, time=-1)
    # 4 standard errors of 4000 draws, doubled for the earlier resampling
    np.testing.assert_allclose(
        posterior["mean"].mean("draw"), mean, atol=8 * float(posterior["mean"].std("draw").max()) / 63
    )
    assert float(posterior["s"].mean("draw")) == pytest.approx(probability, abs=8 * 0.5 / 63)


@pytest.mark.slow
def test_published_log_likelihood_of_chopins_linear_gaussian_series():
    """Data of the package `particles`: exact −149.381241."""
    y = torch.from_numpy(np.loadtxt(published("chopin_lingauss_T100.txt")))[:, None]
    model = LinearGaussian.scalar(0.9, 1.0, 0.04, 0.0, 1 / (1 - 0.9**2))
    assert model.log_evidence(y) == pytest.approx(-149.381241, abs=1e-6)

    class Guide:
        """The locally optimal proposal, p(x_t | x_{t−1}, y_t): precise where the bootstrap filter is off by ± 3."""

        def init(self, state):
            pass

        def step(self, state, y):
            gain = 1 / 1.04
            centre = 0.9 * state["x"]
            loc = centre + gain * (y - centre)
            pyro.sample("x", dist.MultivariateNormal(loc, torch.full((1, 1), 0.04 * gain, dtype=torch.float64)))

    particle_filter = ParticleFilter(model, 200, guide=Guide(), predictive_draws=0)
    ratios = evidence_ratios(particle_filter, y, -149.381241, 20)
    assert abs(np.log(ratios)).max() < 2.0
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(20)


@pytest.mark.slow
def test_published_log_likelihood_of_the_nile():
    """Local level model, x_1 ~ N(1000, 300²): −639.256566, as in statsmodels."""
    y = torch.from_numpy(np.loadtxt(published("nile.csv"), delimiter=",", skiprows=1)[:, 1:])
    model = LinearGaussian.scalar(1.0, 1469.1, 15099.0, 1000.0, 300.0**2 - 1469.1)
    assert model.log_evidence(y) == pytest.approx(-639.256566, abs=1e-6)
    ratios = evidence_ratios(ParticleFilter(model, 1000, predictive_draws=0), y, -639.256566, 10)
    assert abs(ratios.mean() - 1) < 3.5 * ratios.std(ddof=1) / math.sqrt(10)
    assert abs(np.log(ratios)).max() < 1.0


class ObservedFromTheStart:
    """x_0 ~ N(0, 1), y_0 = x_0 + N(0, 1) scored in init, then a random walk."""

    def init(self, state, y):
        state["x"] = pyro.sample("x", dist.Normal(torch.tensor(0.0).double(), 1.0))
        pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)

    def step(self, state, y):
        state["x"] = pyro.sample("x", dist.Normal(state["x"], 1.0))
        pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)


def test_an_observation_in_init_counts():
    y = torch.tensor([1.5, 0.5, -0.5], dtype=torch.float64)
    covariance = torch.tensor([[2.0, 1, 1], [1, 3, 2], [1, 2, 4]], dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(torch.zeros(3).double(), covariance).log_prob(y)
    result = ParticleFilter(ObservedFromTheStart(), 20_000).run(y[1:], init_args=(y[0],))
    assert result.attrs["log_evidence"] == pytest.approx(float(exact), abs=0.05)
    increments = result.filter_stats["log_evidence_increment"].values
    assert result.attrs["log_evidence"] == pytest.approx(result.attrs["initial_log_evidence"] + increments.sum())
    assert result.attrs["initial_log_evidence"] == pytest.approx(
        -0.5 * 1.5**2 / 2 - 0.5 * math.log(4 * math.pi), abs=0.03
    )


def test_predictive_draws_come_from_the_predictive_distribution():
    """One step ahead, before the observation: N(H m, H P Hᵀ + R) of the filter; what is withheld, given the rest."""
    model = LinearGaussian.four_dimensional()
    y = model.simulate(3, seed=4)
    y[:, 2] = math.nan
    mean, covariance = model.filtered(y[:2])
    a, h = model.transition.numpy(), model.matrix.numpy()
    expected = h @ (a @ covariance @ a.T + model.process.numpy()) @ h.T + model.noise.numpy()
    # Never resampled, so that the carried weights differ; a multiple of the particles is drawn.
    result = ParticleFilter(model, 4000, ess_threshold=0.0, predictive_draws=10_000).run(y)
    draws = result.posterior_predictive["y"].isel(chain=0, time=2).values
    assert draws.shape == (10_000, 3)
    size = float(result.filter_stats["effective_sample_size"].isel(chain=0, time=1))
    seen, centre = slice(0, 2), h @ a @ mean
    error = np.sqrt(np.diag(expected) / min(size, 4000))
    assert (np.abs(draws.mean(0) - centre) < 4 * error)[seen].all()
    bound = 4 * np.sqrt(2) * np.outer(error, np.sqrt(np.diag(expected)))
    assert (np.abs(np.cov(draws.T) - expected) < bound)[seen, seen].all()
    weights = np.linalg.solve(expected[seen, seen], expected[seen, 2])
    variance = expected[2, 2] - weights @ expected[seen, 2]
    final = float(result.filter_stats["effective_sample_size"].isel(chain=0, time=2))
    assert draws[:, 2].mean() == pytest.approx(
        centre[2] + weights @ (y[2, :2].numpy() - centre[seen]), abs=4 * np.sqrt(variance / final)
    )
    assert draws[:, 2].var() == pytest.approx(variance, rel=4 * np.sqrt(2 / final))


def test_recorded_groups_and_their_identities():
    model = LinearGaussian.four_dimensional()
    y = model.simulate(6, seed=3)
    result = ParticleFilter(model, 50, predictive_draws=30).run(y, seed=9, time=[0, 2, 4, 6, 8, 10])
    sizes = {group: dict(result[group].sizes) for group in result.groups()}
    steps = {"chain": 1, "time": 6}
    assert sizes == {
        "posterior": {**steps, "draw": 50, "x_dim_0": 4},
        "sample_stats": {**steps, "draw": 50},
        "filter_stats": steps,
        "posterior_predictive": {**steps, "draw": 30, "y_dim_0": 3},
        "log_likelihood": {**steps, "draw": 50},
        "observed_data": {"time": 6, "y_dim_0": 3},
    }
    assert result.posterior["x"].dims == ("chain", "draw", "time", "x_dim_0")
    assert result.posterior["time"].values.tolist() == [0, 2, 4, 6, 8, 10]
    np.testing.assert_array_equal(result.observed_data["y"], y)
    stats = result.filter_stats
    increments = stats["log_evidence_increment"]
    averages = logsumexp(result.log_likelihood["y"], axis=1) - math.log(50)
    np.testing.assert_allclose(averages, increments, rtol=1e-13)
    assert result.attrs["log_evidence"] == pytest.approx(float(increments.sum()), rel=1e-14)
    assert (result.attrs["seed"], result.attrs["particles"]) == (9, 50)
    log_weight = result.sample_stats["log_weight"]
    np.testing.assert_allclose(1 / (np.exp(log_weight) ** 2).sum("draw"), stats["effective_sample_size"], rtol=1e-12)
    np.testing.assert_array_equal(stats["resampled"], stats["effective_sample_size"] < 25)
    for t in range(6):
        ancestors = result.sample_stats["ancestor"].isel(chain=0, time=t).values
        resampled = bool(stats["resampled"][0, t])
        assert len(np.unique(ancestors)) == int(stats["unique_ancestors"][0, t])
        assert resampled == (ancestors.tolist() != list(range(50)))
        values = result.posterior["x"].isel(chain=0, time=t).values
        if resampled:  # the draws are those ancestors
            assert len(np.unique(values, axis=0)) == int(stats["unique_ancestors"][0, t])
    assert bool(stats["resampled"].any())
    assert not bool(stats["resampled"].all())
    assert np.isfinite(arviz.summary(result, var_names=["x"])["mean"]).all()


def test_same_seed_same_result_and_the_callers_random_state_is_left_alone():
    model = LinearGaussian.four_dimensional()
    y = model.simulate(4, seed=3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = ParticleFilter(model, 40).run(y, seed=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    torch.rand(3)
    again, other = ParticleFilter(model, 40).run(y, seed=5), ParticleFilter(model, 40).run(y, seed=6)
    for group in first.groups():
        assert first[group].identical(again[group])
    assert not first.posterior.equals(other.posterior)


def test_what_is_recorded_does_not_change_the_filter():
    model = LinearGaussian.four_dimensional()
    y = model.simulate(6, seed=3)
    runs = [ParticleFilter(model, 40, predictive_draws=draws).run(y) for draws in (0, 25)]
    assert runs[0].filter_stats.identical(runs[1].filter_stats)
    assert "posterior_predictive" not in runs[0].groups()


def test_update_is_a_pure_function_of_the_state():
    class InPlace(LinearGaussian):
        def step(self, state, y):
            state["x"] += pyro.sample("dx", dist.MultivariateNormal(self.mean, self.process))
            pyro.sample("y", dist.MultivariateNormal(state["x"] @ self.matrix.T, self.noise), obs=y)

    model = InPlace(*LinearGaussian.four_dimensional())
    particle_filter = ParticleFilter(model, 30)
    y = model.simulate(2, seed=1)
    start, _ = particle_filter.update(particle_filter.init(seed=1), y[0])
    copy = start.particles["x"].clone()
    first, second = particle_filter.update(start, y[1]), particle_filter.update(start, y[1])
    assert torch.equal(start.particles["x"], copy)
    assert torch.equal(first[0].particles["x"], second[0].particles["x"])
    assert first[0].log_evidence == second[0].log_evidence
    assert torch.equal(first[1].predictive["y"], second[1].predictive["y"])


def test_inputs_are_sliced_along_time():
    class Driven:
        def init(self, state, start):
            state["x"] = pyro.sample("x", dist.Delta(start))

        def step(self, state, y, drive, label):
            state["x"] = state["x"] + drive["rate"] * drive["duration"] + (1.0 if label == "jump" else 0.0)
            pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)

    drive = {"rate": torch.tensor([1.0, 2.0, 3.0]), "duration": np.array([1.0, 0.5, 0.1], dtype=np.float32)}
    result = ParticleFilter(Driven(), 3).run([0.0, 1.0, 2.0], drive, ["", "jump", ""], init_args=(torch.tensor(10.0),))
    np.testing.assert_allclose(result.posterior["x"][0, 0], [11.0, 13.0, 13.3], rtol=1e-6)
    with pytest.raises(InputError, match="series 1 has 2"):
        ParticleFilter(Driven(), 3).run([0.0, 1.0, 2.0], ["", ""])
    with pytest.raises(InputError, match="different lengths"):
        ParticleFilter(Driven(), 3).run([0.0], {"rate": torch.zeros(2), "duration": torch.zeros(1)})


class Reporting(LinearGaussian):
    """Names what users know: halves of the observation, a derived quantity, an entry at every second step."""

    dims = {"first": ("channel",), "field": ("y", "x")}  # noqa: RUF012
    coords = {"channel": ["f", "D"], "x": [0.5, 1.5, 2.5]}  # noqa: RUF012

    def init(self, state):
        super().init(state)
        state["t"] = torch.zeros(len(state["x"]), dtype=torch.long)

    def step(self, state, y):
        super().step(state, y)
        state["t"] = state["t"] + 1

    def report(self, state):
        reported = {"norm": state["x"].norm(dim=-1)}
        if int(state["t"][0]) % 2 == 0:
            reported["field"] = state["x"][:, None, :3].repeat(1, 2, 1).float()
        return reported

    def report_predictive(self, draws):
        return {"first": draws["y"][..., :2], "last": draws["y"][..., 2]}


def test_the_model_decides_what_is_reported():
    model = Reporting(*LinearGaussian.four_dimensional())
    y = model.simulate(5, seed=1)
    result = ParticleFilter(model, 20, predictive_draws=7).run(y)
    assert set(result.posterior.data_vars) == {"norm", "field"}
    field = result.posterior["field"]
    assert field.dims == ("chain", "draw", "time", "y", "x")
    assert field.dtype == np.float32
    assert np.isnan(field).all(("chain", "draw", "y", "x")).values.tolist() == [True, False, True, False, True]
    assert field["x"].values.tolist() == [0.5, 1.5, 2.5]
    assert result.posterior_predictive["first"].dims == ("chain", "draw", "time", "channel")
    assert result.posterior_predictive["last"].shape == (1, 7, 5)
    np.testing.assert_array_equal(result.observed_data["first"], y[:, :2])
    np.testing.assert_array_equal(result.observed_data["last"], y[:, 2])
    assert result.observed_data["channel"].values.tolist() == ["f", "D"]


def test_zero_weights_name_the_step_the_prediction_and_the_observation():
    class Bounded:
        def init(self, state):
            state["x"] = pyro.sample("x", dist.Normal(5.0, 0.5))

        def step(self, state, y):
            pyro.sample("y", dist.Uniform(state["x"] - 1, state["x"] + 1), obs=y)

    with pytest.raises(InputError, match=r"step 3: .*y predicted [45]\.\d+ ± 0\.\d+, observed 42"):
        ParticleFilter(Bounded(), 100).run([5.0, 5.2, 42.0, 5.0])


def test_channels_that_surprise_most_are_named():
    class Clipped(LinearGaussian):
        def step(self, state, y):
            super().step(state, y)
            pyro.factor("clip", torch.full((len(state["x"]),), -math.inf if y[1] > 100 else 0.0))

    model = Clipped(*LinearGaussian.four_dimensional())
    y = model.simulate(2, seed=0)
    y[1, 0], y[1, 1] = math.nan, 1000.0
    with pytest.raises(InputError, match=r"step 2: .*y\[1\] predicted .* observed 1000"):
        ParticleFilter(model, 50).run(y)


def test_particles_that_went_astray_are_counted_and_dropped():
    class Fragile(LinearGaussian):
        def step(self, state, y):
            super().step(state, y)
            state["x"][:3] = math.nan
            pyro.factor("echo", 0 * state["x"].sum(-1))

    model = Fragile(*LinearGaussian.four_dimensional())
    result = ParticleFilter(model, 40).run(model.simulate(3, seed=0))
    assert result.filter_stats["invalid_particles"].values.tolist() == [[3.0, 3.0, 3.0]]
    assert not np.isnan(result.posterior["x"]).any()
    assert not np.isnan(result.posterior_predictive["y"]).any()
    assert math.isfinite(result.attrs["log_evidence"])

    class Broken(LinearGaussian):
        def step(self, state, y):
            super().step({"x": state["x"] * math.nan}, y)

    with pytest.raises(InputError, match="40 of 40 weights are NaN"):
        ParticleFilter(Broken(*model), 40).run(model.simulate(3, seed=0))


def test_values_outside_the_support_have_zero_density():
    """torch's formula for the exponential density continues to negative values, where it exceeds 1."""

    class Waiting:
        def init(self, state):
            state["rate"] = pyro.sample("rate", dist.Uniform(0.5, 2.0))

        def step(self, state, y):
            pyro.sample("y", dist.Exponential(state["rate"]), obs=y)

    with pytest.raises(InputError, match=r"y predicted .*, observed -1"):
        ParticleFilter(Waiting(), 5).run([1.0, -1.0])


class Plain:
    def init(self, state):
        state["x"] = pyro.sample("x", dist.Normal(0.0, 1.0))

    def step(self, state, y):
        pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)


def test_mistakes_are_named():
    with pytest.raises(InputError, match="particles must be an integer ≥ 1"):
        ParticleFilter(Plain(), 0)
    with pytest.raises(InputError, match="ess_threshold"):
        ParticleFilter(Plain(), 5, ess_threshold=2.0)
    with pytest.raises(InputError, match="init"):
        ParticleFilter(object(), 5)
    with pytest.raises(InputError, match="seed"):
        ParticleFilter(Plain(), 5).run([0.0], seed=-1)
    with pytest.raises(InputError, match=r"step 2: .*y has a value outside .*PartiallyObservedNormal.*observed nan"):
        ParticleFilter(Plain(), 5).run([0.0, math.nan])
    with pytest.raises(InputError, match="time coordinate has 1"):
        ParticleFilter(Plain(), 5).run([0.0, 1.0], time=[3.0])

    class Scalar(Plain):
        def init(self, state):
            state["x"] = torch.tensor(0.0)

    with pytest.raises(InputError, match=r"state\['x'\].*leading dimension 5"):
        ParticleFilter(Scalar(), 5).init()

    class Nested(Plain):
        def step(self, state, y):
            with pyro.plate("channels", 5):  # as many as particles: shapes alone would not tell
                pyro.sample("y", dist.Normal(state["x"], 1.0), obs=y)

    with pytest.raises(InputError, match="max_plate_nesting"):
        ParticleFilter(Nested(), 5).run(torch.zeros(1, 5, 1))


def test_errors_of_the_programs_keep_their_message():
    """Pyro's trace of a function would append a table of its sites."""

    class Failing:
        def init(self, state):
            pyro.sample("x", dist.Normal(0.0, 1.0))

        def step(self, state, y):
            raise ValueError("as the program put it")

    for programs in ({"model": Failing()}, {"model": Plain(), "guide": Failing()}):
        with pytest.raises(ValueError, match=r"^as the program put it$"):
            ParticleFilter(**programs, particles=5).run([0.0])
