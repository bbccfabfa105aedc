"""What a network with auxiliary classifiers gives in training: Szegedy et al. 2014, arXiv:1409.4842, sec. 5."""

from typing import NamedTuple

from torch import Tensor


class WithAuxiliary(NamedTuple):
    """The scores (N, classes), those of the auxiliary classifiers, and the weight of their losses in the sum."""

    scores: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float
