"""What is computed on the training images before training: means, deviations and principal colours."""

import torch
from torch import Tensor

from topfive.data.geometry import Geometry
from topfive.data.imageset import Split, drawn
from topfive.data.loader import central_crops
from topfive.errors import BadData, Misused
from topfive.models import Classifier
from topfive.models.coded import CodedSvm
from topfive.recipes.recipe import Recipe

UNREADABLE = "training: no image of the training split could be decoded; put good copies in their place"
IMAGES = 10_000  # that means and deviations are computed on, at most


def set_values(classifier: Classifier, recipe: Recipe, split: Split, geometry: Geometry, workers: int | None) -> None:
    """Compute what the recipe says on up to IMAGES training images and put it into `classifier.normalize`.

    Raises Misused for a hand-made system and values of another kind than [0, 1], which descriptors are made for.
    """
    values, normalize = recipe.values, classifier.normalize
    if isinstance(classifier, CodedSvm) and (values.subtract, values.unit) != ("none", "one"):
        raise Misused(
            f'recipe: values: {classifier.name} describes pixels in [0, 1], so expected subtract = "none" and unit = '
            f'"one", got "{values.subtract}" and "{values.unit}"; set them so'
        )
    channels = normalize.channels
    mean, std = torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1)
    if values.subtract != "none" or values.unit == "std":
        sums, squares, seen = torch.zeros(1).double(), torch.zeros(1).double(), 0
        for batch, _ in central_crops(drawn(split, IMAGES, recipe.seed), geometry, workers=workers):
            images = normalize(batch.images).double()  # still the identity, but for a luma step
            sums, squares, seen = sums + images.sum(0), squares + images.square().sum(0), seen + len(images)
        if not seen:
            raise BadData(UNREADABLE)
        image_mean, square_mean = sums / seen, squares / seen
        channel_mean = image_mean.mean((1, 2), keepdim=True)
        deviation = (square_mean.mean((1, 2), keepdim=True) - channel_mean.square()).clamp_min(0).sqrt()
        mean = {"none": mean, "channel": channel_mean, "image": image_mean}[values.subtract]
        std = {"std": deviation.clamp_min(1e-3), "one": std, "byte": std / 255}[values.unit]
    elif values.unit == "byte":
        std = std / 255
    normalize.set_values(mean.float(), std.float())


def colour_basis(split: Split, geometry: Geometry, seed: int, workers: int | None) -> Tensor:
    """Eigenvectors of the RGB covariance of training pixels in columns, each times its eigenvalue, (3, 3).

    Krizhevsky et al. 2012, sec. 4.1; on up to 1,000 images, pixels in [0, 1].
    """
    sums, products, seen = torch.zeros(3).double(), torch.zeros(3, 3).double(), 0
    for batch, _ in central_crops(drawn(split, 1000, seed), geometry, batch_size=32, workers=workers):
        pixels = batch.images.permute(1, 0, 2, 3).flatten(1).double()  # (3, pixels)
        sums, products, seen = sums + pixels.sum(1), products + pixels @ pixels.T, seen + pixels.shape[1]
    if not seen:
        raise BadData(UNREADABLE)
    values, vectors = torch.linalg.eigh((products - sums[:, None] * sums / seen) / (seen - 1))
    basis: Tensor = (vectors * values).float()
    return basis
