"""Codes beside slow loops, closed forms and scikit-image; what is pooled over cells is what is pooled over regions."""

import math

import numpy as np
import pytest
import torch
from skimage.feature import fisher_vector
from sklearn.decomposition import sparse_encode
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import Lasso
from sklearn.mixture import GaussianMixture

from topfive.features import moments
from topfive.features.fisher import FisherVector
from topfive.features.kernel_map import SPECTRA, kernel_map, width
from topfive.features.llc import RIDGE, Llc
from topfive.features.patches import KmeansTriangle, WhitenedPatches, whitening_of
from topfive.features.pyramid import regions_of
from topfive.features.quantiser import ProductQuantiser
from topfive.features.sparse import SparseCode, lasso, omp
from topfive.features.words import BagOfWords, SuperVector, Vlad

WHOLE = ((1, 1),)
PYRAMID = ((1, 1), (2, 2), (3, 1))


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def grid(side=9):
    middles = (torch.arange(side) + 0.5) / side
    return torch.cartesian_prod(middles, middles)


def with_words(code, seed=1):
    code = code.double()
    code.words.copy_(unit(*code.words.shape, seed=seed))
    return code


def mixture(components=6, dimensions=5, seed=2):
    samples = np.random.default_rng(seed).normal(size=(600, dimensions)) * np.linspace(0.5, 2, dimensions) + 3
    fitted = GaussianMixture(components, covariance_type="diag", random_state=0, max_iter=20).fit(samples)
    code = FisherVector(components, dimensions).double()
    code.weights.copy_(torch.from_numpy(fitted.weights_))
    code.means.copy_(torch.from_numpy(fitted.means_))
    code.variances.copy_(torch.from_numpy(fitted.covariances_))
    return fitted, code, torch.from_numpy(samples[:81])[None]


CODES = {
    "bag of words": lambda: with_words(BagOfWords(7, 5)),
    "vlad": lambda: with_words(Vlad(7, 5)),
    "super-vector": lambda: with_words(SuperVector(7, 5)),
    "llc": lambda: with_words(Llc(7, 5, 3)),
    "lasso": lambda: with_words(SparseCode(7, 5, "lasso")),
    "omp": lambda: with_words(SparseCode(7, 5, "omp", atoms=3)),
    "threshold": lambda: with_words(SparseCode(7, 5, "threshold")),
    "triangle": lambda: with_words(KmeansTriangle(7, 5)),
    "fisher": lambda: mixture()[1],
}


@pytest.mark.parametrize("name", CODES)
def test_a_region_is_coded_as_if_it_were_alone(name):
    code, descriptors, places = CODES[name](), unit(2, 81, 5), grid()
    regions = regions_of(places, PYRAMID)
    found = code(descriptors, regions).view(2, 8, code.length)
    boxes = [(0, 1, 0, 1)]
    boxes += [(row / 2, (row + 1) / 2, column / 2, (column + 1) / 2) for row in range(2) for column in range(2)]
    boxes += [(row / 3, (row + 1) / 3, 0, 1) for row in range(3)]
    for number, (top, bottom, left, right) in enumerate(boxes):
        inside = (places[:, 0] >= top) & (places[:, 0] < bottom) & (places[:, 1] >= left) & (places[:, 1] < right)
        assert regions.counts[number] == inside.sum()
        alone = code(descriptors[:, inside], regions_of(places[inside], WHOLE))
        assert torch.allclose(found[:, number], alone, atol=1e-9)


@pytest.mark.parametrize("name", CODES)
def test_empty_regions_flat_descriptors_and_few_of_them_are_defined(name):
    code = CODES[name]()
    one = regions_of(torch.tensor([[0.1, 0.1]]), PYRAMID)  # five of eight regions are empty
    for descriptors in (unit(2, 1, 5), torch.zeros(2, 1, 5, dtype=torch.float64), code_words(code)[:1].expand(2, 1, 5)):
        found = code(descriptors, one).view(2, 8, code.length)
        assert found.isfinite().all()
        assert (found[:, [2, 3, 4, 6, 7]] == 0).all()
        assert torch.equal(found[:, 0], found[:, 1])
    none = code(torch.zeros(2, 0, 5, dtype=torch.float64), regions_of(torch.zeros(0, 2), PYRAMID))
    assert none.shape == (2, 8 * code.length)
    assert (none == 0).all()


