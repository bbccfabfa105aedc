"""Dense evaluation: a network slides over whole images, and its scores at all positions are averaged.

Sermanet et al. 2013, arXiv:1312.6229; Simonyan, Zisserman 2014, arXiv:1409.1556, sec. 3.2: fully connected layers are
applied as convolutions, the class scores are averaged over positions before the softmax, and the probabilities of an
image, of its mirror image and of its several sides are averaged after it.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from topfive.data.crops import made_of_each
from topfive.data.dense import Dense
from topfive.data.geometry import Pixels, to_images
from topfive.data.imageset import Broken, Split
from topfive.data.loader import at_once
from topfive.errors import Misused
from topfive.models.modelfile import Model

DECODED = 8  # images at least that are decoded side by side


def check_dense(model: Model) -> None:
    """Misused for a model that cannot slide over whole images."""
    if not model.classifier.slides:
        raise Misused(
            f"--crops: {model.entry} has no dense form, it scores a crop of {model.geometry.crop} px as a whole; "
            "give 1, 5, 10 or 144"
        )


def dense_answers(
    model: Model, images: Split, dense: Dense, batch_size: int, device: torch.device, workers: int | None
) -> Iterator[tuple[list[int], Tensor, list[Broken], int]]:
    """Rows, their scores (N, views, classes), the images that could not be decoded, and pixels seen, part by part.

    Views: side by side, each with its mirror image after it. Images of a part that are of one shape go together.
    """
    make = partial(dense.whole, geometry=model.geometry, step=model.classifier.multiple_of)
    largest = max(dense.short_sides(model.geometry.crop))
    for rows, wholes, bad in made_of_each(images, make, max(DECODED, at_once(batch_size, largest, largest)), workers):
        found = torch.empty(len(rows), dense.views, len(model.classes))
        for place in range(len(dense.sides)):
            for rows_alike, alike in _by_shape([whole[place] for whole in wholes], batch_size):
                seen = to_images(alike, device)
                found[rows_alike, 2 * place] = model.dense_scores(seen).cpu()
                found[rows_alike, 2 * place + 1] = model.dense_scores(seen.flip(3)).cpu()
        pixels = sum(whole.shape[0] * whole.shape[1] for wholes_of_one in wholes for whole in wholes_of_one)
        yield rows, found, bad, 2 * pixels


def _by_shape(images: list[Pixels], batch_size: int) -> Iterator[tuple[list[int], Pixels]]:
    """Batches of images of one shape, with their places in the list."""
    places = defaultdict[tuple[int, ...], list[int]](list)
    for place, image in enumerate(images):
        places[image.shape].append(place)
    for (height, width, _), alike in places.items():
        size = at_once(batch_size, height, width)
        for start in range(0, len(alike), size):
            part = alike[start : start + size]
            yield part, np.stack([images[place] for place in part])
