"""The stages that fit what the channels of a hand-made system have learned, on a bounded sample of their descriptors.

The sample is bounded for any number of images: so many descriptors, PER_IMAGE of each image or more where there are few
images, of images and places chosen by the images' ids. K-means and dictionaries are scikit-learn's; what is learned is
copied into buffers.
"""

import logging
import warnings
from typing import NamedTuple

import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.data.draws import id_keys, uniform
from topfive.data.geometry import Geometry
from topfive.data.imageset import Broken, Split, drawn
from topfive.data.loader import central_crops
from topfive.errors import BadData, Misused, look_up
from topfive.features import FisherVector, SparseCode, WhitenedPatches, whitening_of
from topfive.features.moments import moments_of
from topfive.features.quantiser import PIECE, WORDS, ProductQuantiser
from topfive.features.words import Words, nearest
from topfive.models.coded import Channel, CodedSvm
from topfive.models.hog_svm import KernelHog
from topfive.progress import Countdown
from topfive.recipes.stages import TURNS, Fit
from topfive.training.codes import extract_codes
from topfive.training.mixture import Mixture, fit_gaussians

log = logging.getLogger("topfive")

PER_IMAGE = 100  # descriptors of one image in a sample
DESCRIBED = 16  # images at a time: maps of photos take hundreds of megabytes
FLOOR = 0.01  # of a mixture's variances, as a share of that of all descriptors; see features/fisher.py
KMEANS_BATCH = 4096
NOISE = 1e-6  # of a kernel's greatest eigenvalue: below it float32 codes cannot tell a direction from rounding


def fitted_channels(classifier: nn.Module, name: str | None) -> dict[str, Channel]:
    """The channels that a stage fits, one or all. Raises UnknownName for the name, Misused for another classifier."""
    machine = fitted_machine(classifier)
    channels = {key: one for key, one in machine.channels.items() if isinstance(one, Channel)}
    return channels if name is None else {name: look_up(name, channels, kind="channel")}


def fitted_machine(classifier: nn.Module) -> CodedSvm:
    """The classifier as a hand-made system, whose channels can be fitted; Misused for another."""
    if not isinstance(classifier, CodedSvm):
        raise Misused(
            f"recipe: pca, whitening, kmeans, dictionary, gmm and landmarks fit hand-made entries such as "
            f"sift_bow_2009, got {type(classifier).__name__}; use sgd or svm"
        )
    return classifier


def fit_channels(
    classifier: nn.Module, stage: Fit, split: Split, geometry: Geometry, seed: int, workers: int | None = None
) -> list[Broken]:
    """Fit what the stage says in place; the training images that could not be read."""
    if stage.kind == "landmarks":
        if stage.channel is not None:
            raise Misused("recipe: landmarks are whole images; leave out their stage's channel")
        return fit_landmarks(classifier, split, geometry, seed, workers)
    broken: list[Broken] = []
    channels = fitted_channels(classifier, stage.channel)
    channels = {name: one for name, one in channels.items() if fitted_by(one, stage.kind) is not None}
    if not channels:
        where = stage.channel or fitted_machine(classifier).name
        raise Misused(f"recipe: {stage.kind} fits nothing in {where}; leave that stage out")
    raw = stage.kind in TURNS
    for name, channel in channels.items():
        if not raw:
            check_learned(name, channel, TURNS, before=stage.kind)
        sample, bad = sample_descriptors(channel, split, geometry, seed, stage.descriptors, raw, workers)
        broken += bad
        log.info("  %s of %s on %d descriptors of %d numbers", stage.kind, name, *sample.shape)
        with torch.no_grad():
            FITS[stage.kind](channel, sample, stage.iterations, seed)
    return broken


def fit_landmarks(
    classifier: nn.Module, split: Split, geometry: Geometry, seed: int, workers: int | None
) -> list[Broken]:  # fmt: skip
    """Choose training images as landmarks and fit the turn, float64; the images that could not be read.

    The kernel is as sharp as scikit-learn's `gamma="scale"`: one over the numbers of a code times their variance.
    """
    broken: list[Broken] = []
    machine = fitted_machine(classifier)
    channels = [channel for channel in machine.channels.values() if isinstance(channel, KernelHog)]
    if not channels:
        raise Misused(f"recipe: landmarks fits nothing in {machine.name}; leave that stage out")
    for channel in channels:
        compare = channel.compare
        few = drawn(split, len(compare.turn), seed)
        found = extract_codes(classifier, few, geometry, workers, part=channel.describe)
        codes = found.codes.double()
        sharpness = 1 / max(1e-12, codes.shape[1] * float(codes.var()))
        values, vectors = torch.linalg.eigh(torch.exp(-sharpness * torch.cdist(codes, codes).square()))
        vectors, values = vectors[:, values > NOISE * values[-1]], values[values > NOISE * values[-1]]
        with torch.no_grad():
            compare.landmarks.zero_()[: len(codes)] = codes
            compare.turn.zero_()[: len(codes), : len(codes)] = vectors / values.sqrt() @ vectors.T
            compare.sharpness.fill_(sharpness)
        broken += found.broken
    return broken