def code_words(code):
    return code.means if isinstance(code, FisherVector) else code.words


def test_words_by_hand():
    descriptors, regions = unit(1, 81, 5), regions_of(grid(), WHOLE)
    bag, vlad, vectors = (CODES[name]() for name in ("bag of words", "vlad", "super-vector"))
    counts, sums = torch.zeros(7).double(), torch.zeros(7, 5).double()
    for one in descriptors[0]:
        word = min(range(7), key=lambda place: (one - bag.words[place]).norm())
        counts[word] += 1
        sums[word] += one - bag.words[word]
    assert torch.allclose(bag(descriptors, regions)[0], counts / 81)
    expected = (sums.sign() * sums.abs().sqrt()).flatten()
    assert torch.allclose(vlad(descriptors, regions)[0], expected / expected.norm())
    share = counts / 81
    blocks = [torch.cat([0.1 * share[k : k + 1].sqrt(), sums[k] / 81 / share[k].sqrt()]) for k in range(7)]
    expected = torch.cat(blocks).nan_to_num()
    assert torch.allclose(vectors(descriptors, regions)[0], expected / expected.norm())


@pytest.mark.parametrize("kernel", ["hellinger", "chi2", "intersection"])
def test_dot_products_of_maps_are_near_the_kernel(kernel):
    histograms = torch.rand(20, 30, generator=torch.Generator().manual_seed(0)).double().square()
    histograms = histograms / histograms.sum(1, keepdim=True)
    histograms[:, 3] = 0
    x, y = histograms[:, None], histograms[None]
    exact = {
        "hellinger": (x * y).sqrt(),
        "chi2": (2 * x * y / (x + y)).nan_to_num(),
        "intersection": torch.minimum(x, y),
    }
    mapped = kernel_map(histograms, kernel)
    assert mapped.shape == (20, 30 * width(kernel))
    near = mapped @ mapped.T
    assert (near - exact[kernel].sum(2)).abs().max() < {"hellinger": 1e-9, "chi2": 0.05, "intersection": 0.08}[kernel]
    assert (near - exact[kernel].sum(2)).abs().mean() < 0.2 * (
        histograms @ histograms.T - exact[kernel].sum(2)
    ).abs().mean()


def test_the_map_of_chi_square_is_scikit_learns():
    histograms = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)).double()
    theirs = AdditiveChi2Sampler(sample_steps=2, sample_interval=SPECTRA["chi2"][1]).fit_transform(histograms.numpy())
    ours = kernel_map(histograms, "chi2").view(5, 7, 3)
    assert np.allclose(ours.numpy(), theirs.reshape(5, 3, 7).transpose(0, 2, 1), atol=1e-9)


def test_llc_by_hand():
    code, descriptors = with_words(Llc(20, 5)), unit(1, 30, 5)
    expected = torch.zeros(20).double()
    for one in descriptors[0]:
        near = sorted(range(20), key=lambda place: (one - code.words[place]).norm())[:5]
        apart = code.words[near] - one
        products = apart @ apart.T
        solved = torch.linalg.solve(products + RIDGE * products.trace() * torch.eye(5), torch.ones(5).double())
        for place, weight in zip(near, solved / solved.sum(), strict=True):
            expected[place] = max(expected[place], weight)
    assert torch.allclose(code(descriptors, regions_of(torch.rand(30, 2), WHOLE))[0], expected / expected.norm())


def test_orthogonal_matching_pursuit_is_scikit_learns():
    descriptors, words = unit(50, 32), unit(64, 32, seed=1)
    theirs = sparse_encode(descriptors.numpy(), words.numpy(), algorithm="omp", n_nonzero_coefs=6)
    ours = omp(descriptors, words, 6).numpy()
    same = ((ours != 0) == (theirs != 0)).all(1)
    assert same.mean() >= 0.98
    assert np.allclose(ours[same], theirs[same], atol=1e-6)
    assert omp(descriptors, words[:3], 6).isfinite().all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("apart", [0.0, 1e-6, 3e-4])
