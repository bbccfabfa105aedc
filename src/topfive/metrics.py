"""The Challenge's figures as pure functions on tensors: scores (N, classes) and labels (N,) in, numbers out."""

import numpy as np
import torch
from torch import Tensor

from topfive.errors import BadShape

ROWS = 256  # images that are ranked together


def check_pair(where: str, scores: Tensor, labels: Tensor) -> None:
    """Raise BadShape unless scores are (N, classes) and labels (N,) indices into them, N > 0."""
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise BadShape(
            f"{where}: expected scores (N, classes) and labels (N,) with N > 0, "
            f"got {tuple(scores.shape)} and {tuple(labels.shape)}; give one label an image"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
        raise BadShape(
            f"{where}: labels must be in [0, {scores.shape[1]}), got {int(labels.min())} to {int(labels.max())}"
        )


def label_ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """How many classes the label fails to beat, (N,) int64: 0 is a right answer, 4 or less is a right top-5 answer.

    Ties and NaN count against the label, so a constant classifier earns nothing.
    """
    check_pair("label_ranks", scores, labels)
    if scores.dtype == torch.bfloat16:  # which NumPy has not
        scores = scores.float()
    # NumPy counts bits ten times as fast as a sum of booleans; a few rows at a time stay in cache.
    own, every = (one.cpu().numpy() for one in (scores.gather(1, labels[:, None]), scores))
    starts = range(0, len(every), ROWS)
    beaten = [np.count_nonzero(own[at : at + ROWS] > every[at : at + ROWS], axis=1) for at in starts]
    return scores.shape[1] - 1 - torch.from_numpy(np.concatenate(beaten))


def any_label_ranks(scores: Tensor, truths: Tensor) -> Tensor:
    """How many wrong classes the best true one fails to beat, (N,) int64, where several labels are true.

    truths: (N, classes) bool. Ties and NaN count against the labels. An image without a true label has no answer; leave
    it out first, as ReaL does. Source: Beyer et al. 2020, arXiv:2006.07159, sec. 3. Raises BadShape.

    >>> truths = torch.tensor([[True, True, False]])
    >>> any_label_ranks(torch.tensor([[0.1, 0.7, 0.2]]), truths).tolist()
    [0]
    """
    if scores.ndim != 2 or truths.shape != scores.shape or not len(scores):
        raise BadShape(
            f"any_label_ranks: expected scores and truths (N, classes) with N > 0, got {tuple(scores.shape)} and "
            f"{tuple(truths.shape)}"
        )
    if not bool(truths.any(1).all()):
        row = int((~truths.any(1)).nonzero()[0])
        raise BadShape(f"any_label_ranks: image {row} has no true label; leave such images out and say how many")
    best = scores.masked_fill(~truths, float("-inf")).amax(1, keepdim=True)  # NaN where a true label has none
    return (~(best > scores) & ~truths).sum(1)


def top_k_error(scores: Tensor, labels: Tensor, k: int = 5) -> float:
    """Fraction of images whose label is not among the k best scores, in [0, 1].

    scores: (N, classes), any monotone ranking. labels: (N,) indices in [0, classes).
    Ties and NaN count against the label, so a constant classifier earns nothing for k < classes.
    Raises BadShape if N differs or is 0. Source: Russakovsky et al. 2015, arXiv:1409.0575, sec. 4.1.

    >>> top_k_error(torch.tensor([[0.1, 0.9], [0.5, 0.5]]), torch.tensor([1, 0]), k=1)
    0.5
    """
    return (label_ranks(scores, labels) >= k).double().mean().item()


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts (classes, classes) int64: row the truth, column the best-scored class; rows sum to the images of a class.

    A label that ties with the best was not answered, as everywhere: the other class was. An image with a NaN among its
    scores (one that could not be decoded) answers nothing and is in no column.
    """
    check_pair("confusion", scores, labels)
    answered = ~scores.isnan().any(1)
    classes, labels, scores = scores.shape[1], labels[answered], scores[answered]
    if not len(labels):
        return torch.zeros(classes, classes, dtype=torch.int64)
    others = scores.clamp_min(torch.finfo(scores.dtype).min).scatter(1, labels[:, None], float("-inf"))
    cells = labels * classes + torch.where(label_ranks(scores, labels) == 0, labels, others.argmax(1))
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def per_class_error(ranks: Tensor, labels: Tensor, classes: int, k: int = 1) -> Tensor:
    """Top-k error of each class, (classes,) float64, NaN for a class without images."""
    images = torch.bincount(labels, minlength=classes).double()
    misses = torch.bincount(labels[ranks >= k], minlength=classes).double()
    return misses / images
