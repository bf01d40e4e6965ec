"""Static parameters: PMMH, SMC² and Liu–West against the posterior on a grid; their prior; their checkpoints."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from two_parameters import Autoregression, GridPosterior, kalman, prior, simulate

from hmm_plating.errors import InputError
from hmm_plating.inference import PMMH, SMC2, ParameterPrior, ParticleFilter, forecast, liu_west
from hmm_plating.inference.block_filter import run_blocks, systematic_rows, take_blocks

Y = simulate(50, seed=1)
SHORT = Y[:6]


class Killed(Exception):
    pass


def killing(after):
    def progress(done, total, *rest):
        if done == after:
            raise Killed

    return progress


@pytest.fixture(scope="module")
def exact():
    return GridPosterior(Y)


@pytest.mark.slow
def test_pmmh_has_the_posterior(exact):
    """Required: a Kolmogorov–Smirnov distance below 0.05; some 1500 effective draws leave 0.035 at the 95 % level."""
    result = PMMH(Autoregression, prior, 48, chains=64, warmup=120).run(Y, draws=250, seed=1)
    for name in ("rho", "q"):
        assert exact.distance(name, result.posterior[name].values) < 0.05
    assert 0.15 < result.attrs["acceptance_rate"] < 0.35
    assert result.posterior["rho"].dims == ("chain", "draw")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_smc2_has_posterior_and_evidence(exact, seed):
    result = SMC2(Autoregression, prior, 2000, 48).run(Y, seed=seed)
    for name in ("rho", "q"):
        assert exact.distance(name, result.posterior[name].values) < 0.05
    # 2000 weights with a relative variance of about 1 per move, five moves: ± 0.05
    assert result.attrs["log_evidence"] == pytest.approx(exact.log_evidence, abs=0.15)
    assert float(result.filter_stats["log_evidence_increment"].sum()) == pytest.approx(result.attrs["log_evidence"])


@pytest.mark.slow
def test_smc2_takes_more_particles_where_few_moves_are_accepted(exact):
    """Two particles per filter are far too few: log Ẑ varies by several units, the posterior of a run by 0.1 or 0.2."""
    results = [SMC2(Autoregression, prior, 800, 2).run(Y, seed=seed) for seed in range(8)]
    for result in results:
        particles = result.filter_stats["particles"].values[0]
        assert particles[-1] >= 16
        assert (np.diff(particles) >= 0).all()
    evidence = logsumexp([result.attrs["log_evidence"] for result in results]) - math.log(8)
    assert evidence == pytest.approx(exact.log_evidence, abs=0.3)
    for name in ("rho", "q"):
        assert exact.distance(name, np.concatenate([result.posterior[name].values for result in results])) < 0.12
    capped = SMC2(Autoregression, prior, 100, 2, most_particles=4).run(Y[:30], seed=3)
    assert float(capped.filter_stats["particles"].max()) <= 4


@pytest.mark.slow
def test_liu_west_comes_near(exact):
    """Biased by its kernel: mean within a third of a standard deviation, spread within 25 %."""
    result = liu_west(Autoregression, prior, 10_000).run(Y, seed=1)
    last = result.posterior.isel(time=-1)
    for name in ("rho", "q"):
        grid, distribution = exact.grids[name], exact.distributions[name]
        mass = np.diff(distribution, prepend=0)
        mean = (grid * mass).sum()
        deviation = np.sqrt(((grid - mean) ** 2 * mass).sum())
        assert float(last[name].mean()) == pytest.approx(mean, abs=deviation / 3)
        assert float(last[name].std()) == pytest.approx(deviation, rel=0.25)
    assert result.attrs["log_evidence"] == pytest.approx(exact.log_evidence, abs=0.3)


def test_liu_west_forecasts_and_reports_state_and_parameters():
    particle_filter = liu_west(Autoregression, prior, 200)
    state = particle_filter.init(seed=1)
    for value in SHORT:
        state, info = particle_filter.update(state, value)
    assert set(info.posterior) == {"rho", "q", "x"}
    assert info.resampled
    found = forecast(particle_filter, state, 3, sites=info.observed_sites, draws=70).predictions
    assert found.sizes == {"chain": 1, "draw": 70, "time": 3}
    assert set(found.data_vars) == {"rho", "q", "x", "y"}
    with pytest.raises(InputError, match="discount"):
        liu_west(Autoregression, prior, 10, discount=1.0)


def test_blocks_are_filters_of_their_parameters():
    """Evidence of each block unbiased against Kalman's: 400 filters per parameter value, 4 standard errors."""
    rho, q = torch.tensor([0.3, 0.9], dtype=torch.float64), torch.tensor([1.0, 0.4], dtype=torch.float64)
    blocks = {"rho": rho.repeat_interleave(400), "q": q.repeat_interleave(400)}
    state = run_blocks(Autoregression, blocks, 40, (SHORT,), 6)
    exact = kalman(SHORT, rho.numpy(), q.numpy())
    for i in range(2):
        ratio = (state.log_evidence[400 * i : 400 * (i + 1)] - exact[i]).exp()
        assert float(ratio.mean()) == pytest.approx(1, abs=4 * float(ratio.std()) / 20)
    torch.testing.assert_close(state.log_weights.exp().sum(-1), torch.ones(800, dtype=torch.float64))
    some = take_blocks(state, torch.tensor([5, 5, 799]))
    assert torch.equal(some.particles["x"].reshape(3, 40)[2], state.particles["x"].reshape(800, 40)[799])
    assert torch.equal(some.log_evidence, state.log_evidence[[5, 5, 799]])