def test_repeated_words_are_taken_up_once(kind, apart):
    """scikit-learn sees each word once; what copies share of a weight is summed."""
    words, descriptors = unit(8, 32, seed=1), torch.cat([unit(50, 32), unit(8, 32, seed=1), torch.zeros(3, 32)])
    copies = torch.nn.functional.normalize(words.repeat(5, 1) + apart * unit(40, 32, seed=2), dim=1)
    found = omp(descriptors.to(kind), copies.to(kind), 10).double()
    assert found.isfinite().all()
    left = (descriptors - found @ copies).norm(dim=1)
    assert (left <= descriptors.norm(dim=1) + 1e-6).all()
    assert (found[-3:] == 0).all()
    theirs = sparse_encode(descriptors[:50].numpy(), words.numpy(), algorithm="omp", n_nonzero_coefs=8)
    assert (left[:50] <= (descriptors[:50] - torch.from_numpy(theirs) @ words).norm(dim=1) + 2e-3).all()
    if not apart:
        assert np.allclose(found.view(61, 5, 8).sum(1)[:58], np.concatenate([theirs, np.eye(8)]), atol=1e-5)
        assert ((found[50:58] != 0).sum(1) == 1).all()  # a word is written as itself, and nothing else


def alike(number, seed):
    """Descriptors as like each other as SIFT: positive, eight numbers in each of 4x4 cells, neighbouring ones near."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 8, 2, 2, generator=generator).pow(4)
    fine = torch.rand(number, 8, 4, 4, generator=generator).pow(4)
    smooth = torch.nn.functional.interpolate(coarse, (4, 4), mode="bilinear", align_corners=True)
    return torch.nn.functional.normalize((smooth + 0.03 * fine).flatten(1), dim=1)


def words_alike():
    """300 words, each with one that is nearly its copy."""
    words = alike(150, 1)
    return torch.nn.functional.normalize(torch.cat([words, words + 0.4 * alike(150, 2)]), dim=1)


@pytest.mark.parametrize("penalty", [0.05, 0.15, 0.3])
def test_the_lasso_is_scikit_learns_for_words_that_are_alike(penalty):
    """The solution at a tight tolerance, in float32; a hundred steps of FISTA end 0.1 to 0.4 from it."""
    descriptors, words = alike(60, 0), words_alike()
    likeness = words @ words.T - torch.eye(300)
    assert likeness.max() > 0.95 and likeness.mean() > 0.4
    machine = Lasso(penalty / 128, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    theirs = np.array([machine.fit(words.double().T.numpy(), one).coef_ for one in descriptors.double().numpy()])
    ours = lasso(torch.cat([descriptors, torch.zeros(2, 128)]), words, penalty)
    assert np.abs(ours[:60].numpy() - theirs).max() < 2e-3
    assert (ours[60:] == 0).all()
    # what holds at the minimum alone (Karush, Kuhn, Tucker): no word is nearer to what is left than the penalty says
    near = (descriptors - ours[:60] @ words) @ words.T
    assert near.abs().max() < penalty * 1.0005
    assert (near - penalty * ours[:60].sign())[ours[:60] != 0].abs().max() < 5e-4 * penalty


def test_a_lasso_does_not_depend_on_what_is_solved_beside_it():
    descriptors, words = alike(40, 0), words_alike()
    together = lasso(descriptors, words, 0.15)
    assert torch.allclose(lasso(descriptors[7:9], words, 0.15), together[7:9], atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_fisher_vectors_are_scikit_images_but_for_the_sign_of_deviations(flip):
    fitted, code, descriptors = mixture()
    code.flip, regions = flip, regions_of(grid(), WHOLE)
    theirs = torch.from_numpy(fisher_vector(descriptors[0].numpy(), fitted, improved=True))[6:]  # less the weights'
    raw = torch.from_numpy(fisher_vector(descriptors[0].numpy(), fitted))[6:]
    sign = torch.ones(60).double()
    if not flip:
        sign[30:] = -1
    ours = code(descriptors, regions)[0]
    theirs = theirs * sign
    assert torch.allclose(ours, theirs / theirs.norm(), atol=1e-9)  # theirs also has the weights in its length
    code.raw = True
    assert torch.allclose(code(descriptors, regions)[0], raw * sign, atol=1e-9)


def test_fisher_vectors_are_gradients_of_the_likelihood():
    _, code, descriptors = mixture()
    means, deviations = code.means.clone().requires_grad_(), code.variances.sqrt().requires_grad_()
    apart = (descriptors[0][:, None] - means) / deviations
    log_parts = code.weights.log() - 0.5 * apart.square().sum(2) - deviations.log().sum(1) - 2.5 * math.log(2 * math.pi)
    log_parts.logsumexp(1).mean().backward()
    code.raw = True
    by_mean, by_deviation = code(descriptors, regions_of(grid(), WHOLE))[0].view(2, 6, 5)
    scale = code.variances.sqrt() / code.weights.sqrt()[:, None]  # one over the root of the Fisher information
    assert torch.allclose(by_mean, means.grad * scale, atol=1e-9)
    assert torch.allclose(by_deviation, deviations.grad * scale / math.sqrt(2), atol=1e-9)


def test_float32_fisher_vectors_are_near_those_in_float64():
    _, code, descriptors = mixture()
    regions = regions_of(grid(), PYRAMID)
    exact = code(descriptors, regions)
    code.float()
    assert (code(descriptors.float(), regions) - exact).abs().max() < 1e-4


def test_the_triangle_by_hand():
    code, descriptors = with_words(KmeansTriangle(7, 5)), unit(1, 30, 5)
    distances = torch.cdist(descriptors[0], code.words)
    expected = (distances.mean(1, keepdim=True) - distances).clamp_min(0).sum(0)
    assert torch.allclose(code(descriptors, regions_of(torch.rand(30, 2), WHOLE))[0], expected, atol=1e-6)


def test_whitened_patches_are_no_longer_alike():
    images, module = torch.rand(8, 3, 20, 20).cumsum(3) / 20, WhitenedPatches(3, 6)
    raw = module.contrasted(images)
    assert raw.shape == (8, 15 * 15, 108)
    patch = images[1, :, 2:8, 3:9].flatten() * 255
    assert torch.allclose(raw[1, 2 * 15 + 3], (patch - patch.mean()) / (patch.var() + 10).sqrt(), atol=1e-4)
    module.centre, module.whitening = whitening_of(raw.flatten(0, 1), epsilon=1e-4)
    covariance = module(images).flatten(0, 1).T.cov()
    assert (covariance - torch.eye(108)).abs().mean() < 0.02 < (raw.flatten(0, 1).T.cov() - torch.eye(108)).abs().mean()
    assert module.whitening.T.allclose(module.whitening, atol=1e-4)


def test_moments_are_numpys_however_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 8) + 100
    for numbers in (1 << 20, 7 * 13, 1):
        monkeypatch.setattr(moments, "BLOCK", numbers)
        centre, covariance = moments.moments_of(vectors)
        np.testing.assert_allclose(centre, vectors.double().numpy().mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(vectors.double().numpy().T), rtol=1e-9, atol=1e-12)


def test_a_quantiser_keeps_the_nearest_word_of_each_piece():
    quantiser = ProductQuantiser(24)
    quantiser.words.copy_(torch.randn(3, 256, 8, generator=torch.Generator().manual_seed(0)))
    codes = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    kept = quantiser.encode(codes)
    assert (kept.shape, kept.dtype) == ((5, 3), torch.uint8)
    nearest = torch.stack([torch.cdist(codes[:, 8 * i : 8 * i + 8], quantiser.words[i]).argmin(1) for i in range(3)], 1)
    assert torch.equal(kept.long(), nearest)
    assert torch.equal(quantiser.encode(quantiser.decode(kept)), kept)


def test_a_quantiser_fills_up_the_last_piece_of_codes_that_are_no_multiple_of_eight():
    whole, short = ProductQuantiser(24), ProductQuantiser(20)
    words = torch.randn(3, 256, 8, generator=torch.Generator().manual_seed(0))
    words[2, :, 4:] = 0
    codes = torch.randn(5, 20, generator=torch.Generator().manual_seed(1))
    for quantiser in (whole, short):
        quantiser.words.copy_(words)
    kept = short.encode(codes)
    assert torch.equal(kept, whole.encode(torch.nn.functional.pad(codes, (0, 4))))
    assert torch.equal(short.decode(kept), whole.decode(kept)[:, :20])
    assert ProductQuantiser.of(words, 20).decode(kept).shape == (5, 20)
