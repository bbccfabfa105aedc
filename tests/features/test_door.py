"""Shapes, values and names that descriptors and codes do not take: one clear sentence for each."""

import re
from typing import Any

import pytest
import torch

from topfive.errors import BadShape, Misused, TopfiveError, UnknownName
from topfive.features import (
    BagOfWords,
    ColourStatistics,
    DenseSift,
    FisherVector,
    Hog,
    KeypointSift,
    KmeansTriangle,
    Landmarks,
    Lbp,
    Llc,
    ProductQuantiser,
    SparseCode,
    SuperVector,
    Vlad,
    WhitenedPatches,
    regions_of,
    whitening_of,
)
from topfive.features.kernel_map import kernel_map


def untyped(value: Any) -> Any:
    """What a caller without a type checker may give."""
    return value


GREY, COLOUR, PIXELS = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16).byte()
REGIONS = regions_of(torch.rand(7, 2), ((1, 1), (2, 2)))
CODES = [
    BagOfWords(5, 8), Vlad(5, 8), SuperVector(5, 8), Llc(5, 8), SparseCode(5, 8, "lasso"), SparseCode(5, 8, "omp"),
    SparseCode(5, 8, "threshold"), KmeansTriangle(5, 8), FisherVector(5, 8),
]  # fmt: skip

SHAPES = {
    "Lbp: expected images (N, 1, H, W), got (2, 3, 16, 16); give grey images": lambda: Lbp(4)(COLOUR),
    "Lbp: expected images (N, 1, H, W) of at least 20 px a side, got (2, 1, 16, 16)": lambda: Lbp(20)(GREY),
    "DenseSift: expected images (N, 1, H, W), got (2, 3, 16, 16); give grey": lambda: DenseSift(8, 4)(COLOUR),
    "DenseSift: expected images (N, 1, H, W), got (1, 16, 16); give a batch": lambda: DenseSift(8, 4)(GREY[0]),
    "DenseSift: expected images (N, 1, H, W) in [0, 1], got numbers of torch.uint8": lambda: DenseSift(8, 4)(PIXELS),
    "Hog: expected images (N, C, H, W), got (3, 16, 16); give a batch": lambda: Hog(4)(COLOUR[0]),
    "Hog: expected images (N, C, H, W) of at least 24 px a side, got (2, 3, 16, 16)": lambda: Hog(12)(COLOUR),
    "Hog: expected images (N, C, H, W) of at least 2 px a side, got (1, 1, 1, 1)": lambda: Hog(1, 1)(
        GREY[:1, :, :1, :1]
    ),
    "Hog: expected images (N, C, H, W) in [0, 1], got numbers of torch.uint8": lambda: Hog(4)(PIXELS),
    "ColourStatistics: expected images (N, 3, H, W), got (2, 1, 16, 16); repeat": lambda: ColourStatistics(8, 4)(GREY),
    "WhitenedPatches: expected images (N, 3, H, W), got (2, 1, 16, 16); repeat": lambda: WhitenedPatches(3, 6)(GREY),
    "KeypointSift: expected images (N, 1, H, W), got (2, 3, 16, 16)": lambda: KeypointSift(9)(COLOUR),
    "KeypointSift: expected images (N, 1, H, W), got (1, 3, 16, 16)": lambda: KeypointSift(9).found(COLOUR[0]),
    "regions_of: expected places (M, 2), got (7, 3)": lambda: regions_of(torch.rand(7, 3), ((1, 1),)),
    "ProductQuantiser.encode: expected codes (N, 16), got (3, 24)": lambda: ProductQuantiser(16).encode(
        torch.rand(3, 24)
    ),
    "ProductQuantiser.decode: expected bytes (N, 2), got (3, 3)": lambda: ProductQuantiser(16).decode(
        torch.zeros(3, 3).byte()
    ),
    "Landmarks: expected codes (N, 8), got (3, 9)": lambda: Landmarks(5, 8)(torch.rand(3, 9)),
    "whitening_of: expected two patches (M, D) at least, got (1, 5)": lambda: whitening_of(torch.rand(1, 5)),
}

