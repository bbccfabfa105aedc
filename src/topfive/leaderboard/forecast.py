"""What an entry would cost on this machine, from a few measured steps."""

import copy
import logging
import time
from dataclasses import dataclass

import torch
from torch import nn

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, evenly
from topfive.data.loader import central_crops
from topfive.models import Classifier
from topfive.models.coded import CodedSvm
from topfive.models.hog_svm import KernelHog
from topfive.models.modelfile import best_device
from topfive.models.zoo import build
from topfive.recipes.recipe import Recipe
from topfive.recipes.stages import Fit, Sgd, Svm
from topfive.training.codebook import (
    FITS,
    KMEANS_BATCH,
    PER_IMAGE,
    fitted_by,
    fitted_channels,
    kmeans,
    sample_descriptors,
)
from topfive.training.codes import centres_of, extract_codes
from topfive.training.hinge import objective
from topfive.training.linear_svm import by_sgd
from topfive.training.run import try_out
from topfive.training.statistics import IMAGES, set_values
from topfive.training.svm import LOOKS, is_packed, is_spanned, span_multiplications
from topfive.training.tailoring import geometry_of
from topfive.training.tuning import PROBE, Choice, time_steps

log = logging.getLogger("topfive")

FEW = 64  # images that answering and coding are timed on
TRIED = 2 * KMEANS_BATCH  # descriptors that a fit is timed on
ROUNDS = 2  # of it
TIMED = 32_000_000  # numbers of codes that an SVM's step is timed on, 128 MB
KMEANS_STEPS = 200  # until k-means brings no more, about: 117 to 285 for systems on digits
A_STEP = 6.0  # of them in a step of Newton's method


@dataclass(frozen=True)
class Forecast:
    """need: seconds to train by the whole recipe. answering: seconds for the judged images, after training.

    recipe: with the layout and arithmetic that were found fastest.
    """

    need: float
    answering: float
    recipe: Recipe


def forecast(name: str, data: ImageSet, recipe: Recipe) -> Forecast:
    """What the whole recipe needs on this machine."""
    classifier = build(name, len(data.classes), **recipe.model).eval()
    answering = answering_seconds(classifier, geometry_of(recipe), data)
    if centres_of(classifier) is not None:  # the codes of all training images, too, are computed after training
        answering *= 1 + len(data.split("train")) / len(data.split(data.judged))
    statistics = statistics_seconds(classifier, recipe, data)
    stage = recipe.stage[recipe.main]
    if isinstance(stage, Svm):
        fitting = fit_seconds(classifier, recipe, data)
        return Forecast(statistics + fitting + svm_seconds(classifier, stage, recipe, data), answering, recipe)
    log.info("%s:", name)
    found = try_out(name, data, with_precision(recipe, compile="no"))
    # Whether to compile is settled when the entry's share is known.
    measured = with_precision(recipe, layout=found.choice.layout, autocast=found.choice.autocast)
    return Forecast(statistics + found.seconds, answering, measured)


def with_precision(recipe: Recipe, **changes: str) -> Recipe:
    """The recipe with keys of its main stage's `precision` changed."""
    stage = recipe.stage[recipe.main]
    assert isinstance(stage, Sgd)
    precision = stage.precision.model_copy(update=changes)
    return recipe.with_main(stage.model_copy(update={"precision": precision}))


