"""What training makes smaller: cross entropy of scores, with auxiliary classifiers' beside it, or triplets of codes."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.layers import Embeddings, WithAuxiliary
from topfive.metrics import label_ranks

MARGIN = 0.2  # alpha of FaceNet, sec. 3.1

Output = Tensor | WithAuxiliary | Embeddings


class Loss(NamedTuple):
    """Of one batch. total: to be made smaller. own: that of the last layer. auxiliary: the others'.

    wrong: answers; codes give none. strangers: of codes, see `strangers`.
    """

    total: Tensor
    own: Tensor
    auxiliary: Tensor | None = None
    wrong: int | None = None
    strangers: int | None = None


def loss_of(output: Output, labels: Tensor, label_smoothing: float = 0.0) -> Loss:
    """The loss of what a classifier gave in training for images with these labels, (N,) int64."""
    if isinstance(output, Embeddings):
        own = triplet_loss(output.codes.float(), labels)
        return Loss(own, own, strangers=strangers(output.codes.detach().float(), labels))
    if isinstance(output, WithAuxiliary):
        own = F.cross_entropy(output.scores.float(), labels, label_smoothing=label_smoothing)
        others = [F.cross_entropy(one.float(), labels, label_smoothing=label_smoothing) for one in output.auxiliary]
        auxiliary = torch.stack(others).sum()
        return Loss(own + output.weight * auxiliary, own, auxiliary.detach(), _wrong(output.scores, labels))
    own = F.cross_entropy(output.float(), labels, label_smoothing=label_smoothing)
    return Loss(own, own, wrong=_wrong(output, labels))


def triplet_loss(codes: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """The mean over all pairs of one class of [d(anchor, positive) - d(anchor, negative) + margin]+.

    codes: (N, D). d is the squared distance. The negative is the nearest one that lies farther away than the positive,
    or where there is none the farthest (sec. 3.2: semi-hard negatives; the hardest ones collapse early in training).
    0 for a batch without two images of one class or without two classes.
    """
    apart = (2 - 2 * codes @ codes.T).clamp_min(0)  # (N, N), of codes of unit length
    same = labels[:, None] == labels
    anchors, positives = (same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)).nonzero(as_tuple=True)
    anchors, positives = anchors[~same[anchors].all(1)], positives[~same[anchors].all(1)]
    if not len(anchors):
        return codes.sum() * 0
    near, far = apart[anchors, positives], apart[anchors]  # (P,), (P, N)
    other = ~same[anchors]  # (P, N)
    farther = far.masked_fill(~other | (far <= near[:, None]), float("inf")).amin(1)
    farthest = far.masked_fill(~other, float("-inf")).amax(1)
    negatives = torch.where(farther.isfinite(), farther, farthest)  # -> (P,)
    return (near - negatives + margin).clamp_min(0).mean()


def strangers(codes: Tensor, labels: Tensor) -> int:
    """How many codes of a batch have one of another class as their nearest neighbour."""
    apart = torch.cdist(codes, codes).fill_diagonal_(float("inf"))
    return int((labels[apart.argmin(1)] != labels).sum())


def _wrong(scores: Tensor, labels: Tensor) -> int:
    return int((label_ranks(scores.detach(), labels) > 0).sum())
