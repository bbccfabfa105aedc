"""Mixtures of Gaussians: scikit-learn's steps, a floor, Gaussians that nothing is near, and any size of block."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from topfive.training import mixture
from topfive.training.mixture import Mixture, fit_gaussians


@pytest.fixture
def sample() -> Tensor:
    """3,000 descriptors of 6 numbers around 5 places."""
    generator = torch.Generator().manual_seed(0)
    places = 3 * torch.randn(5, 6, generator=generator)
    near = torch.randint(5, (3000,), generator=generator)
    return (
        places[near] + torch.randn(3000, 6, generator=generator) * torch.rand(5, 6, generator=generator)[near]
    ).double()


def begun(sample: Tensor, components: int) -> Mixture:
    middles = sample[:components].clone()
    return Mixture(torch.full((components,), 1 / components, dtype=torch.float64), middles, torch.ones_like(middles))


@pytest.mark.parametrize("rounds", [1, 4, 100])
def test_the_steps_and_where_they_end_are_scikit_learns(
    sample: Tensor, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixture, "BLOCK", 8 * 700)  # blocks of 700 descriptors, the last of 200
    start = begun(sample, 8)
    found = fit_gaussians(sample, start, 0.0, rounds)
    theirs = GaussianMixture(
        8, covariance_type="diag", max_iter=rounds, reg_covar=0, weights_init=start.weights.numpy(),
        means_init=start.means.numpy(), precisions_init=np.ones(start.means.shape),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(sample.numpy())
    assert (theirs.n_iter_ == rounds) == (rounds < 100)
    for ours, reference in zip(found, (theirs.weights_, theirs.means_, theirs.covariances_), strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(reference), rtol=1e-9, atol=1e-9)


def test_no_variance_falls_below_the_floor(sample: Tensor) -> None:
    free, held = (fit_gaussians(sample, begun(sample, 8), floor, 20) for floor in (0.0, 0.2))
    assert free.variances.min() < 0.2 == held.variances.min()


def test_a_gaussian_that_nothing_is_near_stays(sample: Tensor) -> None:
    start = begun(sample, 4)
    start.means[2] = 1e4
    found = fit_gaussians(sample, start, 0.01, 10)
    assert (found.means[2] == 1e4).all() and (found.variances[2] == 1).all()
    assert found.weights[2] < 1e-9
    assert found.weights.sum() == pytest.approx(1)
    assert all(one.isfinite().all() for one in found)


def test_equal_descriptors_have_the_floor_as_variance() -> None:
    found = fit_gaussians(torch.ones(50, 3, dtype=torch.float64), begun(torch.ones(2, 3).double(), 2), 0.01, 5)
    torch.testing.assert_close(found.means, torch.ones(2, 3).double())
    assert (found.variances == 0.01).all()
