"""Explicit feature maps of additive kernels: Vedaldi, Zisserman 2012, IEEE TPAMI 34(3), sec. 4, eqs. 7 and 20.

Histograms are better compared by how much they overlap than by their dot product. Each number of a histogram becomes a
few, so that dot products of the new vectors are near the kernel of the old: a linear SVM on these is a kernel machine.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from topfive.features.door import check_name

Kernel = Literal["linear", "hellinger", "chi2", "intersection"]
# Frequencies beside 0 at which a kernel's spectrum is taken, and the step between them: those that come nearest to the
# kernel on histograms of 30 random numbers (chi-square within 0.05 of a kernel of at most 1, the intersection 0.08).
SPECTRA: dict[Kernel, tuple[int, float]] = {"chi2": (1, 0.6), "intersection": (3, 0.8)}
SMALL = 1e-12  # below this a number is 0, whose logarithm there is none of


def width(kernel: Kernel) -> int:
    """How many numbers one becomes.

    >>> width("hellinger"), width("chi2"), width("intersection")
    (1, 3, 7)
    """
    return 1 + 2 * SPECTRA[kernel][0] if kernel in SPECTRA else 1


def density(kernel: Kernel, frequency: float) -> float:
    """The spectrum of chi-square, 2xy / (x + y), or of the intersection, min(x, y) (Table 1)."""
    if kernel == "chi2":
        return 1 / math.cosh(math.pi * frequency)
    return 2 / (math.pi * (1 + 4 * frequency**2))


def kernel_map(values: Tensor, kernel: Kernel) -> Tensor:
    """What a linear machine sees of histograms (..., D), not negative: (..., D * width).

    "hellinger" takes roots, exactly; the maps of chi-square and the intersection are approximations.
    """
    check_name("kernel_map", kernel, "kernel", Kernel)
    if kernel == "linear":
        return values
    if kernel == "hellinger":
        return values.sqrt()
    number, step = SPECTRA[kernel]
    whole = values.clamp_min(SMALL)
    mapped = [(whole * step * density(kernel, 0)).sqrt()]
    for place in range(1, number + 1):
        size = (2 * whole * step * density(kernel, place * step)).sqrt()
        turn = place * step * whole.log()
        mapped += [size * turn.cos(), size * turn.sin()]
    return (torch.stack(mapped, -1) * (values > SMALL)[..., None]).flatten(-2)