def test_rows_are_resampled_each_by_its_weights():
    weights = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        counts = torch.stack(
            [torch.stack([row.bincount(minlength=4) for row in systematic_rows(weights.log())]) for _ in range(2000)]
        ).double()
    assert counts[:, 0].unique(dim=0).tolist() == [[2, 1, 1, 0]]
    assert counts[:, 1].unique(dim=0).tolist() == [[0, 0, 0, 4]]
    # each count is one of two neighbours: standard deviation below a half
    torch.testing.assert_close(counts.mean(0), 4 * weights, rtol=0, atol=4 * 0.5 / math.sqrt(2000))


def hierarchical():
    scale = pyro.sample("scale", dist.Gamma(torch.tensor(3.0, dtype=torch.float64), 2.0))
    pyro.sample("vector", dist.Normal(torch.zeros(3, dtype=torch.float64), scale[..., None]).to_event(1))
    pyro.sample("share", dist.Dirichlet(torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)))
    pyro.sample("below", dist.Uniform(0.0, scale))


def test_prior_on_unconstrained_space():
    """Densities against scipy's and a numerical Jacobian; draws come back as they were drawn."""
    parameter_prior = ParameterPrior(hierarchical)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        position = parameter_prior.sample(500)
    assert position.shape == (500, 1 + 3 + 2 + 1)
    parameters, log_density = parameter_prior.constrain(position)
    assert {name: tuple(value.shape) for name, value in parameters.items()} == {
        "scale": (500,), "vector": (500, 3), "share": (500, 3), "below": (500,)
    }  # fmt: skip
    assert stats.kstest(parameters["scale"], stats.gamma(3, scale=0.5).cdf).pvalue > 1e-3
    assert stats.kstest(parameters["below"] / parameters["scale"], "uniform").pvalue > 1e-3

    def free(u):
        values, _ = parameter_prior.constrain(torch.as_tensor(u)[None])
        return np.concatenate([values["scale"], values["vector"][0], values["share"][0, :2], values["below"]])

    for i in (0, 7):
        u, step = position[i].numpy(), 1e-6
        jacobian = np.stack([(free(u + step * e) - free(u - step * e)) / (2 * step) for e in np.eye(7)], -1)
        scale = float(parameters["scale"][i])
        expected = (
            stats.gamma.logpdf(scale, 3, scale=0.5)
            + stats.norm.logpdf(parameters["vector"][i], scale=scale).sum()
            + stats.dirichlet.logpdf(parameters["share"][i] / parameters["share"][i].sum(), [2, 3, 4])
            - math.log(scale)
            + np.linalg.slogdet(jacobian)[1]
        )
        assert float(log_density[i]) == pytest.approx(expected, abs=1e-5)


def test_what_a_prior_computes_is_a_parameter_too():
    def program():
        variance = pyro.sample("variance", dist.Gamma(torch.tensor(3.0, dtype=torch.float64), 2.0))
        pyro.sample("rho", dist.Uniform(0.0, 1.0))
        pyro.deterministic("q", variance.sqrt())

    result = SMC2(Autoregression, program, 20, 10).run(SHORT)
    assert set(result.posterior.data_vars) == {"variance", "rho", "q"}
    np.testing.assert_allclose(result.posterior["q"] ** 2, result.posterior["variance"])


def plated():
    with pyro.plate("three", 3):
        pyro.sample("k", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda: None, "the prior draws no parameter"),
        (lambda: pyro.sample("k", dist.Poisson(3.0)), "'k' is discrete"),
        (lambda: pyro.sample("k", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0)), "the prior observes 'k'"),
        (
            lambda: pyro.sample("k", dist.ImproperUniform(dist.constraints.positive, (), ())),
            "the prior is improper",
        ),
        (lambda: pyro.sample("k", dist.Normal(torch.zeros(3), 1.0)), r"batch shape \(3,\): declare a vector as"),
        (plated, "the prior has a plate, 'three': declare a vector as"),
    ],
)
def test_priors_that_cannot_be_used(program, message):
    for method in (PMMH(Autoregression, program, 5), SMC2(Autoregression, program, 5, 5)):
        with pytest.raises(InputError, match=message):
            method.run(SHORT)