KINDS = (*TURNS, "kmeans", "dictionary", "gmm")


def fitted_by(channel: Channel, kind: str) -> Tensor | None:
    """What a stage of that kind fits in a channel, all 0 until it has; None where the channel has no such thing."""
    describe, code = channel.describe, channel.code
    if kind == "pca":
        return None if channel.project is None else channel.project.centre
    if kind == "whitening":
        return describe.centre if isinstance(describe, WhitenedPatches) else None
    if kind == "gmm":
        return code.means if isinstance(code, FisherVector) else None
    sparse = isinstance(code, SparseCode)
    return code.words if isinstance(code, Words) and sparse == (kind == "dictionary") else None


def check_learned(name: str, channel: nn.Module, kinds: tuple[str, ...], before: str) -> None:
    """Misused where something of these kinds in a channel is as it was built: its codes would all be alike."""
    learned = {"landmarks": channel.compare.turn} if isinstance(channel, KernelHog) else {}
    if isinstance(channel, Channel):
        learned = {kind: found for kind in kinds if (found := fitted_by(channel, kind)) is not None}
    for kind, found in learned.items():
        if not bool(found.any()):
            raise Misused(f"recipe: {before} needs what {kind} fits in {name}; put a stage of kind {kind} before it")


class Sample(NamedTuple):
    """Descriptors (S, D) of training images, and the images that could not be read."""

    descriptors: Tensor
    broken: list[Broken]


