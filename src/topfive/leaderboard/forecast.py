"""What an entry would cost on this machine, from a few measured steps."""

import copy
import logging
import time
from dataclasses import dataclass

import torch
from torch import nn

from topfive.data.geometry import Geometry
from topfive.data.imageset import ImageSet, Split, subset
from topfive.data.loader import central_crops
from topfive.models import Classifier
from topfive.models.modelfile import best_device
from topfive.models.zoo import build
from topfive.recipes.recipe import Recipe, Sgd, Svm
from topfive.training.codes import centres_of, extract_codes
from topfive.training.run import try_out
from topfive.training.statistics import IMAGES, set_values
from topfive.training.svm import objective
from topfive.training.tailoring import geometry_of
from topfive.training.tuning import PROBE, Choice, time_steps

log = logging.getLogger("topfive")

FEW = 64  # images that answering and coding are timed on


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
    stage = recipe.stage[0]
    if isinstance(stage, Svm):
        return Forecast(statistics + svm_seconds(classifier, stage, recipe, data), answering, recipe)
    log.info("%s:", name)
    found = try_out(name, data, with_precision(recipe, compile="no"))
    # Whether to compile is settled when the entry's share is known.
    measured = with_precision(recipe, layout=found.choice.layout, autocast=found.choice.autocast)
    return Forecast(statistics + found.seconds, answering, measured)


def with_precision(recipe: Recipe, **changes: str) -> Recipe:
    """The recipe with keys of its first stage's `precision` changed."""
    first, *others = recipe.stage
    assert isinstance(first, Sgd)
    precision = first.precision.model_copy(update=changes)
    return recipe.model_copy(update={"stage": (first.model_copy(update={"precision": precision}), *others)})


def glance(name: str, data: ImageSet, recipe: Recipe) -> float:
    """A first estimate of the seconds a recipe needs, from two steps of a few images; 0 for an SVM, which is cheap."""
    stage = recipe.stage[0]
    if isinstance(stage, Svm):
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
    few = _few(split)
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
    few = _few(data.split("train"))
    started = time.perf_counter()
    set_values(copy.deepcopy(classifier), recipe, few, geometry_of(recipe), None)
    return (time.perf_counter() - started) / len(few) * min(IMAGES, len(data.split("train")))


def _few(split: Split) -> Split:
    """FEW images from all over a split."""
    return subset(split, list(range(0, len(split), max(1, len(split) // FEW)))[:FEW])


def svm_seconds(classifier: nn.Module, stage: Svm, recipe: Recipe, data: ImageSet) -> float:
    """Forecast of an `svm` stage: codes once (twice with mirror images), then two fits."""
    split = data.split("train")
    few = _few(split)
    started = time.perf_counter()
    found = extract_codes(classifier, few, geometry_of(recipe))
    coding = (time.perf_counter() - started) / len(few)
    weights = torch.zeros(found.codes.shape[1] + 1, len(data.classes))
    codes, labels = found.codes.repeat(8, 1), found.labels.repeat(8)
    started = time.perf_counter()
    objective(weights, codes, labels, stage.c)
    fitting = (time.perf_counter() - started) / len(codes) * 1.25 * stage.iterations * 2
    images = min(len(split), stage.images or len(split)) * (2 if stage.mirror else 1)
    return images * (coding + fitting)