def methods():
    return {
        "pmmh": (PMMH(Autoregression, prior, 8, chains=3, warmup=6), {"draws": 8, "checkpoint_interval": 3}),
        "smc2": (SMC2(Autoregression, prior, 12, 4, ess_threshold=0.8), {"checkpoint_interval": 2}),
    }


@pytest.mark.parametrize(("name", "killed"), [("pmmh", 5), ("pmmh", 11), ("smc2", 1), ("smc2", 5)])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, name, killed):
    method, options = methods()[name]
    whole = method.run(SHORT, seed=4, **options)
    path = tmp_path / "run.npz"
    with pytest.raises(Killed):
        method.run(SHORT, seed=4, checkpoint=path, progress=killing(killed), **options)
    steps = []
    resumed = method.run(
        SHORT, seed=4, checkpoint=path, resume=True, progress=lambda done, *_: steps.append(done), **options
    )
    assert steps[0] == options["checkpoint_interval"] * (killed // options["checkpoint_interval"]) + 1 or killed == 1
    assert whole.groups() == resumed.groups()
    assert whole.attrs == resumed.attrs
    for group in whole.groups():
        assert whole[group].identical(resumed[group])
    assert not whole.posterior.identical(method.run(SHORT, seed=5, **options).posterior)


@pytest.mark.parametrize("name", ["pmmh", "smc2"])
def test_checkpoints_of_something_else(tmp_path, name):
    method, options = methods()[name]
    path = tmp_path / "run.npz"
    method.run(SHORT, checkpoint=path, **options)
    with pytest.raises(InputError, match="holds a checkpoint already"):
        method.run(SHORT, checkpoint=path, **options)
    for other in ({"seed": 1}, {"observations": SHORT + 1e-9}):
        arguments = {"observations": SHORT, "seed": 0} | other
        with pytest.raises(InputError, match="another model, prior, series"):
            method.run(arguments.pop("observations"), checkpoint=path, resume=True, **arguments, **options)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"run\.npz is missing or damaged"):
        method.run(SHORT, checkpoint=path, resume=True, **options)
    with pytest.raises(InputError, match="resume needs the place of the checkpoint"):
        method.run(SHORT, resume=True, **options)
    with pytest.raises(InputError, match="does not exist"):
        method.run(SHORT, checkpoint=tmp_path / "missing" / "run.npz", **options)


class Impossible(Autoregression):
    def step(self, state, y):
        state["x"] = pyro.sample("x", dist.Normal(state["x"], 1.0))
        pyro.sample("y", dist.Uniform(state["x"], state["x"] + 1), obs=y)


def test_an_observation_that_nothing_explains():
    y = torch.tensor([0.5, 1e6], dtype=torch.float64)
    with pytest.raises(InputError, match="step 2: no parameter value and particle can explain the observation"):
        SMC2(Impossible, prior, 20, 20).run(y)
    with pytest.raises(InputError, match="none of 16 draws from the prior explains the series"):
        PMMH(Impossible, prior, 20).run(y)
    with pytest.raises(InputError, match="step 2: no particle can explain the observation"):
        liu_west(Impossible, prior, 50).run(y)


def test_wrong_settings():
    for call, message in (
        (lambda: PMMH(Autoregression, prior, 0), "particles must be an integer ≥ 1"),
        (lambda: PMMH(Autoregression, prior, 5, target_acceptance=1.5), "target_acceptance must be between"),
        (lambda: PMMH(Autoregression, prior, 5).run(SHORT, draws=0), "draws must be an integer ≥ 1"),
        (lambda: PMMH(lambda p: 3, prior, 5).run(SHORT), "must return an object with init and step"),
        (lambda: PMMH(Autoregression, prior, 5).run(SHORT, torch.zeros(2)), "same length"),
        (lambda: SMC2(Autoregression, prior, 1, 5), "parameter_particles must be an integer ≥ 2"),
        (lambda: SMC2(Autoregression, prior, 5, 5, ess_threshold=2.0), "ess_threshold must be between 0 and 1"),
        (lambda: SMC2(Autoregression, prior, 5, 5).run(SHORT, seed=-1), "seed must be a non-negative integer"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_fixed_parameters_are_the_particle_filter():
    """With one parameter value for all, a block's evidence is that of ParticleFilter, up to Monte Carlo error."""
    values = {"rho": torch.full((50,), 0.8).double(), "q": torch.full((50,), 0.6).double()}
    many = run_blocks(Autoregression, values, 200, (SHORT,), 6).log_evidence
    one = ParticleFilter(
        Autoregression({"rho": torch.tensor(0.8), "q": torch.tensor(0.6)}), 10_000, predictive_draws=0
    ).run(SHORT)
    assert float(many.mean()) == pytest.approx(one.attrs["log_evidence"], abs=4 * float(many.std()) / 7 + 0.03)