def glance(name: str, data: ImageSet, recipe: Recipe) -> float:
    """A first estimate of the seconds a recipe needs, from two steps of a few images; 0 for an SVM, which is cheap."""
    stage = recipe.stage[recipe.main]
    if not isinstance(stage, Sgd):
        return 0.0
    crop, device = geometry_of(recipe).crop, best_device()
    images, labels = (
        torch.rand(PROBE, 3, crop, crop, device=device),
        torch.zeros(PROBE, dtype=torch.long, device=device),
    )
    classifier = build(name, len(data.classes), **recipe.model).train().to(device)
    seconds = time_steps(classifier, Choice("channels_last"), images, labels, least_seconds=0) / PROBE
    batch_size = min(stage.batch_size, len(data.split("train")))
    return seconds * batch_size * stage.steps(len(data.split("train")) // batch_size)


def answering_seconds(classifier: nn.Module, geometry: Geometry, data: ImageSet) -> float:
    """Forecast of one pass over the judged images, decoding included."""
    split, device = data.split(data.judged), best_device()
    few = evenly(split, FEW)
    classifier.to(device)
    with torch.inference_mode():
        classifier(torch.zeros(1, 3, geometry.crop, geometry.crop, device=device))
        started = time.perf_counter()
        for batch, _ in central_crops(few, geometry, device=device):
            classifier(batch.images).cpu()  # which waits for it
    classifier.cpu()
    return (time.perf_counter() - started) / len(few) * len(split)


def statistics_seconds(classifier: Classifier, recipe: Recipe, data: ImageSet) -> float:
    """Forecast of what is computed on the training images before training."""
    few = evenly(data.split("train"), FEW)
    started = time.perf_counter()
    set_values(copy.deepcopy(classifier), recipe, few, geometry_of(recipe), None)
    return (time.perf_counter() - started) / len(few) * min(IMAGES, len(data.split("train")))


def fit_seconds(classifier: nn.Module, recipe: Recipe, data: ImageSet) -> float:
    """Forecast of the stages that fit channels: descriptors of their samples, and two rounds of each fit of a few."""
    train, geometry = data.split("train"), geometry_of(recipe)
    few, seconds = evenly(train, FEW), 0.0
    stages = [stage for stage in recipe.stage if isinstance(stage, Fit)]
    if not stages or not isinstance(classifier, CodedSvm):
        return 0.0
    for channel in classifier.channels.values():
        if isinstance(channel, KernelHog):  # codes of a few images, whose kernel is taken apart
            marks = min(len(train), len(channel.compare.turn))
            started = time.perf_counter()
            extract_codes(classifier, few, geometry, part=channel.describe)
            seconds += marks * (time.perf_counter() - started) / len(few) + 10 * marks**3 / multiplications_a_second()
    kmeans(torch.rand(16, 2), 4, 1, 0)  # whose first call takes longer
    for stage in stages:
        for channel in fitted_channels(copy.deepcopy(classifier), stage.channel).values():
            if fitted_by(channel, stage.kind) is None:
                continue
            started = time.perf_counter()
            raw, _ = sample_descriptors(channel, few, geometry, 0, stage.descriptors, raw=True)
            described = (time.perf_counter() - started) / len(few)
            images = min(len(train), -(-stage.descriptors // PER_IMAGE))
            learned = min(stage.descriptors, images * len(raw) // len(few))  # more of each image where these are few
            # Nothing is learned yet to project by: as many numbers of what is not projected take as long.
            fitted = raw if stage.kind in ("pca", "whitening") else raw[:, : channel.projected(raw[None, :1]).shape[2]]
            fitted = fitted.repeat(-(-TRIED // len(raw)), 1)[:: max(1, len(raw) // TRIED)][:TRIED]
            started = time.perf_counter()
            with torch.no_grad():
                FITS[stage.kind](channel, fitted, ROUNDS, 0)
            a_round = (time.perf_counter() - started) / ROUNDS
            seconds += images * described + rounds_of(stage, learned) * a_round * learned / TRIED
    return seconds


def rounds_of(stage: Fit, descriptors: int) -> float:
    """How often a fit goes through its descriptors."""
    if stage.kind in ("kmeans", "dictionary"):
        return min(stage.iterations, KMEANS_STEPS * KMEANS_BATCH / descriptors)
    return stage.iterations if stage.kind == "gmm" else ROUNDS


def multiplications_a_second() -> float:
    """Of a matrix product."""
    left = torch.rand(2048, 512)
    started = time.perf_counter()
    left @ left.T
    return 2048 * 512 * 2048 / (time.perf_counter() - started)


def svm_seconds(classifier: nn.Module, stage: Svm, recipe: Recipe, data: ImageSet) -> float:
    """Forecast of an `svm` stage: codes once (twice with mirror images), then a fit for each c at most, and one."""
    split = data.split("train")
    images = min(len(split), stage.images or len(split))
    few = evenly(split, FEW)
    started = time.perf_counter()
    found = extract_codes(classifier, few, geometry_of(recipe))
    coding = (time.perf_counter() - started) / len(few)
    weights = torch.zeros(len(data.classes), found.codes.shape[1] + 1)
    times = max(1, min(8, TIMED // found.codes.numel()))
    codes, labels = found.codes.repeat(times, 1), found.labels.repeat(times)
    started = time.perf_counter()
    objective(weights, codes, labels, stage.costs[0])
    a_number = (time.perf_counter() - started) / codes.numel()
    lengths = [found.codes.shape[1]]
    if stage.late_fusion and len(channels := fitted_channels(classifier, None)) > 1:
        lengths = [channel.length for channel in channels.values()]
    solving = sum(_solving(stage, images, length, len(data.classes), a_number) for length in lengths)
    return images * stage.views * coding + solving


def _solving(stage: Svm, images: int, length: int, classes: int, a_number: float) -> float:
    """Seconds of all fits on the codes of so many images. a_number: seconds of a look at one number of a code."""
    fits, looks, codes = stage.fits_of(images), min(LOOKS, A_STEP * stage.iterations), images * stage.views
    packed = is_packed(codes, length, stage)
    if not packed and is_spanned(codes, length, fits):
        span = span_multiplications(codes, length)
        return (span + 2 * fits * looks * codes**2 * classes) / multiplications_a_second()
    looks = float(stage.passes) if by_sgd(stage, packed) else looks
    return fits * looks * codes * length * a_number
