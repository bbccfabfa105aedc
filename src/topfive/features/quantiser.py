"""Product quantisation of codes: Jégou, Douze, Schmid 2011, IEEE TPAMI 33(1); as the 2011 winner kept a million.

A code is cut into pieces of eight numbers, and of each piece only the nearest of 256 words is kept: one byte for 32,
one bit a number. The words of each piece are fitted on codes of training images.
"""

from typing import Self

import torch
from torch import Tensor, nn

from topfive.errors import Misused
from topfive.features.door import check_counts, check_width

PIECE = 8  # numbers
WORDS = 256
AT_ONCE = 4_000_000  # numbers that are compared at a time


class ProductQuantiser(nn.Module):
    """Codes (N, L), L a multiple of 8, to bytes (N, L / 8) and back. words: (L / 8, 256, 8), fitted before use."""

    words: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        check_counts("ProductQuantiser", length=length)
        if length % PIECE:
            raise Misused(f"ProductQuantiser: length: expected a multiple of {PIECE}, got {length}; pad the codes")
        self.register_buffer("words", torch.zeros(length // PIECE, WORDS, PIECE))

    @classmethod
    def of(cls, words: Tensor) -> Self:
        """With words (L / 8, 256, 8) that were fitted before."""
        quantiser = cls(len(words) * PIECE)
        quantiser.words.copy_(words)
        return quantiser

    def encode(self, codes: Tensor) -> Tensor:
        """The nearest word of each piece: (N, L) -> (N, L / 8), uint8."""
        check_width("ProductQuantiser.encode", codes, len(self.words) * PIECE, "codes")
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
        """The words: (N, L / 8), uint8 -> (N, L)."""
        check_width("ProductQuantiser.decode", kept, len(self.words), "bytes")
        rows = kept.long() + WORDS * torch.arange(len(self.words), device=kept.device)  # of all words below each other
        words = self.words.view(-1, PIECE).index_select(0, rows.flatten())  # three times as fast as by two indices
        return words.view(len(kept), len(self.words) * PIECE)