VALUES = {
    "Lbp: cell: expected a whole number of at least 1, got 0": lambda: Lbp(0),
    "Hog: cell: expected a whole number of at least 1, got 4.0": lambda: Hog(untyped(4.0)),
    "Hog: orientations: expected a whole number of at least 1, got 0": lambda: Hog(4, orientations=0),
    "DenseSift: step: expected a whole number of at least 1, got 0": lambda: DenseSift(8, 0),
    "DenseSift: patch: expected a whole number of at least 1, got -8": lambda: DenseSift(-8, 4),
    "DenseSift: patch: expected a multiple of 4 px, got 18": lambda: DenseSift(18, 4),
    "ColourStatistics: patch: expected a multiple of 4 px, got 18": lambda: ColourStatistics(18, 4),
    "ColourStatistics: step: expected a whole number of at least 1, got 0": lambda: ColourStatistics(8, 0),
    "WhitenedPatches: step: expected a whole number of at least 1, got 0": lambda: WhitenedPatches(3, 6, 0),
    "KeypointSift: most: expected a whole number of at least 1, got 0": lambda: KeypointSift(0),
    "KeypointSift: contrast: expected a number from 0 on, got -1": lambda: KeypointSift(9, -1.0),
    "BagOfWords: number: expected a whole number of at least 1, got 0": lambda: BagOfWords(0, 8),
    "FisherVector: components: expected a whole number of at least 1, got 0": lambda: FisherVector(0, 8),
    "Llc: neighbours: expected a whole number of at least 1, got 0": lambda: Llc(5, 8, 0),
    "SuperVector: s: expected a number from 0 on, got nan": lambda: SuperVector(5, 8, float("nan")),
    "SparseCode: atoms: expected a whole number of at least 1, got 0": lambda: SparseCode(5, 8, "omp", atoms=0),
    "SparseCode: penalty: expected a number from 0 on, got -1": lambda: SparseCode(5, 8, "lasso", penalty=-1),
    "Landmarks: number: expected a whole number of at least 1, got 0": lambda: Landmarks(0, 8),
    "regions_of: grids: expected rows and columns of at least 1, got ((0, 1),)": lambda: regions_of(
        torch.rand(7, 2), ((0, 1),)
    ),
    "regions_of: grids: expected rows and columns of at least 1, got ()": lambda: regions_of(torch.rand(7, 2), ()),
}

NAMES = {
    "no kind of Lbp named 'unifrom' (did you mean uniform?); known: uniform, rotation_invariant, all": lambda: Lbp(
        4, untyped("unifrom")
    ),
    "no encoder of SparseCode named 'laso' (did you mean lasso?)": lambda: SparseCode(
        5, 8, untyped("laso")
    ),
    "no kernel of BagOfWords named 'helinger' (did you mean hellinger?)": lambda: BagOfWords(
        5, 8, untyped("helinger")
    ),
    "no kernel of kernel_map named 'chi' (did you mean chi2?)": lambda: kernel_map(
        GREY, untyped("chi")
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("error", "sentence", "call"),
    [
        (error, *case)
        for error, cases in ((BadShape, SHAPES), (Misused, VALUES), (UnknownName, NAMES))
        for case in cases.items()
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_taken_is_one_sentence(error, sentence, call):
    with pytest.raises(error, match=re.escape(sentence)) as raised:
        call()
    assert raised.type is error
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("code", CODES, ids=lambda code: f"{type(code).__name__} {getattr(code, 'encoder', '')}")
@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 8, 8), (2, 7, 9), (7, 8)])
def test_descriptors_that_are_not_those_of_the_regions_are_refused(code, shape):
    sentence = f"{type(code).__name__}: expected descriptors (N, 7, 8), as many as the regions have places, got {shape}"
    with pytest.raises(BadShape, match=re.escape(sentence)):
        code(torch.rand(shape), REGIONS)
    assert code(torch.rand(2, 7, 8), REGIONS).shape == (2, 5 * code.length)


def test_no_other_kind_of_error_is_raised_by_hand():
    """All that descriptors and codes raise themselves is the project's own."""
    from pathlib import Path

    import topfive.features

    [folder] = topfive.features.__path__
    raised = {name for file in Path(folder).glob("*.py") for name in re.findall(r"raise (\w+)", file.read_text())}
    import topfive.errors

    assert raised
    assert all(issubclass(getattr(topfive.errors, name, Exception), TopfiveError) for name in raised)
