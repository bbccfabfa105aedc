"""Product quantisation of codes: Jégou, Douze, Schmid 2011, IEEE TPAMI 33(1); as the 2011 winner kept a million.

A code is cut into pieces of eight numbers, and of each piece only the nearest of 256 words is kept: one byte for 32,
one bit a number. The words of each piece are fitted on codes of training images.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from topfive.features.door import check_counts, check_width

PIECE = 8  # numbers
WORDS = 256
AT_ONCE = 4_000_000  # numbers that are compared at a time


class ProductQuantiser(nn.Module):
    """Codes (N, L) to bytes (N, P) and back, P = L / 8 rounded up. words: (P, 256, 8), fitted before use.

    Where L is no multiple of 8 the last piece is filled up with zeros.
    """

    words: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        check_counts("ProductQuantiser", length=length)
        self.length = length
        self.register_buffer("words", torch.zeros(-(-length // PIECE), WORDS, PIECE))

    @classmethod
    def of(cls, words: Tensor, length: int) -> Self:
        """With words (P, 256, 8) that were fitted before."""
        quantiser = cls(length)
        quantiser.words.copy_(words)
        return quantiser

    def filled(self, codes: Tensor) -> Tensor:
        """Of whole pieces: (N, L) -> (N, 8 P)."""
        return F.pad(codes, (0, len(self.words) * PIECE - self.length))

    def encode(self, codes: Tensor) -> Tensor:
        """The nearest word of each piece: (N, L) -> (N, P), uint8."""
        check_width("ProductQuantiser.encode", codes, self.length, "codes")
        codes = self.filled(codes)
        kept = torch.empty(len(codes), len(self.words), dtype=torch.uint8, device=codes.device)
        few = max(1, AT_ONCE // (max(1, len(codes)) * WORDS))
        for first in range(0, len(self.words), few):
            words = self.words[first : first + few]  # (P, 256, 8)
            pieces = codes[:, first * PIECE : (first + few) * PIECE].reshape(len(codes), -1, PIECE).transpose(0, 1)
            lengths = words.square().sum(2)[:, None]
            closeness = torch.baddbmm(lengths, pieces, words.transpose(1, 2), beta=-0.5)  # (P, N, 256)
            kept[:, first : first + few] = closeness.argmax(2).T
        return kept

    def decode(self, kept: Tensor) -> Tensor:
        """The words: (N, P), uint8 -> (N, L)."""
        check_width("ProductQuantiser.decode", kept, len(self.words), "bytes")
        rows = kept.long() + WORDS * torch.arange(len(self.words), device=kept.device)  # of all words below each other
        words = self.words.view(-1, PIECE).index_select(0, rows.flatten())  # three times as fast as by two indices
        return words.view(len(kept), len(self.words) * PIECE)[:, : self.length]