def sample_descriptors(
    channel: Channel, split: Split, geometry: Geometry, seed: int, number: int, raw: bool, workers: int | None = None
) -> Sample:
    """Up to `number` descriptors of training images, but for those of nothing.

    These are 0 before they are projected or whitened: of a flat patch, or of a key-point that there is not. Scans and
    photos of things on white have thousands, which would all be one point, and many words with it.

    raw: as they are described, not projected (and not whitened). Those of an image are the first in an order that is
    drawn by its id, and come again where it has too few. Raises BadData where there is none.
    """
    few = drawn(split, -(-number // PER_IMAGE), seed)
    of_each = -(-number // max(1, len(few)))  # PER_IMAGE where there are images enough
    found: list[Tensor] = []
    broken: list[Broken] = []
    countdown = Countdown("descriptors of a sample", len(few))
    with torch.inference_mode():
        for batch, bad in central_crops(few, geometry, DESCRIBED, workers):
            broken += bad
            if not len(batch.rows):
                continue
            described = _described(channel, batch.images)  # (N, M, D)
            draws = uniform(seed, 1, id_keys([few.ids[row] for row in batch.rows]), described.shape[1])
            held = described.abs().amax(2) > 0
            order = torch.from_numpy(draws).masked_fill_(~held, 1).argsort(dim=1, stable=True)  # draws are below 1
            ranks = torch.arange(min(of_each, described.shape[1])) % held.sum(1, keepdim=True).clamp_min(1)
            rows = order.gather(1, ranks)
            some = described.gather(1, rows[..., None].expand(-1, -1, described.shape[2])).flatten(0, 1)
            some = some[some.abs().amax(1) > 0]  # none of an image that is flat all over
            found.append(some if raw else _projected(channel, some))
            countdown.at(batch.rows[-1] + 1)
    sample = torch.cat(found)[:number] if found else torch.zeros(0, 1)
    if not len(sample):
        raise BadData("training: no descriptor could be computed; give images that are not flat")
    return Sample(sample.clone(), broken)


def _described(channel: Channel, images: Tensor) -> Tensor:
    """Descriptors (N, M, D), patches not yet whitened."""
    describe = channel.describe
    return describe.contrasted(images) if isinstance(describe, WhitenedPatches) else channel.descriptors(images)


def _projected(channel: Channel, described: Tensor) -> Tensor:
    """What the code sees of descriptors (S, D)."""
    if isinstance(channel.describe, WhitenedPatches):
        described = channel.describe.whitened(described)
    return channel.projected(described)


def fit_projection(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
    """The directions along which the descriptors differ most."""
    assert channel.project is not None
    centre, covariance = moments_of(sample)
    _, vectors = torch.linalg.eigh(covariance)
    channel.project.centre.copy_(centre)
    channel.project.basis.copy_(vectors.flip(1)[:, : channel.project.basis.shape[1]])


def fit_whitening(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
    """What makes neighbouring pixels unlike each other."""
    assert isinstance(channel.describe, WhitenedPatches)
    centre, whitening = whitening_of(sample)
    channel.describe.centre.copy_(centre)
    channel.describe.whitening.copy_(whitening)


def fit_words(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
    """Words by k-means; where there are fewer descriptors than words, these are words and the others repeat them."""
    assert isinstance(channel.code, Words)
    channel.code.words.copy_(kmeans(sample, len(channel.code.words), iterations, seed))


def kmeans(sample: Tensor, words: int, iterations: int, seed: int) -> Tensor:
    """Centres (words, D) of descriptors (S, D), by k-means on batches drawn from them (Sculley 2010, WWW 2010).

    Begun with descriptors drawn at random; ends before `iterations` passes where ten batches bring no less distance.
    """
    if len(sample) <= words:
        return sample[torch.arange(words) % len(sample)]
    machine = MiniBatchKMeans(
        words, max_iter=iterations, batch_size=KMEANS_BATCH, n_init=1, init="random", random_state=seed
    )
    return torch.from_numpy(machine.fit(sample.numpy()).cluster_centers_).float()


def fit_dictionary(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
    """Words of length 1 with which few suffice for a descriptor: by k-means of directions, then online learning.

    Online learning, with the penalty of the entry: Mairal, Bach, Ponce, Sapiro 2009, ICML 2009. It is the lasso's
    alone. The words of the threshold and of OMP are those of k-means, since what the encoder is matters more than how
    its words were learned (Coates, Ng 2011).
    """
    assert isinstance(channel.code, SparseCode)
    words = F.normalize(kmeans(F.normalize(sample, dim=1), len(channel.code.words), iterations, seed), dim=1)
    if channel.code.encoder == "lasso" and len(sample) > len(words):
        machine = MiniBatchDictionaryLearning(
            len(words), alpha=channel.code.penalty, max_iter=1, batch_size=512, dict_init=words.double().numpy(),
            random_state=seed, fit_algorithm="cd", transform_max_iter=100,
        )  # fmt: skip
        with warnings.catch_warnings():
            # Codes of descriptors like these take more steps than it has; words are learned from near ones too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            learned = machine.fit(F.normalize(sample, dim=1).double().numpy()).components_
        words = F.normalize(torch.from_numpy(learned).float(), dim=1)
    channel.code.words.copy_(words)


def fit_mixture(channel: Channel, sample: Tensor, iterations: int, seed: int) -> None:
    """A mixture of Gaussians with diagonal covariances, in float64, none narrower than FLOOR, begun with k-means."""
    code = channel.code
    assert isinstance(code, FisherVector)
    components = len(code.weights)
    if len(sample) < 2 * components:
        raise BadData(
            f"training: expected at least {2 * components} descriptors for {components} Gaussians, got {len(sample)}; "
            "give more images, or fewer Gaussians by --set model.components=N"
        )
    exact = sample.double()
    unit = exact.std(0, correction=0)
    unit[unit == 0] = 1
    even = exact / unit  # of variance 1 in each dimension, so that one floor is a hundredth of each dimension's own
    words = kmeans(sample, components, iterations, seed).double()
    near = torch.cat([nearest(some, words)[:, 0] for some in torch.split(exact, KMEANS_BATCH)])
    held = near.bincount(minlength=components)
    spread = torch.ones_like(words)
    for one in (held > 1).nonzero()[:, 0]:
        spread[one] = even[near == one].var(0, correction=0)
    start = Mixture((held + 1) / (held + 1.0).sum(), words / unit, spread.clamp_min(FLOOR))
    found = fit_gaussians(even, start, FLOOR, iterations)
    code.weights.copy_(found.weights)
    code.means.copy_(found.means * unit)
    code.variances.copy_(found.variances * unit**2)


def fit_quantiser(codes: Tensor, iterations: int = 10) -> ProductQuantiser:
    """A quantiser of codes like these (N, L): 256 words for each piece, by k-means of all pieces at once."""
    quantiser = ProductQuantiser(codes.shape[1])
    pieces = quantiser.filled(codes).view(len(codes), -1, PIECE).transpose(0, 1)  # (P, N, 8)
    words = pieces[:, torch.linspace(0, len(codes) - 1, WORDS).long()].clone()
    for first in range(0, len(words), 64):  # a few pieces at a time, since each is compared with all its words
        some, centres = pieces[first : first + 64].contiguous(), words[first : first + 64]
        for _ in range(iterations):
            near = (some @ centres.transpose(1, 2) - centres.square().sum(2)[:, None] / 2).argmax(2)  # (64, N)
            sums = torch.zeros_like(centres).scatter_add_(1, near[..., None].expand(-1, -1, PIECE), some)
            counts = torch.zeros_like(centres[..., 0]).scatter_add_(1, near, torch.ones_like(some[..., 0]))[..., None]
            centres.copy_(torch.where(counts > 0, sums / counts.clamp_min(1), centres))
    quantiser.words.copy_(words)
    return quantiser


FITS = {
    "pca": fit_projection, "whitening": fit_whitening, "kmeans": fit_words, "dictionary": fit_dictionary,
    "gmm": fit_mixture,
}  # fmt: skip
