"""Codes of visual words: the words nearest to each descriptor, and what is kept of them.

Bag of words: Csurka, Dance, Fan, Willamowski, Bray 2004, ECCV workshop. VLAD: Jégou, Douze, Schmid, Pérez 2010, CVPR
2010. Super-vectors: Zhou, Yu, Zhang, Huang 2010, ECCV 2010.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from topfive.features.door import check_counts, check_name, check_weights
from topfive.features.kernel_map import Kernel, kernel_map, width
from topfive.features.pyramid import Code


def nearest(descriptors: Tensor, words: Tensor, number: int = 1) -> Tensor:
    """The places of the nearest words, nearest first: (..., D), (K, D) -> (..., number)."""
    closeness = descriptors @ words.T - words.square().sum(1) / 2  # greater where the distance is less
    return closeness.argmax(-1, keepdim=True) if number == 1 else closeness.topk(number, -1).indices


class Words(Code):
    """A code with a codebook. words: (K, D), fitted by k-means before it is used."""

    words: Tensor

    def __init__(self, number: int, dimensions: int) -> None:
        super().__init__()
        check_counts(type(self).__name__, number=number, dimensions=dimensions)
        self.dimensions = dimensions
        self.register_buffer("words", torch.zeros(number, dimensions))

    def extra_repr(self) -> str:
        """The sizes, for print(network)."""
        return "words={}, dimensions={}".format(*self.words.shape)


class BagOfWords(Words):
    """The share of a region's descriptors that is nearest to each word: K numbers, or as many as the kernel's map has.

    kernel: by which a linear SVM is to compare the shares; see `kernel_map`.
    """

    def __init__(self, number: int, dimensions: int, kernel: Kernel = "linear") -> None:
        super().__init__(number, dimensions)
        check_name("BagOfWords", kernel, "kernel", Kernel)
        self.length, self.kernel = number * width(kernel), kernel

    def statistics(self, descriptors: Tensor) -> Tensor:
        """How many are nearest to each word: (N, M, D) -> (N, K)."""
        return assigned(descriptors, self.words).sum(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """Shares, mapped: (N, R, K) -> (N, R, K * width)."""
        return kernel_map(statistics / counts.clamp_min(1)[:, None], self.kernel)


def assigned(descriptors: Tensor, words: Tensor) -> Tensor:
    """1 at each descriptor's nearest word: (N, M, D) -> (N, M, K)."""
    places = nearest(descriptors, words)  # (N, M, 1)
    return descriptors.new_zeros(*descriptors.shape[:2], len(words)).scatter_(2, places, 1.0)


class Vlad(Words):
    """The sum of the differences between each word and the descriptors nearest to it, K x D numbers.

    Signed square root, then length 1 (Jégou et al. 2012, IEEE TPAMI 34(9), sec. 3.1).
    """

    def __init__(self, number: int, dimensions: int) -> None:
        super().__init__(number, dimensions)
        self.length = number * dimensions

    def statistics(self, descriptors: Tensor) -> Tensor:
        """Sums of differences: (N, M, D) -> (N, K * D)."""
        near = assigned(descriptors, self.words)
        sums = near.transpose(1, 2) @ descriptors - near.sum(1)[..., None] * self.words  # (N, K, D)
        return sums.flatten(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K * D) -> (N, R, K * D) of length 1, or 0 where nothing differs."""
        return F.normalize(signed_root(statistics), dim=-1)


class SuperVector(Words):
    """For each word how often it is the nearest, and the mean difference: K x (D + 1) numbers.

    s: the weight of the counts beside the differences. With p the share of the region's descriptors that is nearest to
    a word, its block is [s sqrt(p), (mean - word) sqrt(p)] (sec. 3.2: the sums divided by sqrt(p)).
    """

    def __init__(self, number: int, dimensions: int, s: float = 0.1) -> None:
        super().__init__(number, dimensions)
        check_weights("SuperVector", s=s)
        self.length, self.s = number * (dimensions + 1), s

    def statistics(self, descriptors: Tensor) -> Tensor:
        """Counts and sums of differences: (N, M, D) -> (N, K * (1 + D))."""
        near = assigned(descriptors, self.words)
        counts = near.sum(1)[..., None]  # (N, K, 1)
        sums = near.transpose(1, 2) @ descriptors - counts * self.words  # (N, K, D)
        return torch.cat([counts, sums], 2).flatten(1)

    def finish(self, statistics: Tensor, counts: Tensor) -> Tensor:
        """(N, R, K * (1 + D)) -> (N, R, K * (1 + D)) of length 1."""
        blocks = statistics.view(*statistics.shape[:2], len(self.words), -1)  # (N, R, K, 1 + D)
        share = blocks[..., :1] / counts.clamp_min(1)[:, None, None]
        mean = blocks[..., 1:] / blocks[..., :1].clamp_min(1)
        return F.normalize((torch.cat([torch.full_like(share, self.s), mean], -1) * share.sqrt()).flatten(2), dim=-1)


def signed_root(values: Tensor) -> Tensor:
    """The root of the size, with the sign."""
    return values.sign() * values.abs().sqrt()
